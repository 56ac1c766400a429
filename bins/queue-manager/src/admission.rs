//! How many new messages may go from acceptance to delivery without being read back from disk.
//!
//! A [`Place`] is taken before a message is handed to the store and given back when its content leaves
//! memory: so the bound holds whatever happens in between.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The room for new messages in memory.
#[derive(Debug)]
pub(crate) struct Admission {
    messages: AtomicUsize,
    bytes: AtomicUsize,
}

impl Admission {
    pub(crate) fn new(messages: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            messages: AtomicUsize::new(messages),
            bytes: AtomicUsize::new(bytes),
        })
    }

    /// Takes a place for content of `bytes` octets, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, bytes: usize) -> Option<Place> {
        take(&self.messages, 1)?;
        if take(&self.bytes, bytes).is_none() {
            self.messages.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        Some(Place {
            admission: Arc::clone(self),
            bytes,
        })
    }
}

fn take(left: &AtomicUsize, count: usize) -> Option<()> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(count)
    })
    .ok()
    .map(drop)
}

/// One message's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.messages.fetch_add(1, Ordering::Relaxed);
        self.admission
            .bytes
            .fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let admission = Admission::new(2, 100);
        let first = admission.admit(60).unwrap();
        assert!(admission.admit(60).is_none(), "too many bytes");
        let second = admission.admit(40).unwrap();
        assert!(admission.admit(0).is_none(), "too many messages");
        drop(first);
        assert!(admission.admit(60).is_some());
        drop(second);
    }
}
