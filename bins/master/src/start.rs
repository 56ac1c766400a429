//! Starting a child: which program, as what in `ps`, with which descriptors, as whom.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use ipc::protocol::{SessionProgram, SessionTicket};
use sandbox::ids::Identity;
use sandbox::listen::duplicate;
use sandbox::process::Program;

use crate::children::Control;
use crate::folders::Locks;
use crate::plan::Plan;
use crate::sockets::Sockets;
use crate::table::Service;

/// Starts a process of a service. It comes up as root, if master is, and jails itself.
pub fn service(
    service: &Service,
    plan: &Plan,
    sockets: &Sockets,
    locks: &Locks,
) -> io::Result<(u32, Control)> {
    let mut program = program(service.name, plan)?;
    if let Some(what) = service.listens {
        for (number, socket) in sockets.tcp(what)?.into_iter().enumerate() {
            program = program.fd(format!("listen.{what}.{number}"), socket);
        }
    }
    if let Some(name) = service.socket {
        program = program.fd("ipc", sockets.local(name)?);
    }
    if service.works_in_queue {
        program = program.fd("lock", locks.share_queue()?);
    }
    launch(program)
}

/// Starts a session half as the owner of the mailbox; without root, as the one user that there is.
pub fn session(
    session: &SessionTicket,
    client: OwnedFd,
    plan: &Plan,
) -> io::Result<(u32, Control)> {
    let name = match session.program {
        SessionProgram::Pop3 => "pop3-session",
    };
    let mut program = program(name, plan)?.fd("client", client);
    if sandbox::ids::is_root() {
        let (uid, gid) = (session.mailbox.uid, session.mailbox.gid);
        program = program.identity(Identity {
            uid,
            gid,
            groups: vec![gid],
        });
    }
    launch(program)
}

fn program(name: &str, plan: &Plan) -> io::Result<Program> {
    let program = Program::new(plan.programs.join(name), format!("posthouse: {name}"));
    Ok(program.fd("config", duplicate(&plan.configuration)?))
}

fn launch(program: Program) -> io::Result<(u32, Control)> {
    let (ours, theirs) = UnixStream::pair()?;
    let control = Control::from_fd(OwnedFd::from(ours))?;
    let pid = program.fd("control", OwnedFd::from(theirs)).start()?;
    Ok((pid, control))
}
