//! How many connections there are, in all and per client.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The limits and who is here.
#[derive(Debug)]
pub(crate) struct Places {
    limit: u32,
    limit_per_client: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: u32,
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
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => {
                Self::V6(u64::try_from(address.to_bits() >> 64).unwrap_or_default())
            }
        }
    }
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    key: Key,
}

impl Places {
    pub fn new(limit: u32, limit_per_client: u32) -> Arc<Self> {
        Arc::new(Self {
            limit,
            limit_per_client,
            taken: Mutex::default(),
        })
    }

    /// A place for a connection from `client`, or why there is none.
    pub fn take(self: &Arc<Self>, client: IpAddr) -> Result<Place, &'static str> {
        let mut taken = self.taken();
        if taken.total >= self.limit {
            return Err("pop3.connection_limit is reached");
        }
        let key = Key::of(client);
        let count = taken.by_client.entry(key).or_insert(0);
        if *count >= self.limit_per_client {
            return Err("pop3.connection_limit_per_client is reached");
        }
        *count += 1;
        taken.total += 1;
        Ok(Place {
            places: Arc::clone(self),
            key,
        })
    }

    /// No invariant spans a panic.
    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.taken();
        taken.total -= 1;
        if let Some(count) = taken.by_client.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                taken.by_client.remove(&self.key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_limited_and_given_back() {
        let places = Places::new(3, 2);
        let take = |address: &str| places.take(address.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::2").unwrap();
        assert!(take("2001:db8::3").unwrap_err().contains("per_client"));
        let third = take("::ffff:192.0.2.1").unwrap();
        assert_eq!(
            take("192.0.2.9").unwrap_err(),
            "pop3.connection_limit is reached"
        );
        drop(first);
        let fourth = take("192.0.2.1").unwrap();
        drop(second);
        assert!(
            take("192.0.2.1").unwrap_err().contains("per_client"),
            "a mapped address is the address"
        );
        drop((third, fourth));
        assert_eq!(places.taken().total, 0);
        assert!(places.taken().by_client.is_empty());
    }
}
