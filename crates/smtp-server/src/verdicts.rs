//! Verdicts about recipients that the directory allowed to be given again for a moment.
//!
//! A burst of mail for one recipient costs one question. How long a verdict holds is the directory's to say.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use mail_types::Address;
use smtp_proto::Verdict;

/// Verdicts kept at a time; with more recipients than this in a moment all are forgotten.
const MOST: usize = 4096;

/// What was said, and until when it holds.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(Mutex<HashMap<Address, (Verdict, Instant)>>);

impl Verdicts {
    pub(crate) fn get(&self, address: &Address, now: Instant) -> Option<Verdict> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (verdict, until) = kept.get(address)?;
        if now < *until {
            return Some(verdict.clone());
        }
        kept.remove(address);
        None
    }

    pub(crate) fn keep(
        &self,
        address: Address,
        verdict: &Verdict,
        holds_for: Duration,
        now: Instant,
    ) {
        if holds_for.is_zero() {
            return;
        }
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(address, (verdict.clone(), now + holds_for));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_holds_as_long_as_was_said_and_no_longer() {
        let verdicts = Verdicts::default();
        let bob = || Address::parse("bob@home.example").unwrap();
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        verdicts.keep(bob(), &Verdict::Local, Duration::ZERO, start);
        assert_eq!(verdicts.get(&bob(), start), None);
        verdicts.keep(bob(), &Verdict::Local, Duration::from_secs(1), start);
        assert_eq!(verdicts.get(&bob(), at(999)), Some(Verdict::Local));
        assert_eq!(verdicts.get(&bob(), at(1000)), None);
        assert_eq!(verdicts.get(&bob(), start), None, "it was forgotten");
    }

    #[test]
    fn the_number_of_verdicts_is_bounded() {
        let verdicts = Verdicts::default();
        let now = Instant::now();
        for number in 0..3 * MOST {
            let address = Address::parse(&format!("u{number}@home.example")).unwrap();
            verdicts.keep(address, &Verdict::Local, Duration::from_secs(1), now);
            assert!(verdicts.0.lock().unwrap().len() <= MOST);
        }
    }
}
