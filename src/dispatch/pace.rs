//! The pace of one endpoint or origin: a rate limit that may be absent.

use super::bucket::Bucket;
use crate::domain::policy::Rate;
use crate::domain::time::Timestamp;

/// Most tokens asked for at once.
const AT_ONCE: usize = 64;

pub struct Pace {
    rate: Option<(Rate, u32, Bucket)>,
}

impl std::fmt::Debug for Pace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pace").field(&self.rate.as_ref().map(|(rate, burst, _)| (rate, burst))).finish()
    }
}

impl Pace {
    /// Its bucket is empty now.
    pub fn empty(rate: Option<Rate>, burst: u32, now: Timestamp) -> Self {
        Self { rate: rate.map(|rate| (rate, burst, Bucket::emptied_at(rate, burst, now))) }
    }

    /// Nothing is spent, as it was when it was last forgotten.
    pub fn full(rate: Option<Rate>, burst: u32) -> Self {
        Self::empty(rate, burst, Timestamp(0))
    }

    /// Another limit; what is spent stays spent.
    pub fn set(&mut self, rate: Option<Rate>, burst: u32, now: Timestamp) {
        self.rate = match (rate, self.rate.take()) {
            (Some(rate), Some((old, old_burst, bucket))) if (old, old_burst) == (rate, burst) => {
                Some((rate, burst, bucket))
            }
            (Some(rate), Some((_, _, bucket))) => Some((rate, burst, bucket.changed(rate, burst, now))),
            (rate, None) => Self::empty(rate, burst, now).rate,
            (None, Some(_)) => None,
        };
    }

    /// Tokens there are now, at most `wanted`.
    pub fn available(&self, wanted: usize, now: Timestamp) -> usize {
        let Some((_, _, bucket)) = &self.rate else { return wanted };
        let taken = (0..wanted.min(AT_ONCE)).take_while(|_| bucket.take(now).is_ok()).count();
        (0..taken).for_each(|_| bucket.give_back());
        taken
    }

    /// When there is a token again; `None`: now.
    pub fn next_at(&self, now: Timestamp) -> Option<Timestamp> {
        let (_, _, bucket) = self.rate.as_ref()?;
        match bucket.take(now) {
            Ok(()) => {
                bucket.give_back();
                None
            }
            Err(next) => Some(next),
        }
    }

    /// Takes tokens that were found available at this instant.
    pub fn take(&self, n: usize, now: Timestamp) {
        if let Some((_, _, bucket)) = &self.rate {
            for _ in 0..n {
                // Found available a moment ago.
                let _ = bucket.take(now);
            }
        }
    }

    /// Nothing is spent: forgetting it changes nothing.
    pub fn is_full(&self, now: Timestamp) -> bool {
        self.rate.as_ref().is_none_or(|(_, _, bucket)| bucket.full_at() <= now)
    }
}
