//! The door: who connects, which protocol they may speak, and one task for each channel.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use daemon::Drain;
use ipc::protocol::{Delivery, Intake, QueueControl};
use ipc::{Connection, Greeted, Listener, NewConnection, Peer, Protocol, Sender};
use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;

use crate::intake::Door;
use crate::log;
use crate::manager::{AgentId, Input};
use crate::settings::Access;

/// Channels that exist at a time; each smtpd and each agent has one.
const MAX_CHANNELS: usize = 256;
/// After accepting failed, the next attempt is made after this.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

/// What serves the channels.
pub(crate) struct Server {
    pub(crate) access: Arc<Access>,
    pub(crate) door: Door,
    pub(crate) inbox: UnboundedSender<Input>,
}

impl Server {
    /// Serves until the drain begins; then every intake channel has said farewell when this returns.
    pub(crate) async fn run(self, listening: OwnedFd, drain: Drain) -> std::io::Result<()> {
        let listener = Listener::new(listening, MAX_CHANNELS)?;
        let mut channels = JoinSet::new();
        let mut number = 0;
        let drained = drain.requested();
        tokio::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => break,
                Some(_) = channels.join_next() => {}
                accepted = listener.accept() => match accepted {
                    Ok(new) => {
                        number += 1;
                        channels.spawn(self.channel(new, AgentId(number), drain.clone()));
                    }
                    Err(error) => {
                        log::accept_failed(&error);
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
            }
        }
        while channels.join_next().await.is_some() {}
        Ok(())
    }

    fn channel(
        &self,
        new: NewConnection,
        number: AgentId,
        drain: Drain,
    ) -> impl Future<Output = ()> + Send + 'static {
        let access = Arc::clone(&self.access);
        let (door, inbox) = (self.door.clone(), self.inbox.clone());
        async move {
            let peer = new.peer();
            let greeted = match new.greeting().await {
                Ok(greeted) => greeted,
                Err(error) => return log::channel_fault("", peer.uid, &error),
            };
            let protocol = greeted.protocol().to_owned();
            match protocol.as_str() {
                Intake::NAME if access.may(&access.intake, peer) => {
                    if let Some(channel) = accept::<Intake>(greeted).await {
                        door.serve(channel, peer.uid).await;
                    }
                }
                Delivery::NAME if access.may(&access.delivery, peer) => {
                    if let Some(channel) = accept::<Delivery>(greeted).await {
                        deliver(channel, peer.uid, number, &inbox, &drain).await;
                    }
                }
                QueueControl::NAME => {
                    if let Some(channel) = accept::<QueueControl>(greeted).await {
                        let allowed = access.may_control(peer);
                        control(channel, peer, allowed, &inbox, &drain).await;
                    }
                }
                other => {
                    let reason = "this user may not speak this protocol here";
                    log::channel_refused(&other.escape_debug().to_string(), peer.uid, reason);
                    greeted.refuse();
                }
            }
        }
    }
}

async fn accept<P: Protocol>(greeted: Greeted) -> Option<Connection<P::Reply, P::Request>> {
    let uid = greeted.peer().uid;
    match greeted.accept::<P>().await {
        Ok(channel) => Some(channel),
        Err(error) => {
            log::channel_fault(P::NAME, uid, &error);
            None
        }
    }
}

impl Access {
    fn may(&self, users: &[u32], peer: Peer) -> bool {
        peer.uid == 0 || users.contains(&peer.uid)
    }

    fn may_control(&self, peer: Peer) -> bool {
        self.may(&self.control_users, peer) || self.control_groups.contains(&peer.gid)
    }
}

/// Passes on what an agent says. While draining it goes on, for outcomes that are under way; it ends with the
/// manager.
async fn deliver(
    channel: Connection<<Delivery as Protocol>::Reply, <Delivery as Protocol>::Request>,
    uid: u32,
    number: AgentId,
    inbox: &UnboundedSender<Input>,
    drain: &Drain,
) {
    let Connection {
        sender,
        mut receiver,
    } = channel;
    let ended = async {
        drain.requested().await;
        inbox.closed().await;
    };
    tokio::pin!(ended);
    loop {
        let input = tokio::select! {
            () = &mut ended => {
                sender.goodbye();
                sender.written().await;
                return;
            }
            received = receiver.receive() => match received {
                Ok(Some(frame)) => Input::from_agent(number, &sender, frame),
                Ok(None) => break,
                Err(error) => {
                    log::channel_fault(Delivery::NAME, uid, &error);
                    break;
                }
            },
        };
        if inbox.send(input).is_err() {
            return;
        }
    }
    // Without a manager there is nobody to tell.
    let _ = inbox.send(Input::AgentGone(number));
}

/// Passes on what an administrator asks; the manager answers.
async fn control(
    channel: Connection<<QueueControl as Protocol>::Reply, <QueueControl as Protocol>::Request>,
    peer: Peer,
    allowed: bool,
    inbox: &UnboundedSender<Input>,
    drain: &Drain,
) {
    let Connection {
        sender,
        mut receiver,
    } = channel;
    let drained = drain.requested();
    tokio::pin!(drained);
    loop {
        let frame = tokio::select! {
            () = &mut drained => return farewell(&sender).await,
            received = receiver.receive() => match received {
                Ok(Some(frame)) => frame,
                Ok(None) => return,
                Err(error) => return log::channel_fault(QueueControl::NAME, peer.uid, &error),
            },
        };
        if !allowed {
            log::channel_refused(QueueControl::NAME, peer.uid, "not an administrator");
            let denied = ipc::protocol::QueueControlReply::Denied;
            if sender.send(frame.id, &denied).is_err() {
                return;
            }
            continue;
        }
        let input = Input::Control {
            request: frame.message,
            sender: sender.clone(),
            id: frame.id,
            uid: peer.uid,
        };
        if inbox.send(input).is_err() {
            return;
        }
    }
}

async fn farewell<M>(sender: &Sender<M>) {
    sender.goodbye();
    sender.written().await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_user_may_do_its_own_and_root_everything() {
        let access = Access {
            intake: vec![1],
            delivery: vec![2],
            control_users: vec![3],
            control_groups: vec![30],
        };
        let peer = |uid, gid| Peer {
            uid,
            gid,
            pid: None,
        };
        for (peer, intake, delivery, control) in [
            (peer(0, 0), true, true, true),
            (peer(1, 9), true, false, false),
            (peer(2, 9), false, true, false),
            (peer(3, 9), false, false, true),
            (peer(4, 30), false, false, true),
            (peer(4, 9), false, false, false),
        ] {
            assert_eq!(access.may(&access.intake, peer), intake, "{peer:?}");
            assert_eq!(access.may(&access.delivery, peer), delivery, "{peer:?}");
            assert_eq!(access.may_control(peer), control, "{peer:?}");
        }
    }
}
