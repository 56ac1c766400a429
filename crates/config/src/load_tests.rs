use std::io::{Read, Write};

use super::*;
use crate::Selection;
use crate::settings::{BareNewlines, LogLevel};
use crate::types::Size;

fn faults(text: &str, overrides: &[&str]) -> Vec<String> {
    let overrides: Vec<_> = overrides.iter().map(|text| (*text).to_owned()).collect();
    let error = Config::load_with(text, "t.toml", &overrides).expect_err("faulty");
    error.to_string().lines().map(str::to_owned).collect()
}

#[test]
fn a_file_and_overrides_are_read() {
    let text = r#"
# Comment
[domains]
hostname = "mail.example.org"
local = ["example.org", "example.net"]

[smtpd]
message_size_limit = "10MiB"
bare_newlines = "normalize"
"#;
    let overrides = ["log.level=debug".to_owned(), "smtpd.workers = 2".to_owned()];
    let config = Config::load_with(text, "t.toml", &overrides).expect("valid");
    assert_eq!(config.smtpd.message_size_limit, Size::mib(10));
    assert_eq!(config.smtpd.bare_newlines, BareNewlines::Normalize);
    assert_eq!(config.domains.local.len(), 2);
    assert_eq!(
        config.domains.host_name().expect("set").to_string(),
        "mail.example.org"
    );
    assert_eq!(
        (config.log.level, config.smtpd.workers),
        (LogLevel::Debug, 2)
    );
    let changed = config.render(Selection::Changed);
    assert_eq!(
        changed,
        "[log]\nlevel = \"debug\"\n\n[domains]\nhostname = \"mail.example.org\"\n\
         local = [\"example.org\", \"example.net\"]\n\n[smtpd]\nworkers = 2\n\
         message_size_limit = \"10MiB\"\nbare_newlines = \"normalize\"\n"
    );
    assert_eq!(Config::load(&changed, "changed").expect("valid"), config);
}

#[test]
fn all_faults_are_told_at_once_with_their_lines() {
    let text = "stray = 1\n\
                [smtp]\n\
                listen = []\n\
                [smtpd]\n\
                mesage_size_limit = \"1MiB\"\n\
                recipient_limit = 5\n\
                vrfy = \"ful\"\n\
                users_file = \"/x\"\n\
                [queue]\n\
                lifetime = 5\n";
    let told = faults(text, &[]);
    let expected = [
        "t.toml:1: \"stray\" is outside any section; settings stand below a [section]",
        "t.toml:2: unknown section [smtp] (did you mean smtpd?)",
        "t.toml:5: unknown setting smtpd.mesage_size_limit (did you mean message_size_limit?)",
        "t.toml:6: smtpd.recipient_limit: 5 is out of range: 100 to 100000 is allowed",
        "t.toml:7: smtpd.vrfy: \"ful\" is not one of \"neutral\", \"full\" (did you mean \"full\"?)",
        "t.toml:8: unknown setting smtpd.users_file (did you mean directory.users_file?)",
        "t.toml:10: queue.lifetime: expected a time such as \"30s\" or \"1h 30min\" \
         (units ms, s, min, h, d), found the number 5",
    ];
    assert_eq!(told, expected);
}

#[test]
fn broken_toml_is_told_with_the_rest() {
    let told = faults(
        "[smtpd]\nworkers = = 1\nlisten = [\n[queue]\nhold = true\n",
        &[],
    );
    assert!(
        told.iter().any(|line| line.starts_with("t.toml:2: ")),
        "{told:?}"
    );
    let told = faults("[smtpd]\nworkers = 1\nworkers = 2\n", &[]);
    assert!(told[0].starts_with("t.toml:3: "), "{told:?}");
    let told = faults("[smtpd]\n[smtpd]\n", &[]);
    assert!(told[0].starts_with("t.toml:2: "), "{told:?}");
}

#[test]
fn faulty_overrides_are_told() {
    let told = faults(
        "",
        &["nonsense", "smtpx.a=1", "smtpd.worker=1", "smtpd.workers=0"],
    );
    let expected = [
        "t.toml: \"nonsense\" is not section.key=value",
        "t.toml: \"smtpx.a=1\": unknown section smtpx (did you mean smtpd?)",
        "t.toml: unknown setting smtpd.worker (did you mean workers?)",
        "t.toml: smtpd.workers: 0 is out of range: 1 to 64 is allowed",
    ];
    assert_eq!(told, expected);
}

#[test]
fn settings_that_contradict_each_other_are_told() {
    let text = "[schedule]\nretry_max = \"1min\"\n[domains]\nlocal = [\"a.example\"]\n\
                relay = [\"A.example\"]\n";
    assert_eq!(
        faults(text, &[]),
        [
            "t.toml: schedule.retry_min is longer than schedule.retry_max",
            "t.toml:5: a.example is both in domains.local and in domains.relay",
        ]
    );
}

#[test]
fn a_descriptor_is_read_from_its_start_wherever_it_stands() {
    let mut file = tempfile::tempfile().expect("temporary file");
    let comment = "# x\n".repeat(5000);
    write!(file, "{comment}[smtpd]\nworkers = 3\n").expect("written");
    let other = file.try_clone().expect("duplicate");
    assert_eq!(
        Config::from_fd(other.into(), "t")
            .expect("valid")
            .smtpd
            .workers,
        3
    );
    let mut rest = String::new();
    file.read_to_string(&mut rest).expect("read");
    assert_eq!(rest, "", "the offset has not moved");
    writeln!(file, "[nope]").expect("written");
    let error = Config::from_fd(file.into(), "t").expect_err("faulty");
    assert_eq!(error.to_string(), "t:5003: unknown section [nope]");
}

#[test]
fn a_file_that_is_no_text_is_told_with_its_name() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let file = folder.path().join("t.toml");
    let told = || {
        let told = read_file(&file).expect_err("faulty").to_string();
        told.replace(&format!("{}/", folder.path().display()), "")
    };
    assert_eq!(
        told(),
        "t.toml: cannot be read: No such file or directory (os error 2); make it, or name another with --config"
    );
    std::fs::write(&file, b"[smtpd]\n# gr\xfcn\n").expect("written");
    assert_eq!(told(), "t.toml:2: this is not UTF-8 text");
    std::fs::write(&file, " ".repeat(MAX_FILE + 1)).expect("written");
    assert_eq!(told(), "t.toml: is over 1048576 bytes long");
    std::fs::write(&file, "\n").expect("written");
    assert_eq!(read_file(&file).expect("text"), "\n");
}
