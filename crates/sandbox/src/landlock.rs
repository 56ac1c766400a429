//! Landlock: which files a process may touch, and that it neither connects to nor binds TCP ports.
//!
//! Invariants: rules only ever take rights away, for this process and all it starts. What the kernel cannot
//! enforce is reported by name and the rest is enforced. Paths are opened when the rules are made: a link
//! that is redirected later changes nothing.
//!
//! Absent on purpose: rights that a newer kernel may add (we ask for no more than the version that the tests
//! ran on), and per-port rules (no program so far may connect out at all).

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use ::landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, PathBeneath, PathFd, PathFdError, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};

/// The newest version whose rights are asked for; chosen because the tests have run on it.
const NEWEST: ABI = ABI::V6;

/// What each version added (`landlock(7)`), for the report of what is missing.
const FEATURES: [(i32, &str); 5] = [
    (
        1,
        "Landlock: file rules (needs Linux 5.13 with landlock among its security modules)",
    ),
    (3, "Landlock: rule on truncating files (needs Linux 6.2)"),
    (
        4,
        "Landlock: rules on TCP bind and connect (needs Linux 6.7)",
    ),
    (5, "Landlock: rule on device ioctls (needs Linux 6.10)"),
    (
        6,
        "Landlock: signals and abstract sockets kept inside (needs Linux 6.12)",
    ),
];

/// What may be done below a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rights {
    /// Read files and list folders.
    Read,
    /// Read and execute files, list folders.
    ReadExecute,
    /// Everything except executing files and making devices or sockets.
    ReadWrite,
    /// Everything except making devices or sockets; the whole tree stays open.
    All,
}

/// One rule: rights below a file or folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PathRule {
    /// The file, or the folder with all below it.
    pub path: PathBuf,
    /// What may be done there.
    pub rights: Rights,
    /// Whether the path must exist; one that is optional and absent is left out.
    pub required: bool,
}

impl PathRule {
    /// A rule for a path that must exist.
    pub fn new(path: impl Into<PathBuf>, rights: Rights) -> Self {
        Self {
            path: path.into(),
            rights,
            required: true,
        }
    }

    /// A rule for a path that may be absent.
    pub fn optional(path: impl Into<PathBuf>, rights: Rights) -> Self {
        Self {
            path: path.into(),
            rights,
            required: false,
        }
    }
}

/// Whether processes outside this jail may be signalled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signals {
    /// Only processes inside the same jail.
    Inside,
    /// All that the ids allow.
    Anyone,
}

/// A set of rules whose paths have been opened, ready to be enforced later in a changed root folder.
#[derive(Debug)]
pub struct Rules {
    ruleset: Option<::landlock::RulesetCreated>,
    missing: Vec<String>,
}

impl Rules {
    /// Opens the paths and makes the rule set; nothing is restricted yet.
    pub fn prepare(paths: &[PathRule], signals: Signals) -> io::Result<Self> {
        let version = kernel_version();
        let missing = missing_features(version);
        if version < 1 {
            return Ok(Self {
                ruleset: None,
                missing,
            });
        }
        let mut ruleset = Ruleset::default();
        // Version 1 forbids every rename or link between folders as soon as any file right is handled; a
        // Maildir needs exactly that (tmp to new). Such kernels (5.13 to 5.18) get no file rules.
        let files = version >= 2;
        if files {
            ruleset = ruleset
                .handle_access(AccessFs::from_all(NEWEST))
                .map_err(failed)?;
        }
        if version >= 4 {
            ruleset = ruleset
                .handle_access(AccessNet::BindTcp | AccessNet::ConnectTcp)
                .map_err(failed)?;
        }
        if version >= 6 {
            ruleset = ruleset.scope(scope(signals)).map_err(failed)?;
        }
        if !files && version < 4 {
            return Ok(Self {
                ruleset: None,
                missing,
            });
        }
        let mut created = ruleset.create().map_err(failed)?;
        for rule in paths.iter().filter(|_| files) {
            let Some(fd) = open(rule)? else { continue };
            let access = access(rule.rights, &fd, &rule.path)?;
            created = created
                .add_rule(PathBeneath::new(fd, access))
                .map_err(failed)?;
        }
        Ok(Self {
            ruleset: Some(created),
            missing,
        })
    }

    /// Enforces the rules on this thread and all it starts. Answers what the kernel could not enforce.
    ///
    /// Call it before the process has a second thread. Sets no_new_privs, which the kernel demands.
    pub fn enforce(self) -> io::Result<Vec<String>> {
        let mut missing = self.missing;
        if let Some(ruleset) = self.ruleset {
            let status = ruleset.restrict_self().map_err(failed)?;
            if status.ruleset == RulesetStatus::NotEnforced && missing.is_empty() {
                missing.push("Landlock: the kernel enforced nothing".to_owned());
            }
        }
        Ok(missing)
    }
}

/// The kernel's Landlock version; 0 if it has none or has it switched off.
pub fn kernel_version() -> i32 {
    const CREATE_RULESET_VERSION: u32 = 1;
    let none: *const libc::c_void = std::ptr::null();
    // SAFETY: with this flag and a null pointer the call reads no memory and answers a number.
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            none,
            0_usize,
            CREATE_RULESET_VERSION,
        )
    };
    i32::try_from(version).unwrap_or(0).max(0)
}

fn missing_features(version: i32) -> Vec<String> {
    let needed = |needs: i32| if needs == 1 { 2 } else { needs };
    FEATURES
        .iter()
        .filter(|(needs, _)| version < needed(*needs))
        .map(|(_, feature)| (*feature).to_owned())
        .collect()
}

fn scope(signals: Signals) -> BitFlags<Scope> {
    match signals {
        Signals::Inside => Scope::AbstractUnixSocket | Scope::Signal,
        Signals::Anyone => Scope::AbstractUnixSocket.into(),
    }
}

fn open(rule: &PathRule) -> io::Result<Option<PathFd>> {
    match PathFd::new(&rule.path) {
        Ok(fd) => Ok(Some(fd)),
        Err(PathFdError::OpenCall { source, .. })
            if !rule.required && source.kind() == io::ErrorKind::NotFound =>
        {
            Ok(None)
        }
        Err(error) => Err(io::Error::other(format!(
            "cannot open {} to allow access to it: {}",
            rule.path.display(),
            std::error::Error::source(&error)
                .map_or_else(|| error.to_string(), ToString::to_string)
        ))),
    }
}

/// The kernel's rights for ours; those that only a folder can have are left out for a file.
fn access(rights: Rights, fd: &PathFd, path: &Path) -> io::Result<BitFlags<AccessFs>> {
    let devices =
        AccessFs::MakeChar | AccessFs::MakeBlock | AccessFs::MakeSock | AccessFs::IoctlDev;
    let wanted = match rights {
        Rights::Read => AccessFs::ReadFile | AccessFs::ReadDir,
        Rights::ReadExecute => AccessFs::from_read(NEWEST),
        Rights::ReadWrite => AccessFs::from_all(NEWEST) & !(devices | AccessFs::Execute),
        Rights::All => AccessFs::from_all(NEWEST) & !devices,
    };
    let owned: OwnedFd = std::os::fd::AsFd::as_fd(fd).try_clone_to_owned()?;
    let is_folder = std::fs::File::from(owned)
        .metadata()
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?
        .is_dir();
    Ok(if is_folder {
        wanted
    } else {
        wanted & AccessFs::from_file(NEWEST)
    })
}

fn failed(error: RulesetError) -> io::Error {
    io::Error::other(format!("Landlock: {error}"))
}
