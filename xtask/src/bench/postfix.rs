//! Debian's Postfix in a folder of its own: accept and hold, nothing delivered.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use harness::{PATIENCE, SmtpClient, eventually};
use nix::unistd::User;

use crate::steps;

/// The services of Postfix's own master.cf that accepting mail needs, none in a chroot.
const MASTER_CF: &str = "\
pickup    unix  n       -       n       60      1       pickup
cleanup   unix  n       -       n       -       0       cleanup
qmgr      unix  n       -       n       300     1       qmgr
tlsmgr    unix  -       -       n       1000?   1       tlsmgr
rewrite   unix  -       -       n       -       -       trivial-rewrite
bounce    unix  -       -       n       -       0       bounce
defer     unix  -       -       n       -       0       bounce
trace     unix  -       -       n       -       0       bounce
verify    unix  -       -       n       -       1       verify
flush     unix  n       -       n       1000?   0       flush
proxymap  unix  -       -       n       -       -       proxymap
showq     unix  n       -       n       -       -       showq
error     unix  -       -       n       -       -       error
retry     unix  -       -       n       -       -       error
local     unix  -       n       n       -       -       local
anvil     unix  -       -       n       -       1       anvil
postlog   unix-dgram n  -       n       -       1       postlogd
";

/// A running Postfix.
pub struct Postfix {
    folder: tempfile::TempDir,
    address: SocketAddr,
}

impl Postfix {
    /// Configures and starts it.
    pub fn start() -> Result<Self, String> {
        let folder = tempfile::Builder::new()
            .prefix("posthouse-postfix-")
            .tempdir();
        let folder = folder.map_err(|error| format!("cannot make a folder: {error}"))?;
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
        let address = listener.map_err(|error| format!("cannot find a port: {error}"))?;
        let postfix = Self { folder, address };
        postfix
            .configure()
            .map_err(|error| format!("cannot configure Postfix: {error}"))?;
        postfix.control("start")?;
        let greeted = eventually(PATIENCE, || SmtpClient::greeted(address).ok());
        greeted
            .map(|_| postfix)
            .ok_or_else(|| "Postfix does not greet".to_owned())
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("etc")
    }

    fn configure(&self) -> std::io::Result<()> {
        let root = self.folder.path();
        fs::set_permissions(root, fs::Permissions::from_mode(0o755))?;
        for name in ["etc", "spool", "data", "log"] {
            fs::create_dir_all(root.join(name))?;
        }
        let owner = User::from_name("postfix")
            .ok()
            .flatten()
            .map(|user| user.uid.as_raw());
        chown(root.join("data"), owner, None)?;
        fs::write(self.config().join("main.cf"), main_cf(root))?;
        let port = self.address.port();
        let smtpd = format!("127.0.0.1:{port} inet n - n - - smtpd\n");
        fs::write(
            self.config().join("master.cf"),
            format!("{smtpd}{MASTER_CF}"),
        )
    }

    fn control(&self, verb: &str) -> Result<(), String> {
        let config = self.config();
        let mut postfix = steps::command("postfix", &["-c", &config.to_string_lossy(), verb]);
        let status = postfix
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match status {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!(
                "postfix {verb}: {status}; its log is in {}",
                config.display()
            )),
            Err(error) => Err(format!("cannot run postfix: {error}")),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its master's pid.
    pub fn master_pid(&self) -> Result<i32, String> {
        let path = self.folder.path().join("spool/pid/master.pid");
        let text =
            fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        text.trim()
            .parse()
            .map_err(|_| format!("{}: no pid", path.display()))
    }
}

impl Drop for Postfix {
    fn drop(&mut self) {
        if let Err(why) = self.control("stop") {
            eprintln!("{why}");
        }
    }
}

fn main_cf(root: &Path) -> String {
    let root = root.display();
    format!(
        "compatibility_level = 3.6\n\
         queue_directory = {root}/spool\n\
         data_directory = {root}/data\n\
         command_directory = /usr/sbin\n\
         daemon_directory = /usr/lib/postfix/sbin\n\
         mail_owner = postfix\n\
         setgid_group = postdrop\n\
         myhostname = mail.posthouse.test\n\
         mydestination = posthouse.test\n\
         inet_interfaces = 127.0.0.1\n\
         inet_protocols = ipv4\n\
         local_recipient_maps =\n\
         alias_maps =\n\
         alias_database =\n\
         default_process_limit = 200\n\
         smtpd_client_connection_count_limit = 0\n\
         smtpd_client_restrictions = check_client_access static:HOLD\n\
         maillog_file = {root}/log/maillog\n\
         maillog_file_prefixes = {root}\n"
    )
}
