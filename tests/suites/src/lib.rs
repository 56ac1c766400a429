//! Black-box suites: the real programs, started in a folder of their own, and real peers.
//!
//! Everything is in one test executable, `tests/blackbox`: one link, one place to look. A
//! module each for: the edges between crates (`layers`), the way of a message (`spine`), SMTP
//! dialogs (`smtp`), POP3 dialogs (`pop3`), byte-for-byte passage (`bytes`), real clients
//! (`interop`), crashes and failing disks (`crash`).
