//! posthouse.toml(5), from the records.

use std::fmt::Write;

use crate::record::{Record, SectionRecord, sections};

/// The manual page in roff, as man(7) macros.
#[must_use]
pub fn manual_page() -> String {
    let mut page = String::from(HEAD);
    for section in sections() {
        section_text(&mut page, &section);
    }
    page.push_str(TAIL);
    page
}

const HEAD: &str = r#".\" Made from the setting records of crates/config; do not edit: run "posthouse config man".
.TH POSTHOUSE.TOML 5 2026-11-21 Posthouse "File formats"
.SH NAME
posthouse.toml \- configuration of the Posthouse mail suite
.SH DESCRIPTION
One TOML file configures all programs of the suite.
It is read by
.B master
at start and on SIGHUP; every other program gets its text from master, so that all of them run on a
configuration that was checked as a whole.
A file with a fault is refused, and the programs that run go on with the last good one.
.PP
.B posthouse config check
reports every fault with its line,
.B posthouse config show
prints the settings in force.
.PP
Every setting has a default, so an empty file is valid; most hosts need
.BR domains.local .
Times are strings with a unit ("30s", "1h 30min"), and so are sizes ("64KiB").
"#;

const TAIL: &str = r#".SH FILES
.TP
.I /etc/posthouse/posthouse.toml
The configuration, unless another file is named.
.SH SEE ALSO
.BR posthouse (1)
"#;

fn section_text(page: &mut String, section: &SectionRecord) {
    // Writing to a String cannot fail.
    let _ = writeln!(page, ".SH SECTION [{}]", escape(section.name));
    paragraph(page, section.doc);
    for record in &section.settings {
        setting_text(page, record);
    }
}

fn setting_text(page: &mut String, record: &Record) {
    let _ = writeln!(page, ".TP\n.B {}", escape(&record.name()));
    paragraph(page, record.doc);
    let _ = writeln!(page, ".br\nType: {}.", escape(&record.kind));
    if let Some((min, max)) = &record.range {
        let _ = writeln!(page, "Range: {} to {}.", escape(min), escape(max));
    }
    let _ = writeln!(page, "Default: {}.", escape(&record.default));
    let _ = writeln!(page, "Read by: {}.", escape(&record.readers.join(", ")));
}

/// The text of a documentation comment: one source line per output line, no markup of its own.
fn paragraph(page: &mut String, doc: &str) {
    for line in doc.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let _ = writeln!(page, "{}", escape(&line.replace('`', "")));
    }
}

/// Keeps roff from reading text as requests or typographic characters.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len() + 8);
    if text.starts_with(['.', '\'']) {
        escaped.push_str("\\&");
    }
    for c in text.chars() {
        match c {
            '\\' => escaped.push_str("\\e"),
            '-' => escaped.push_str("\\-"),
            '^' => escaped.push_str("\\(ha"),
            '~' => escaped.push_str("\\(ti"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_becomes_a_request() {
        assert_eq!(escape(".SH"), "\\&.SH");
        assert_eq!(escape("'x"), "\\&'x");
        assert_eq!(escape("a-b\\c~"), "a\\-b\\ec\\(ti");
    }

    #[test]
    fn the_committed_page_is_the_generated_one() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../man/posthouse.toml.5");
        let committed = std::fs::read_to_string(path).expect("man/posthouse.toml.5");
        assert!(
            committed == manual_page(),
            "man/posthouse.toml.5 is out of date: \
             cargo run --release -p posthouse -- config man > man/posthouse.toml.5"
        );
    }
}
