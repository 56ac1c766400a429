-- A queue of schema version 1 with one message, as version 1 wrote it. Never change this file.
CREATE TABLE message (
    id INTEGER PRIMARY KEY,             -- microseconds since 1970, made unique
    state INTEGER NOT NULL,             -- 0 incoming, 1 deferred, 2 hold, 3 corrupt
    due INTEGER,                        -- microseconds since 1970; NULL in hold and corrupt
    accepted INTEGER NOT NULL,          -- microseconds since 1970
    size INTEGER NOT NULL,              -- octets of content
    recipients INTEGER NOT NULL,        -- rows left in recipient
    next_number INTEGER NOT NULL,       -- the next recipient's number
    reverse_path TEXT NOT NULL,         -- empty for <>
    body INTEGER NOT NULL,              -- 0 7BIT, 1 8BITMIME, 2 BINARYMIME
    smtputf8 INTEGER NOT NULL,
    ret TEXT,                           -- FULL, HDRS
    envid TEXT,
    session INTEGER,
    client TEXT,
    protocol TEXT NOT NULL,
    spool TEXT                          -- the file's name; NULL when in content
) STRICT;
CREATE INDEX message_due ON message (state, due);
CREATE UNIQUE INDEX message_spool ON message (spool) WHERE spool IS NOT NULL;
CREATE TABLE content (
    id INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
CREATE TABLE recipient (
    message INTEGER NOT NULL,
    number INTEGER NOT NULL,
    state INTEGER NOT NULL,             -- 0 pending; 1 delivered, 2 failed: a report is owed
    due INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    address TEXT NOT NULL,              -- what RCPT said
    notify INTEGER,                     -- 1 success, 2 failure, 4 delay; 0 never; NULL not said
    orcpt_type TEXT,
    orcpt TEXT,
    target_kind INTEGER,                -- 0 mailbox, 1 remote, 2 file, 3 command; NULL not expanded
    target ANY,
    owner TEXT,                         -- replaces the reverse-path
    status TEXT,                        -- of the last attempt
    reply TEXT,
    PRIMARY KEY (message, number)
) STRICT, WITHOUT ROWID;
CREATE INDEX recipient_target ON recipient (message, target) WHERE target IS NOT NULL;
CREATE TABLE ledger (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    last_id INTEGER NOT NULL,
    incoming INTEGER NOT NULL,
    deferred INTEGER NOT NULL,
    hold INTEGER NOT NULL,
    corrupt INTEGER NOT NULL
) STRICT;
INSERT INTO ledger VALUES (1, 1763700000000000, 1, 0, 0, 0);
INSERT INTO message VALUES (1763700000000000, 0, 1763700000000000, 1763700000000000, 28, 2, 2,
    'alice@example.org', 0, 0, NULL, NULL, 81985529216486895, '192.0.2.1', 'ESMTP', NULL);
INSERT INTO content VALUES (1763700000000000,
    x'5375626a6563743a2076657273696f6e20310d0a0d0a626f64790d0a');
INSERT INTO recipient VALUES (1763700000000000, 0, 0, 1763700000000000, 0, 'bob@example.org',
    NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO recipient VALUES (1763700000000000, 1, 0, 1763700000000000, 1, 'list@example.org',
    6, 'rfc822', 'list@example.org', 0, 'carol@example.org', 'owner-list@example.org',
    '4.2.2', 'mailbox full');
PRAGMA application_id = 1349481332;
PRAGMA user_version = 1;
