//! `[paths]`

use std::path::PathBuf;

use crate::record::settings;

settings! {
    /// Folders of the suite.
    paths: Paths {
        /// The folder of the queue, on a local file system that keeps what was synced. Only queue-manager
        /// opens it. Its database and its `spool` folder belong together: move or restore both.
        queue_dir: PathBuf {
            default: PathBuf::from("/var/lib/posthouse/queue"),
            readers: ["master", "queue-manager"],
        }
        /// The folder for what does not survive a restart: the sockets between the programs and the lock
        /// that keeps two masters from running on one queue.
        run_dir: PathBuf {
            default: PathBuf::from("/run/posthouse"),
            readers: ["master", "posthouse"],
        }
        /// The folder of the programs that master starts; by default the folder that master itself is in.
        lib_dir: Option<PathBuf> {
            default: None,
            readers: ["master"],
        }
    }
}
