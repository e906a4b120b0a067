//! Failed logins cost time: after a few, each further one of an address or a name must wait longer.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;

use crate::domain::time::Timestamp;

/// Failures in a row that cost nothing.
const FREE: u32 = 5;
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// After this without a failure all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Addresses and names remembered at once.
const MAX: usize = 10_000;

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Who failed how often.
#[derive(Debug, Default)]
pub struct Backoff {
    // Looked at once per login by any HTTP worker; never held across an await.
    failures: Mutex<HashMap<String, Failures>>,
}

impl Backoff {
    /// How long all of `keys` must still wait; zero: now.
    pub fn wait(&self, keys: &[String], now: Timestamp) -> Duration {
        let failures = self.failures.lock();
        let waits = keys.iter().filter_map(|key| failures.get(key)).map(|f| {
            let until = f.last + delay(f.count);
            until.since(now)
        });
        waits.max().unwrap_or_default()
    }

    pub fn failed(&self, keys: &[String], now: Timestamp) {
        let mut failures = self.failures.lock();
        if failures.len() + keys.len() > MAX {
            failures.retain(|_, f| now.since(f.last) < FORGOTTEN && f.count > FREE);
        }
        if failures.len() + keys.len() > MAX {
            // Everything is under attack: rather forget all than grow.
            failures.clear();
        }
        for key in keys {
            let entry = failures.entry(key.clone()).or_insert(Failures { count: 0, last: now });
            let old = now.since(entry.last) >= FORGOTTEN;
            *entry = Failures { count: if old { 1 } else { entry.count.saturating_add(1) }, last: now };
        }
    }

    pub fn succeeded(&self, keys: &[String]) {
        let mut failures = self.failures.lock();
        for key in keys {
            failures.remove(key);
        }
    }
}

fn delay(count: u32) -> Duration {
    match count.saturating_sub(FREE) {
        0 => Duration::ZERO,
        over => FIRST.saturating_mul(1 << (over - 1).min(16)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_free_and_more_cost_ever_more() {
        let (backoff, now, keys) = (Backoff::default(), Timestamp::from_secs(1_000), ["a".to_owned()]);
        for _ in 0..FREE {
            assert_eq!(backoff.wait(&keys, now), Duration::ZERO);
            backoff.failed(&keys, now);
        }
        assert_eq!(backoff.wait(&keys, now), Duration::ZERO);
        let waits = [1, 2, 4, 8].map(Duration::from_secs);
        for wait in waits {
            backoff.failed(&keys, now);
            assert_eq!(backoff.wait(&keys, now), wait);
            assert_eq!(backoff.wait(&["b".to_owned()], now), Duration::ZERO);
            assert_eq!(backoff.wait(&keys, now + wait), Duration::ZERO);
        }
        for _ in 0..100 {
            backoff.failed(&keys, now);
        }
        assert_eq!(backoff.wait(&keys, now), LONGEST);
        backoff.failed(&keys, now + FORGOTTEN);
        assert_eq!(backoff.wait(&keys, now + FORGOTTEN), Duration::ZERO, "an hour later it is the first one");
        backoff.succeeded(&keys);
        assert!(backoff.failures.lock().is_empty());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (backoff, now) = (Backoff::default(), Timestamp::from_secs(1));
        for n in 0..=MAX {
            backoff.failed(&[n.to_string()], now);
        }
        assert!(backoff.failures.lock().len() <= MAX);
    }
}
