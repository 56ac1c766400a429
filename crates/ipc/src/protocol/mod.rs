//! What the processes say to each other: one file per protocol, one enum per direction.
//!
//! | protocol | client → server | file |
//! |---|---|---|
//! | [`Intake`] | smtpd → queue-manager | `intake.rs` |
//! | [`Delivery`] | delivery agent → queue-manager | `delivery.rs` |
//! | [`QueueControl`] | posthouse command → queue-manager | `queue_control.rs` |
//! | [`Recipients`], [`Expansion`], [`Mailboxes`], [`Logins`] | smtpd, queue-manager, local-delivery, pop3d → directory | `directory.rs` |
//! | [`MailboxUsage`] | directory → local-delivery | `mailbox_usage.rs` |
//! | [`Supervise`] | child → master | `supervise.rs` |

mod delivery;
mod directory;
mod intake;
mod mailbox_usage;
mod queue_control;
mod supervise;

pub use delivery::{
    AgentMessage, Delivery, DeliveryTransport, LeaseId, QueueMessage, Work, WorkContent,
    WorkOutcome, WorkRecipient,
};
pub use directory::{
    Expansion, ExpansionLeaf, ExpansionReply, ExpansionRequest, ExpnReply, LeafEnd, LoginReply,
    LoginRequest, Logins, MailboxFormat, MailboxReply, MailboxRequest, MailboxSpec, Mailboxes,
    RecipientReply, RecipientVerdict, Recipients, RecipientsRequest, ServiceName, Ticket,
    VrfyReply,
};
pub use intake::{Intake, IntakeReply, IntakeRequest, Origin, Refusal, SpoolId};
pub use mailbox_usage::{MailboxUsage, UsageReply, UsageRequest};
pub use queue_control::{
    MessageState, MessageSummary, QueueControl, QueueControlReply, QueueControlRequest,
    QueueStatus, RecipientSummary, Selection,
};
pub use supervise::{ChildMessage, MasterMessage, SessionProgram, SessionTicket, Supervise};
