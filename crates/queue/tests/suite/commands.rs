//! What each command does, as the reads show it.

use std::time::Duration;

use mail_types::{
    BodyKind, EnhancedStatus, Notify, OriginalRecipient, QueueId, ReturnContent, ReversePath,
    SessionId, Target, Timestamp,
};
use queue::{
    Action, Command, Content, Counts, Due, DueKind, Event, Fate, LastReply, MessageState,
    NewTarget, RecipientPage, RecipientState, Selection, StorageError, Update,
};

use crate::common::{Fixture, changes, everyone, message, now};

fn reply(text: &str) -> LastReply {
    LastReply {
        status: EnhancedStatus::new(4, 2, 1),
        text: text.to_owned(),
    }
}

fn deferred(due: Timestamp) -> Fate {
    Fate::Deferred {
        due,
        reply: reply("later"),
        attempted: true,
    }
}

fn in_an_hour() -> Timestamp {
    now().plus(Duration::from_secs(3600))
}

#[test]
fn a_message_comes_back_as_it_was_given() {
    let fixture = Fixture::new();
    let mut given = message(2, b"Subject: x\r\n\r\n\0\xff".to_vec());
    given.envelope.body = BodyKind::EightBitMime;
    given.envelope.smtputf8 = true;
    given.envelope.return_content = Some(ReturnContent::Headers);
    given.envelope.envelope_id = Some("id with space".to_owned());
    given.origin.session = Some(SessionId(u64::MAX));
    given.origin.client = Some("2001:db8::1".parse().unwrap());
    given.origin.protocol = "UTF8SMTP".to_owned();
    let odd = &mut given.envelope.recipients[1];
    odd.address = "\"ö \\\" x\"@münchen.example".parse().unwrap();
    odd.notify = Some(Notify {
        success: true,
        failure: false,
        delay: true,
    });
    odd.original = Some(OriginalRecipient {
        address_type: "utf-8".to_owned(),
        address: "ü@x".to_owned(),
    });
    let id = fixture.submit(given.clone()).unwrap();

    let fixture = fixture.reopen();
    let stored = fixture.reader.message(id).unwrap().unwrap();
    assert_eq!(stored.state, MessageState::Incoming);
    assert_eq!(stored.size, 16);
    assert_eq!(stored.recipients_left, 2);
    assert_eq!(stored.origin, given.origin);
    assert_eq!(stored.reverse_path, given.envelope.reverse_path);
    assert_eq!(stored.body, given.envelope.body);
    assert!(stored.smtputf8);
    assert_eq!(stored.return_content, given.envelope.return_content);
    assert_eq!(stored.envelope_id, given.envelope.envelope_id);
    let recipients = fixture.recipients(id);
    for (stored, given) in recipients.iter().zip(&given.envelope.recipients) {
        assert_eq!(stored.accepted_as, given.address);
        assert_eq!(stored.notify, given.notify);
        assert_eq!(stored.original, given.original);
        assert_eq!(stored.state, RecipientState::Pending);
    }
    assert_eq!(recipients.len(), 2);
    let Some(Content::Inline(content)) = fixture.reader.content(id).unwrap() else {
        panic!("no content");
    };
    assert_eq!(&content[..], b"Subject: x\r\n\r\n\0\xff");
}

#[test]
fn names_grow_in_one_batch_and_over_a_restart() {
    let fixture = Fixture::new();
    let submit = || Command::Submit(Box::new(message(1, "x")));
    let results = fixture.call_all((0..1000).map(|_| submit()).collect());
    assert!(results.iter().all(Result::is_ok));
    let ids = fixture.reader.list(None, None, usize::MAX).unwrap();
    assert_eq!(ids.len(), 1000);
    // The clock went back: the last name lies in the future, and its message is gone.
    let last = ids.last().unwrap().0 + 1_000_000_000;
    let database = fixture.database();
    database
        .execute("UPDATE ledger SET last_id = ?1", [last.cast_signed()])
        .unwrap();
    drop(database);
    let fixture = fixture.reopen();
    assert_eq!(fixture.submit(message(1, "y")).unwrap(), QueueId(last + 1));
}

#[test]
fn a_message_vanishes_with_its_last_recipient() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(2, "x")).unwrap();
    let updated = fixture.update(changes(id, vec![(0, Fate::Gone)]));
    assert_eq!((updated.left, updated.due), (1, None));
    assert_eq!(
        fixture.reader.message(id).unwrap().unwrap().recipients_left,
        1
    );
    assert_eq!(fixture.update(changes(id, vec![(1, Fate::Gone)])).left, 0);
    assert_eq!(fixture.reader.message(id).unwrap(), None);
    assert!(fixture.reader.content(id).unwrap().is_none());
    assert_eq!(fixture.counts(), Counts::default());
    let rows: i64 = fixture
        .database()
        .query_row(
            "SELECT (SELECT count(*) FROM content) + (SELECT count(*) FROM recipient)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(rows, 0);
}

#[test]
fn parking_makes_a_message_due_with_its_first_recipient() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(3, "x")).unwrap();
    let (soon, later) = (Timestamp(in_an_hour().0 - 5), in_an_hour());
    let fates = vec![(0, deferred(later)), (1, deferred(soon)), (2, Fate::Gone)];
    let mut update = changes(id, fates);
    assert_eq!(fixture.update(update.clone()).due, None);
    assert_eq!(
        fixture.counts().incoming,
        1,
        "not parked, so still where it was"
    );
    update.changes.clear();
    update.park = true;
    assert_eq!(fixture.update(update).due, Some(soon));
    assert_eq!(
        fixture.counts(),
        Counts {
            deferred: 1,
            ..Counts::default()
        }
    );
    let recipients = fixture.recipients(id);
    assert_eq!(recipients[0].attempts, 1);
    assert_eq!(recipients[0].last_reply, Some(reply("later")));

    let due = |kind, at| fixture.reader.due(kind, at, None, 10).unwrap();
    assert_eq!(due(DueKind::Deferred, now()), []);
    assert_eq!(due(DueKind::New, in_an_hour()), []);
    assert_eq!(
        due(DueKind::Deferred, soon),
        [Due {
            due: soon,
            queue_id: id
        }]
    );
    assert_eq!(fixture.reader.next_due(now()).unwrap(), Some(soon));
    let page = RecipientPage {
        due_by: Some(soon),
        ..everyone()
    };
    let numbers = fixture.reader.recipients(id, page).unwrap();
    assert_eq!(numbers.iter().map(|r| r.number).collect::<Vec<_>>(), [1]);
}

#[test]
fn due_messages_come_in_pages_in_order() {
    let fixture = Fixture::new();
    let submit = || Command::Submit(Box::new(message(1, "x")));
    fixture.call_all((0..25).map(|_| submit()).collect());
    let all = fixture.reader.list(None, None, usize::MAX).unwrap();
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.reader.due(DueKind::New, now(), after, 10).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(*last);
        seen.extend(page.iter().map(|due| due.queue_id));
    }
    assert_eq!(seen, all);
}

#[test]
fn a_report_replaces_the_recipient_it_reports_on() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(1, "x")).unwrap();
    let failed = Fate::Owed {
        ended: RecipientState::Failed,
        reply: reply("no such user"),
        due: now(),
    };
    assert_eq!(fixture.update(changes(id, vec![(0, failed)])).left, 1);
    let owed = RecipientPage {
        state: Some(RecipientState::Failed),
        ..everyone()
    };
    assert_eq!(fixture.reader.recipients(id, owed).unwrap().len(), 1);

    let mut report = message(1, "report");
    report.envelope.reverse_path = ReversePath::Null;
    let update = Update {
        reports: vec![report],
        ..changes(id, vec![(0, Fate::Gone)])
    };
    let updated = fixture.update(update.clone());
    assert_eq!((updated.left, updated.reports.len()), (0, 1));
    let report = updated.reports[0].into_inner();
    let stored = fixture.reader.message(report).unwrap().unwrap();
    assert_eq!(stored.reverse_path, ReversePath::Null);
    let again = fixture.update(update);
    assert!(
        again.reports.is_empty(),
        "the outcome came twice: one report"
    );
    assert_eq!(fixture.counts().incoming, 1);
}

#[test]
fn an_outcome_for_an_unknown_recipient_makes_no_report() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(2, "x")).unwrap();
    fixture.update(changes(id, vec![(0, Fate::Gone)]));
    let reports = vec![message(1, "report")];
    let update = Update {
        reports,
        ..changes(id, vec![(0, Fate::Gone)])
    };
    let updated = fixture.update(update);
    assert_eq!((updated.left, updated.reports.len()), (1, 0));
}

#[test]
fn an_expansion_takes_the_recipients_place_without_duplicates() {
    let fixture = Fixture::new();
    let mut list = message(3, "x");
    list.envelope.recipients[2].notify = Some(Notify::NEVER);
    let id = fixture.submit(list).unwrap();
    let to = |target: Target| NewTarget {
        target,
        owner: None,
    };
    let bob = to(Target::Mailbox("bob@example.org".parse().unwrap()));
    let targets = vec![
        bob.clone(),
        to(Target::Remote("bob@example.org".parse().unwrap())),
        to(Target::File("/var/mail/a".into())),
        to(Target::Command("/bin/x -y".to_owned())),
        NewTarget {
            owner: Some("owner@example.org".parse().unwrap()),
            ..bob.clone()
        },
    ];
    let fates = vec![
        (0, Fate::Replaced(targets.clone())),
        (1, Fate::Replaced(vec![bob.clone(), bob.clone()])),
        (2, Fate::Replaced(vec![bob.clone()])),
    ];
    assert_eq!(fixture.update(changes(id, fates)).left, 6);
    let stored = fixture.recipients(id);
    let first: Vec<_> = stored[..5]
        .iter()
        .map(|r| NewTarget {
            target: r.target.clone().unwrap(),
            owner: r.owner.clone(),
        })
        .collect();
    assert_eq!(first, targets);
    assert_eq!(stored[4].accepted_as.to_string(), "r0@example.org");
    assert_eq!(
        stored[5].notify,
        Some(Notify::NEVER),
        "another NOTIFY is no duplicate"
    );
    assert!(
        stored.iter().all(|r| r.number >= 3),
        "numbers are never used again"
    );
    let all = stored.iter().map(|r| (r.number, Fate::Gone)).collect();
    assert_eq!(fixture.update(changes(id, all)).left, 0);
    assert_eq!(fixture.counts(), Counts::default());
}

#[test]
fn replies_are_cut_between_characters() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(1, "x")).unwrap();
    let long = reply(&"é".repeat(5000));
    let fate = Fate::Deferred {
        due: in_an_hour(),
        reply: long,
        attempted: false,
    };
    fixture.update(changes(id, vec![(0, fate)]));
    let stored = fixture.recipients(id).remove(0);
    assert_eq!(stored.attempts, 0);
    assert_eq!(stored.last_reply.unwrap().text, "é".repeat(1024));
}

/// Every legal change of a message's state by an administrator, and the illegal ones.
#[test]
fn administrators_move_messages_between_states() {
    use MessageState::{Deferred, Hold, Incoming};
    for (before, action, after) in [
        (Incoming, Action::Hold, Some(Hold)),
        (Incoming, Action::Release, Some(Incoming)),
        (Incoming, Action::Flush, Some(Incoming)),
        (Incoming, Action::Delete, None),
        (Deferred, Action::Hold, Some(Hold)),
        (Deferred, Action::Release, Some(Deferred)),
        (Deferred, Action::Flush, Some(Deferred)),
        (Deferred, Action::Delete, None),
        (Hold, Action::Hold, Some(Hold)),
        (Hold, Action::Release, Some(Deferred)),
        (Hold, Action::Flush, Some(Hold)),
        (Hold, Action::Delete, None),
    ] {
        let fixture = Fixture::new();
        let mut given = message(1, "x");
        given.hold = before == Hold;
        let id = fixture.submit(given).unwrap();
        if before == Deferred {
            let update = Update {
                park: true,
                ..changes(id, vec![(0, deferred(in_an_hour()))])
            };
            fixture.update(update);
        }
        let changed = fixture.administer(action, Selection::Messages(vec![id, QueueId(1)]));
        let state = fixture.reader.message(id).unwrap().map(|m| m.state);
        assert_eq!(state, after, "{before:?} {action:?}");
        let flushed = before == Deferred && action == Action::Flush;
        assert_eq!(
            changed,
            u64::from(state != Some(before) || flushed),
            "{before:?} {action:?}"
        );
        if flushed || (before, action) == (Hold, Action::Release) {
            assert_eq!(
                fixture
                    .reader
                    .due(DueKind::Deferred, now(), None, 9)
                    .unwrap()
                    .len(),
                1
            );
            assert!(fixture.recipients(id)[0].due <= now());
        }
        let counts = fixture.counts();
        let sum = counts.incoming + counts.deferred + counts.hold + counts.corrupt;
        assert_eq!(sum, u64::from(after.is_some()), "{before:?} {action:?}");
    }
}

#[test]
fn outcomes_of_a_held_message_count_and_leave_it_on_hold() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(2, "x")).unwrap();
    fixture.administer(Action::Hold, Selection::All);
    let update = Update {
        park: true,
        ..changes(id, vec![(0, Fate::Gone)])
    };
    let updated = fixture.update(update);
    assert_eq!((updated.left, updated.due), (1, None));
    assert_eq!(
        fixture.counts(),
        Counts {
            hold: 1,
            ..Counts::default()
        }
    );
    assert_eq!(fixture.update(changes(id, vec![(1, Fate::Gone)])).left, 0);
    assert_eq!(fixture.counts(), Counts::default());
}

#[test]
fn large_selections_are_worked_through_in_parts() {
    let fixture = Fixture::new();
    let submit = || Command::Submit(Box::new(message(20, "x")));
    fixture.call_all((0..1300).map(|_| submit()).collect());
    assert_eq!(fixture.administer(Action::Hold, Selection::All), 1300);
    assert_eq!(
        fixture
            .reader
            .list(Some(MessageState::Hold), None, 2000)
            .unwrap()
            .len(),
        1300
    );
    let some = fixture.reader.list(None, None, 700).unwrap();
    assert_eq!(
        fixture.administer(Action::Release, Selection::Messages(some)),
        700
    );
    assert_eq!(
        fixture
            .reader
            .list(Some(MessageState::Deferred), None, 2000)
            .unwrap()
            .len(),
        700
    );
    assert_eq!(
        fixture.administer(Action::Delete, Selection::State(MessageState::Hold)),
        600
    );
    assert_eq!(fixture.administer(Action::Delete, Selection::All), 700);
    assert_eq!(fixture.counts(), Counts::default());
}

#[test]
fn a_garbled_row_is_set_aside_and_harms_nobody_else() {
    for (spoil, why) in [
        (
            "UPDATE message SET reverse_path = 'nonsense' WHERE id = ?1",
            "reverse_path",
        ),
        ("UPDATE message SET body = 9 WHERE id = ?1", "body"),
        ("UPDATE message SET state = 77 WHERE id = ?1", "state"),
        (
            "UPDATE recipient SET address = '@' WHERE message = ?1",
            "address",
        ),
        (
            "UPDATE recipient SET notify = 64 WHERE message = ?1",
            "notify",
        ),
        ("UPDATE content SET data = x'00' WHERE id = ?1", "octets"),
        ("DELETE FROM content WHERE id = ?1", "octets"),
    ] {
        let fixture = Fixture::new();
        let sound = fixture.submit(message(1, "sound")).unwrap();
        let id = fixture.submit(message(1, "spoiled")).unwrap();
        fixture
            .database()
            .execute(spoil, [id.0.cast_signed()])
            .unwrap();
        let read = || {
            fixture.reader.message(id)?;
            fixture.reader.recipients(id, everyone())?;
            fixture.reader.content(id)
        };
        let error = read().unwrap_err();
        assert!(
            matches!(&error, StorageError::Corrupt { why: text, .. } if text.contains(why)),
            "{error}"
        );
        let Event::SetAside { queue_id, .. } =
            fixture.other(|e| matches!(e, Event::SetAside { .. }))
        else {
            unreachable!()
        };
        assert_eq!(queue_id, id);
        assert_eq!(
            fixture
                .reader
                .list(Some(MessageState::Corrupt), None, 9)
                .unwrap(),
            [id]
        );
        assert_eq!(
            fixture
                .reader
                .due(DueKind::New, now(), None, 9)
                .unwrap()
                .len(),
            1
        );
        assert_eq!(
            fixture.update(changes(sound, vec![(0, Fate::Gone)])).left,
            0
        );
        assert_eq!(
            fixture.administer(Action::Delete, Selection::State(MessageState::Corrupt)),
            1
        );
        assert_eq!(fixture.reader.list(None, None, 9).unwrap(), []);
    }
}

#[test]
fn what_waits_is_bounded() {
    let temporary = tempfile::tempdir().unwrap();
    let settings = queue::Settings {
        max_waiting: 0,
        ..crate::common::settings()
    };
    let fixture = Fixture::at(temporary.path(), settings);
    let refused = fixture.submit(message(1, "x")).unwrap_err();
    assert!(
        matches!(refused, StorageError::Overloaded { .. }),
        "{refused}"
    );
    assert_eq!(
        fixture
            .update(changes(QueueId(5), vec![(0, Fate::Gone)]))
            .left,
        0
    );
}

#[test]
fn a_poisoned_command_harms_only_itself() {
    let fixture = Fixture::new();
    let poisoned = fixture.submit(message(2, "x")).unwrap();
    let sound = fixture.submit(message(1, "x")).unwrap();
    // The next expansion of it would give a number a second time.
    let spoil = "UPDATE message SET next_number = 1 WHERE id = ?1";
    fixture
        .database()
        .execute(spoil, [poisoned.0.cast_signed()])
        .unwrap();
    let bob = Target::Mailbox("bob@example.org".parse().unwrap());
    let expansion = Fate::Replaced(vec![NewTarget {
        target: bob,
        owner: None,
    }]);
    let update = |id, fate| Command::Update(Box::new(changes(id, vec![(0, fate)])));
    let results = fixture.call_all(vec![
        Command::Submit(Box::new(message(1, "before"))),
        update(poisoned, expansion),
        update(sound, Fate::Gone),
        Command::Submit(Box::new(message(1, "after"))),
    ]);
    let went: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(went, [true, false, true, true]);
    assert_eq!(fixture.recipients(poisoned).len(), 2);
    assert_eq!(fixture.reader.message(sound).unwrap(), None);
    assert_eq!(fixture.counts().incoming, 3);
}

#[test]
fn a_hundred_thousand_recipients_are_read_in_pages() {
    let fixture = Fixture::new();
    let id = fixture.submit(message(100_000, "x")).unwrap();
    let (mut after, mut seen, mut pages) = (None, 0, 0);
    loop {
        let page = RecipientPage {
            after,
            limit: 1000,
            ..everyone()
        };
        let page = fixture.reader.recipients(id, page).unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.number);
        seen += page.len();
        pages += 1;
        let gone = page.iter().map(|r| (r.number, Fate::Gone)).collect();
        let left = fixture.update(changes(id, gone)).left;
        assert_eq!(left, 100_000 - seen as u64);
    }
    assert_eq!((seen, pages), (100_000, 100));
    assert_eq!(fixture.counts(), Counts::default());
}
