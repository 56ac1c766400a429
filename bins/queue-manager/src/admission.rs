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
    recipients: AtomicUsize,
    bytes: AtomicUsize,
}

impl Admission {
    pub(crate) fn new(messages: usize, recipients: usize, bytes: usize) -> Arc<Self> {
        Arc::new(Self {
            messages: AtomicUsize::new(messages),
            recipients: AtomicUsize::new(recipients),
            bytes: AtomicUsize::new(bytes),
        })
    }

    /// Takes a place for a message of so many recipients and octets, if there is one.
    pub(crate) fn admit(self: &Arc<Self>, recipients: usize, bytes: usize) -> Option<Place> {
        // What was taken before something is missing goes back with the place.
        let mut place = Place {
            admission: Arc::clone(self),
            messages: 0,
            recipients: 0,
            bytes: 0,
        };
        place.messages = take(&self.messages, 1)?;
        place.recipients = take(&self.recipients, recipients)?;
        place.bytes = take(&self.bytes, bytes)?;
        Some(place)
    }
}

fn take(left: &AtomicUsize, count: usize) -> Option<usize> {
    left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
        left.checked_sub(count)
    })
    .ok()
    .map(|_| count)
}

/// One message's place; dropping it gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    admission: Arc<Admission>,
    messages: usize,
    recipients: usize,
    bytes: usize,
}

impl Drop for Place {
    fn drop(&mut self) {
        let back = |left: &AtomicUsize, count| {
            left.fetch_add(count, Ordering::Relaxed);
        };
        back(&self.admission.messages, self.messages);
        back(&self.admission.recipients, self.recipients);
        back(&self.admission.bytes, self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_come_back() {
        let admission = Admission::new(2, 10, 100);
        let first = admission.admit(1, 60).unwrap();
        assert!(admission.admit(1, 60).is_none(), "too many octets");
        assert!(admission.admit(10, 1).is_none(), "too many recipients");
        let second = admission.admit(9, 40).unwrap();
        assert!(admission.admit(0, 0).is_none(), "too many messages");
        drop(first);
        assert!(admission.admit(1, 60).is_some());
        drop(second);
    }
}
