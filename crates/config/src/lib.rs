//! The settings of the suite: one record each, one TOML file.
//!
//! A setting is declared once, in the file of its section under `settings/`, with its name, type,
//! default, range, the programs that read it and one paragraph of text. From that one declaration come
//! the field of [`Config`], the parser, `posthouse config check|show` and posthouse.toml(5).
//!
//! Invariants: a [`Config`] that exists has passed every check; every fault of a file is reported at once,
//! each with its line; what [`Config::render`] writes, [`Config::load`] reads back to the same settings.
//!
//! Deliberately absent: opening files by path (a program gets the text as an inherited descriptor, so
//! that it runs on the settings that master checked), includes and variables in the file, settings
//! that change while a program runs, and secrets.

mod check;
mod error;
mod load;
mod man;
mod record;
mod render;
pub mod settings;
pub mod types;

pub use error::{ConfigError, Problem};
pub use load::{MAX_FILE, read_file};
pub use man::manual_page;
pub use record::{Record, SectionRecord, sections};
pub use render::Selection;
pub use settings::Config;

/// Where the configuration is when nothing else is said.
pub const DEFAULT_FILE: &str = "/etc/posthouse/posthouse.toml";
