use std::collections::HashSet;

use super::*;
use crate::{Selection, sections};

const PROGRAMS: [&str; 9] = [
    "all",
    "master",
    "smtpd",
    "queue-manager",
    "local-delivery",
    "pop3d",
    "pop3-session",
    "directory",
    "posthouse",
];

#[test]
fn every_record_is_complete() {
    let mut names = HashSet::new();
    for section in sections() {
        assert!(section.doc.trim().ends_with('.'), "[{}]", section.name);
        for record in section.settings {
            let name = record.name();
            assert!(names.insert(name.clone()), "{name} twice");
            assert!(
                record.doc.trim().ends_with('.'),
                "{name}: a sentence ends with a full stop"
            );
            assert!(!record.kind.is_empty(), "{name}");
            for reader in record.readers {
                assert!(PROGRAMS.contains(reader), "{name}: no program {reader}");
            }
        }
    }
}

#[test]
fn every_default_and_bound_is_accepted() {
    for section in sections() {
        for record in section.settings {
            let range = record.range.clone();
            for value in [record.default.clone()]
                .into_iter()
                .chain(range.clone().map(|range| range.0))
                .chain(range.map(|range| range.1))
            {
                let assignment = format!("{}={value}", record.name());
                let loaded = Config::load_with("", "test", std::slice::from_ref(&assignment));
                // Rules between settings may object to a bound, its own type and range must not.
                if let Err(error) = loaded {
                    let text = error.to_string();
                    assert!(
                        !text.contains("expected") && !text.contains("range"),
                        "{text}"
                    );
                }
            }
        }
    }
}

#[test]
fn an_empty_file_gives_the_defaults_and_they_survive_rendering() {
    let config = Config::load("", "test").expect("defaults are valid");
    assert_eq!(config, Config::default());
    let text = config.render(Selection::All);
    assert_eq!(
        Config::load(&text, "test").expect("rendered defaults are valid"),
        config
    );
    assert_eq!(config.render(Selection::Changed), "");
}
