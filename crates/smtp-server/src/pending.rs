//! Input that could not be used yet.

/// The beginning of a command, or what is behind a question; without memory while it is empty.
#[derive(Debug, Default)]
pub(crate) struct Pending {
    octets: Vec<u8>,
    /// Used up to here. A group of many questions would otherwise be moved to the front again for each.
    start: usize,
}

impl Pending {
    pub(crate) fn is_empty(&self) -> bool {
        self.octets.is_empty()
    }

    pub(crate) fn len(&self) -> usize {
        self.octets.len() - self.start
    }

    pub(crate) fn push(&mut self, input: &[u8]) {
        self.octets.drain(..self.start);
        self.start = 0;
        self.octets.extend_from_slice(input);
    }

    /// Gives all of it to `with`, which takes what it uses off the front.
    pub(crate) fn offer<T>(mut self, with: impl FnOnce(&mut &[u8]) -> T) -> (Self, T) {
        let mut rest = &self.octets[self.start..];
        let outcome = with(&mut rest);
        let left = rest.len();
        if left == 0 {
            return (Self::default(), outcome);
        }
        self.start = self.octets.len() - left;
        (self, outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_used_stays() {
        let take = |pending: Pending, count: usize| {
            pending.offer(|rest| {
                let (head, tail) = rest.split_at(count);
                *rest = tail;
                head.to_vec()
            })
        };
        let mut pending = Pending::default();
        pending.push(b"abc");
        let (mut pending, taken) = take(pending, 2);
        assert_eq!(taken, b"ab");
        pending.push(b"def");
        let (pending, taken) = take(pending, 1);
        assert_eq!(taken, b"c");
        let (pending, taken) = take(pending, 3);
        assert_eq!(taken, b"def");
        assert!(pending.is_empty());
    }
}
