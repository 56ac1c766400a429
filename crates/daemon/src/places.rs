//! How many clients a service has, in all and each.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Which limit keeps a client out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoPlace {
    /// That on all sessions.
    InAll,
    /// That on the sessions of one client.
    OfClient,
}

/// The limits and who is here.
#[derive(Debug)]
pub struct Places {
    limit: usize,
    limit_per_client: u32,
    present: Mutex<Present>,
    /// The first session came, or the last one went.
    turned: Notify,
}

#[derive(Debug, Default)]
struct Present {
    total: usize,
    by_client: HashMap<Key, u32>,
}

/// One client: an IPv4 address, or an IPv6 network of 64 bits, which is what one customer has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key {
    V4(u32),
    V6(u64),
}

impl Key {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(ip) => Self::V4(ip.to_bits()),
            IpAddr::V6(ip) => Self::V6(u64::try_from(ip.to_bits() >> 64).unwrap_or_default()),
        }
    }
}

/// A session's place; given back when dropped.
#[derive(Debug)]
pub struct Place {
    places: Arc<Places>,
    key: Option<Key>,
}

impl Places {
    /// Nobody yet.
    #[must_use]
    pub fn new(limit: usize, limit_per_client: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            limit_per_client,
            present: Mutex::default(),
            turned: Notify::new(),
        })
    }

    /// A place for a session from `client`; trusted clients share only the limit of all.
    ///
    /// # Errors
    /// Which limit is reached.
    pub fn take(self: &Arc<Self>, client: IpAddr, trusted: bool) -> Result<Place, NoPlace> {
        let mut present = self.present();
        if present.total >= self.limit {
            return Err(NoPlace::InAll);
        }
        let key = (!trusted).then(|| Key::of(client));
        if let Some(key) = key {
            let count = present.by_client.entry(key).or_insert(0);
            if *count >= self.limit_per_client {
                return Err(NoPlace::OfClient);
            }
            *count += 1;
        }
        present.total += 1;
        if present.total == 1 {
            self.turned.notify_waiters();
        }
        Ok(Place {
            places: Arc::clone(self),
            key,
        })
    }

    /// Waits until there is a session.
    pub async fn somebody(&self) {
        self.until(|total| total > 0).await;
    }

    /// Waits until there is none.
    pub async fn nobody(&self) {
        self.until(|total| total == 0).await;
    }

    async fn until(&self, holds: impl Fn(usize) -> bool) {
        loop {
            // Created before the look, it hears of every turn from here on.
            let turned = self.turned.notified();
            if holds(self.total()) {
                return;
            }
            turned.await;
        }
    }

    fn total(&self) -> usize {
        self.present().total
    }

    /// No invariant spans a panic.
    fn present(&self) -> MutexGuard<'_, Present> {
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut present = self.places.present();
        present.total -= 1;
        if present.total == 0 {
            self.places.turned.notify_waiters();
        }
        let Some(key) = self.key else {
            return;
        };
        if let Some(count) = present.by_client.get_mut(&key) {
            *count -= 1;
            if *count == 0 {
                present.by_client.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let places = Places::new(4, 2);
        let take = |address: &str, trusted| places.take(address.parse().unwrap(), trusted);
        let first = take("2001:db8::1", false).unwrap();
        let second = take("2001:db8::2", false).unwrap();
        assert_eq!(take("2001:db8::3", false).unwrap_err(), NoPlace::OfClient);
        let third = take("2001:db8:0:1::1", false).unwrap();
        let fourth = take("2001:db8::3", true).unwrap();
        assert_eq!(take("192.0.2.1", false).unwrap_err(), NoPlace::InAll);
        assert_eq!(places.total(), 4);
        drop((first, fourth));
        drop(take("2001:db8::3", false).unwrap());
        drop((second, third));
        assert_eq!(places.total(), 0);
        assert!(places.present().by_client.is_empty());
    }

    #[test]
    fn a_mapped_address_is_the_address() {
        let key = |text: &str| Key::of(text.parse().unwrap());
        assert_eq!(key("192.0.2.1"), key("::ffff:192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
    }
}
