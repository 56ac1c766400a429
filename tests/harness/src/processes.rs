//! Which processes there are, from /proc.

use std::fs;

use nix::unistd::Pid;

/// Everything below `root`, by the parents that /proc names.
pub(crate) fn descendants_of(root: Pid) -> Vec<Pid> {
    let parents = parents();
    let mut found = vec![root];
    let mut at = 0;
    while at < found.len() {
        let parent = found[at];
        found.extend(
            parents
                .iter()
                .filter(|(_, of)| *of == parent)
                .map(|(pid, _)| *pid),
        );
        at += 1;
    }
    found.remove(0);
    found
}

/// Every process with its parent.
fn parents() -> Vec<(Pid, Pid)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|process| {
            let pid = process.file_name().to_str()?.parse().ok()?;
            let stat = fs::read_to_string(process.path().join("stat")).ok()?;
            // The name in parentheses may hold anything; state and parent follow the last one.
            let parent = stat
                .rsplit_once(')')?
                .1
                .split_whitespace()
                .nth(1)?
                .parse()
                .ok()?;
            Some((Pid::from_raw(pid), Pid::from_raw(parent)))
        })
        .collect()
}

/// The name that a process of the suite shows in `ps`, such as `smtpd`.
pub(crate) fn title_of(pid: Pid) -> Option<String> {
    let arguments = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let title = arguments.split(|&byte| byte == 0).next()?;
    let shown = title.strip_prefix(b"posthouse: ")?;
    Some(String::from_utf8_lossy(shown).into_owned())
}
