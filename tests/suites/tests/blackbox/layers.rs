//! The crate edges and who may use which library, against `cargo metadata`.

use std::collections::BTreeMap;

use cargo_metadata::{DependencyKind, MetadataCommand};

/// Layer of each crate; an edge must lead to a lower layer. Programs stand above all.
const LAYERS: &[(u32, &[&str])] = &[
    (0, &["mail-types"]),
    (
        1,
        &["smtp-proto", "pop3-proto", "mime", "routing", "schedule"],
    ),
    (2, &["sandbox"]),
    (
        3,
        &[
            "ipc",
            "config",
            "telemetry",
            "queue",
            "mailbox",
            "directory",
        ],
    ),
    (4, &["daemon", "smtp-server"]),
];

/// Programs' packages.
const PROGRAMS: &[&str] = &[
    "directory-service",
    "local-delivery",
    "master",
    "pop3-session",
    "pop3d",
    "posthouse",
    "queue-manager",
    "smtpd",
];

/// What only tests and developers use.
const TOOLS: &[&str] = &["harness", "suites", "xtask"];

/// Edges inside a layer, each with its reason.
const SIDEWAYS: &[(&str, &str)] = &[
    // Sessions count their clients as every service does.
    ("smtp-server", "daemon"),
];

/// Libraries that stand for an outside authority, and who owns it.
const OWNERS: &[(&str, &[&str])] = &[
    ("bincode", &["ipc"]),
    ("rusqlite", &["queue"]),
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    (
        "tokio",
        &[
            "daemon",
            "directory-service",
            "ipc",
            "local-delivery",
            "pop3d",
            "queue-manager",
            "smtp-server",
            "smtpd",
        ],
    ),
    (
        "nix",
        &[
            "harness",
            "mailbox",
            "master",
            "posthouse",
            "queue",
            "sandbox",
            "suites",
            "xtask",
        ],
    ),
];

/// Normal and build dependencies of each package of the workspace, by name.
fn edges() -> BTreeMap<String, Vec<String>> {
    let metadata = MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml"))
        .no_deps()
        .exec()
        .expect("cargo metadata");
    let packages = metadata.packages.into_iter().map(|package| {
        let dependencies = package.dependencies.iter();
        let used = dependencies.filter(|dependency| dependency.kind != DependencyKind::Development);
        (
            package.name.to_string(),
            used.map(|dependency| dependency.name.clone()).collect(),
        )
    });
    packages.collect()
}

fn layer_of(name: &str) -> Option<u32> {
    LAYERS
        .iter()
        .find(|(_, crates)| crates.contains(&name))
        .map(|(layer, _)| *layer)
}

#[test]
fn every_package_has_its_place() {
    for name in edges().keys() {
        let places = [
            layer_of(name).is_some(),
            PROGRAMS.contains(&name.as_str()),
            TOOLS.contains(&name.as_str()),
        ];
        assert_eq!(
            places.iter().filter(|&&place| place).count(),
            1,
            "{name}: one place in layers.rs"
        );
    }
}

#[test]
fn arrows_only_point_down() {
    let mut wrong = Vec::new();
    for (name, dependencies) in edges() {
        if TOOLS.contains(&name.as_str()) {
            continue;
        }
        let own = layer_of(&name).unwrap_or(u32::MAX);
        for dependency in dependencies {
            if TOOLS.contains(&dependency.as_str()) || PROGRAMS.contains(&dependency.as_str()) {
                wrong.push(format!(
                    "{name} -> {dependency}: a program or tool is nobody's dependency"
                ));
            }
            let Some(below) = layer_of(&dependency) else {
                continue;
            };
            if below >= own && !SIDEWAYS.contains(&(name.as_str(), dependency.as_str())) {
                wrong.push(format!(
                    "{name} (layer {own}) -> {dependency} (layer {below})"
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "edges that do not point down:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn each_outside_authority_has_its_owner() {
    let mut wrong = Vec::new();
    for (name, dependencies) in edges() {
        for (library, owners) in OWNERS {
            if dependencies.iter().any(|dependency| dependency == library)
                && !owners.contains(&name.as_str())
            {
                wrong.push(format!(
                    "{name} uses {library}, which belongs to {owners:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn pure_crates_link_nothing_that_reaches_outside() {
    const REACHING: &[&str] = &[
        "tokio",
        "nix",
        "libc",
        "rusqlite",
        "getrandom",
        "tempfile",
        "socket2",
    ];
    for (name, dependencies) in edges() {
        if layer_of(&name).is_some_and(|layer| layer <= 1) {
            let reaching: Vec<_> = dependencies
                .iter()
                .filter(|dependency| REACHING.contains(&dependency.as_str()))
                .collect();
            assert!(reaching.is_empty(), "{name} is pure and uses {reaching:?}");
        }
    }
}
