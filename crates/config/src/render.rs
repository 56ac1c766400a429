//! From settings to text.

use std::fmt::Write;

use crate::settings::Config;

/// What to write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// Every setting.
    All,
    /// Only those that differ from their default.
    Changed,
}

impl Config {
    /// The settings as a configuration file.
    #[must_use]
    pub fn render(&self, selection: Selection) -> String {
        let mut text = String::new();
        let defaults = Self::default();
        for (section, default) in self.all().into_iter().zip(defaults.all()) {
            let mut heading = false;
            for ((key, value), (_, default)) in section.values().into_iter().zip(default.values()) {
                if selection == Selection::Changed && value == default {
                    continue;
                }
                if !heading {
                    let gap = if text.is_empty() { "" } else { "\n" };
                    let name = section.record().name;
                    // Writing to a String cannot fail.
                    let _ = writeln!(text, "{gap}[{name}]");
                    heading = true;
                }
                let _ = writeln!(text, "{key} = {value}");
            }
        }
        text
    }
}
