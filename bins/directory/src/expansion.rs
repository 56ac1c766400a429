//! `Expansion`: where accepted mail goes, for queue-manager.

use std::sync::Arc;

use directory::Tables;
use ipc::protocol::{Expansion, ExpansionLeaf, ExpansionReply, ExpansionRequest, LeafEnd};
use ipc::{Frame, Protocol, Sender};
use mail_types::{Address, Deferral, EnhancedStatus, Failure, Target};
use routing::{End, Leaf};
use telemetry::{catalogue, event};

use crate::state::State;

/// Room in a reply for leaves; the rest is for what stands around them.
const ROOM: usize = Expansion::MAX_BODY - (64 << 10);
/// What a leaf takes beside its texts, at most: tags, lengths, numbers.
const LEAF_OVERHEAD: usize = 64;

/// Answers one request: at once, unless there is an alias among the addresses. A large one takes
/// milliseconds, in which nobody else would be answered.
pub fn answer(state: &Arc<State>, frame: Frame<ExpansionRequest>, sender: &Sender<ExpansionReply>) {
    let (tables, addresses) = (state.tables(), frame.message.addresses);
    let (id, sender) = (frame.id, sender.clone());
    let has_alias = addresses.iter().any(|address| tables.is_alias(address));
    let reply = move || {
        // Whoever asked and is gone asks again.
        let _ = sender.send(id, &expand(&tables, &addresses));
    };
    if has_alias {
        tokio::task::spawn_blocking(reply);
    } else {
        reply();
    }
}

/// Expands each address; what finds no room in the reply is to be asked again without the others.
fn expand(tables: &Tables, addresses: &[Address]) -> ExpansionReply {
    let mut room = ROOM;
    let expanded = addresses.iter().map(|address| {
        let leaves: Vec<_> = tables.expand(address).into_iter().map(leaf).collect();
        log_failures(address, &leaves);
        let size: usize = leaves.iter().map(size).sum();
        if size > ROOM {
            return vec![failed("the alias expands to more than fits one answer")];
        }
        match room.checked_sub(size) {
            Some(left) => {
                room = left;
                leaves
            }
            None => vec![deferred("asked together with too many large aliases")],
        }
    });
    ExpansionReply {
        leaves: expanded.collect(),
    }
}

fn leaf(leaf: Leaf) -> ExpansionLeaf {
    ExpansionLeaf {
        end: match leaf.end {
            End::Target(target) => LeafEnd::Target(target),
            End::Failed(failure) => LeafEnd::Failed(failure),
            End::Deferred(deferral) => LeafEnd::Deferred(deferral),
        },
        owner: leaf.owner,
    }
}

fn size(leaf: &ExpansionLeaf) -> usize {
    let end = match &leaf.end {
        LeafEnd::Target(Target::Mailbox(address) | Target::Remote(address)) => printed(address),
        LeafEnd::Target(Target::File(path)) => path.as_os_str().len(),
        LeafEnd::Target(Target::Command(command)) => command.len(),
        LeafEnd::Failed(Failure { text, .. }) | LeafEnd::Deferred(Deferral { text, .. }) => {
            text.len()
        }
    };
    LEAF_OVERHEAD + end + leaf.owner.as_ref().map_or(0, printed)
}

fn printed(address: &Address) -> usize {
    address.to_string().len()
}

fn failed(text: &str) -> ExpansionLeaf {
    let text = text.to_owned();
    let status = EnhancedStatus::new(5, 2, 4);
    ExpansionLeaf {
        end: LeafEnd::Failed(Failure { status, text }),
        owner: None,
    }
}

fn deferred(text: &str) -> ExpansionLeaf {
    let text = text.to_owned();
    let status = EnhancedStatus::new(4, 2, 4);
    ExpansionLeaf {
        end: LeafEnd::Deferred(Deferral { status, text }),
        owner: None,
    }
}

/// An alias that loops or grows over a limit is the administrator's to mend.
fn log_failures(address: &Address, leaves: &[ExpansionLeaf]) {
    for leaf in leaves {
        if let LeafEnd::Failed(failure) = &leaf.end
            && (failure.status.subject, failure.status.detail) != (1, 1)
        {
            event!(catalogue::ALIAS_REFUSED, address = %address, reason = failure.text);
        }
    }
}
