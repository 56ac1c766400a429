//! Where the content of an open transaction is, and how it gets into the queue.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipc::protocol::{IntakeReply, IntakeRequest, Origin, Refusal, SpoolId};
use ipc::{CallError, Frame};
use mail_types::{Envelope, QueueId};
use smtp_proto::NotStored;

use crate::backends::Backends;
use crate::log;

/// How much is gathered for one write to a spool file.
const CHUNK: usize = 64 << 10;
/// How long an abort may take; it is only a courtesy.
const ABORT_TIME: Duration = Duration::from_secs(30);

/// Content in memory, and in a spool file once it is large.
#[derive(Debug, Default)]
pub(crate) struct Content {
    /// What is not in the spool file.
    pub(crate) buffer: Vec<u8>,
    spool: Option<Spool>,
}

#[derive(Debug)]
struct Spool {
    id: SpoolId,
    /// Write-only.
    file: File,
    written: u64,
}

impl Content {
    /// Starts with the trace header; `expected` octets are to come, as far as known.
    pub(crate) fn begin(&mut self, header: &str, expected: u64, inline_limit: usize) {
        let room = usize::try_from(expected)
            .unwrap_or(usize::MAX)
            .min(inline_limit);
        self.buffer = Vec::with_capacity(header.len() + room.max(1024));
        self.buffer.extend_from_slice(header.as_bytes());
    }

    /// Whether enough is in memory to write it to the spool file.
    pub(crate) fn must_spill(&self, inline_limit: usize) -> bool {
        let limit = match self.spool {
            None => inline_limit,
            Some(_) => CHUNK,
        };
        self.buffer.len() > limit
    }

    /// Writes what is in memory to the spool file, which is opened first if need be.
    pub(crate) async fn spill(
        &mut self,
        backends: &Backends,
        expected: u64,
        timeout: Duration,
    ) -> Result<(), NotStored> {
        if self.spool.is_none() {
            self.spool = Some(open(backends, expected, timeout).await?);
        }
        if let Some(spool) = &mut self.spool {
            spool
                .file
                .write_all(&self.buffer)
                .map_err(|error| why(&error))?;
            spool.written += self.buffer.len() as u64;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Makes the message durable. Whatever the outcome, nothing is kept here.
    pub(crate) async fn store(
        &mut self,
        backends: &Backends,
        request: Request,
        timeout: Duration,
    ) -> Result<Stored, NotStored> {
        if self.spool.is_some() {
            self.spill(backends, 0, timeout).await?;
        }
        let payload = Bytes::from(std::mem::take(&mut self.buffer));
        let size = self
            .spool
            .as_ref()
            .map_or(payload.len() as u64, |spool| spool.written);
        let request = request.into_intake(self.spool.as_ref());
        let queue_id = match call(backends, &request, payload, timeout).await?.message {
            IntakeReply::Durable { queue_id } => queue_id,
            IntakeReply::Refused(refusal) => return Err(refused(refusal)),
            IntakeReply::Spool { .. } | IntakeReply::Aborted => {
                return Err(NotStored::StorageFailed);
            }
        };
        self.spool = None;
        Ok(Stored {
            queue_id,
            size,
            request,
        })
    }

    /// Forgets everything and has the spool file removed.
    pub(crate) fn discard(&mut self, backends: &Arc<Backends>) {
        self.buffer = Vec::new();
        let Some(Spool { id, file, .. }) = self.spool.take() else {
            return;
        };
        drop(file);
        let backends = Arc::clone(backends);
        tokio::spawn(async move {
            let request = IntakeRequest::Abort { spool: id };
            // When it is lost, queue-manager removes the file as an orphan later.
            let _ = call(&backends, &request, Bytes::new(), ABORT_TIME).await;
        });
    }
}

/// Whose content it is.
pub(crate) struct Request {
    pub(crate) envelope: Envelope,
    pub(crate) origin: Origin,
}

impl Request {
    fn into_intake(self, spool: Option<&Spool>) -> IntakeRequest {
        let Self { envelope, origin } = self;
        match spool {
            None => IntakeRequest::Submit { envelope, origin },
            Some(spool) => IntakeRequest::Commit {
                spool: spool.id,
                size: spool.written,
                envelope,
                origin,
            },
        }
    }
}

/// A message that is durable.
#[derive(Debug)]
pub(crate) struct Stored {
    pub(crate) queue_id: QueueId,
    pub(crate) size: u64,
    request: IntakeRequest,
}

impl Stored {
    /// As it was stored.
    pub(crate) fn envelope(&self) -> Option<&Envelope> {
        match &self.request {
            IntakeRequest::Submit { envelope, .. } | IntakeRequest::Commit { envelope, .. } => {
                Some(envelope)
            }
            IntakeRequest::OpenSpool { .. } | IntakeRequest::Abort { .. } => None,
        }
    }
}

async fn open(backends: &Backends, expected: u64, timeout: Duration) -> Result<Spool, NotStored> {
    let request = IntakeRequest::OpenSpool { expected };
    let mut frame = call(backends, &request, Bytes::new(), timeout).await?;
    match (frame.message, frame.fds.pop()) {
        (IntakeReply::Spool { spool }, Some(fd)) => Ok(Spool {
            id: spool,
            file: File::from(fd),
            written: 0,
        }),
        (IntakeReply::Refused(refusal), _) => Err(refused(refusal)),
        _ => Err(NotStored::StorageFailed),
    }
}

async fn call(
    backends: &Backends,
    request: &IntakeRequest,
    payload: Bytes,
    timeout: Duration,
) -> Result<Frame<IntakeReply>, NotStored> {
    match backends
        .queue
        .call(request, payload, Vec::new(), timeout)
        .await
    {
        Ok(frame) => Ok(frame),
        Err(error) => {
            backends.complain_about_queue(&error);
            Err(match error {
                CallError::NotSent(_) => NotStored::StorageFailed,
                _ => NotStored::Unavailable,
            })
        }
    }
}

fn refused(refusal: Refusal) -> NotStored {
    match refusal {
        Refusal::DiskFull => NotStored::DiskFull,
        Refusal::Overloaded => NotStored::Overloaded,
        Refusal::StorageFailed | Refusal::SpoolMismatch => NotStored::StorageFailed,
    }
}

fn why(error: &io::Error) -> NotStored {
    log::spool_write_failed(error);
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => NotStored::DiskFull,
        _ => NotStored::StorageFailed,
    }
}
