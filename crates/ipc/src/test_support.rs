//! A protocol and helpers for the tests of this crate.

use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::{Listener, Protocol};

#[derive(Debug)]
pub(crate) enum Echo {}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Say {
    Text(String),
    Number(u64),
}

impl Protocol for Echo {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 3;
    const MAX_BODY: usize = 1024;
    const MAX_PAYLOAD: usize = 8 << 20;
    const MAX_FDS: usize = 2;
    type Request = Say;
    type Reply = Say;
}

/// Echo of another release.
#[derive(Debug)]
pub(crate) enum NewerEcho {}

impl Protocol for NewerEcho {
    const NAME: &'static str = "echo";
    const VERSION: u32 = 4;
    const MAX_BODY: usize = 1024;
    const MAX_PAYLOAD: usize = 0;
    const MAX_FDS: usize = 0;
    type Request = Say;
    type Reply = Say;
}

/// A listening socket in a folder of its own.
pub(crate) struct Place {
    _folder: tempfile::TempDir,
    pub path: PathBuf,
}

impl Place {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("socket");
        Self {
            _folder: folder,
            path,
        }
    }

    pub fn listen(&self) -> Listener {
        Listener::new(bind(&self.path).into(), 8).expect("listener")
    }
}

pub(crate) fn bind(path: &Path) -> UnixListener {
    let _ = std::fs::remove_file(path);
    UnixListener::bind(path).expect("bound socket")
}
