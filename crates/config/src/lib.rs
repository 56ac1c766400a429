//! The settings: one record each, one TOML file.
