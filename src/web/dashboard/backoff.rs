//! Failed logins cost time: after a few, each further one of an address or a name must wait longer.

use std::collections::HashMap;
use std::time::Duration;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use crate::domain::time::Timestamp;

const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(300);
/// After this without a failure all is forgotten.
const FORGOTTEN: Duration = Duration::from_secs(3_600);
/// Keys remembered at once.
const MAX: usize = 10_000;

/// What failures are counted by, and how many in a row cost nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Key {
    /// Of whatever was typed, only this is kept.
    hash: u128,
    free: u32,
}

impl Key {
    /// Whoever comes from an address: many people may come from one.
    pub fn address(address: &str) -> Self {
        Self { hash: xxh3_128(format!("address {address}").as_bytes()), free: 20 }
    }

    /// Those who try a name from one address.
    pub fn name_at(name: &str, address: &str) -> Self {
        Self { hash: xxh3_128(format!("name {address} {name}").as_bytes()), free: 5 }
    }

    /// Those who try a name from wherever: strangers must not lock its owner out easily.
    pub fn name(name: &str) -> Self {
        Self { hash: xxh3_128(format!("name {name}").as_bytes()), free: 100 }
    }
}

#[derive(Clone, Copy, Debug)]
struct Failures {
    count: u32,
    last: Timestamp,
}

/// Who failed how often.
#[derive(Debug, Default)]
pub struct Backoff {
    // Looked at once per login by any HTTP worker; never held across an await.
    failures: Mutex<HashMap<u128, Failures>>,
}

impl Backoff {
    /// Counts an attempt as failed before it is looked at, so that attempts side by side do not all find the way free.
    ///
    /// # Errors
    /// How long the keys must still wait; nothing was counted.
    pub fn book(&self, keys: &[Key], now: Timestamp) -> Result<(), Duration> {
        let mut failures = self.failures.lock();
        let waits = keys.iter().filter_map(|key| {
            let f = failures.get(&key.hash)?;
            Some((f.last + delay(f.count.saturating_sub(key.free))).since(now))
        });
        let wait = waits.max().unwrap_or_default();
        if wait > Duration::ZERO {
            return Err(wait);
        }
        if failures.len() + keys.len() > MAX {
            failures.retain(|_, f| now.since(f.last) < FORGOTTEN && f.count > 1);
        }
        if failures.len() + keys.len() > MAX {
            // Everything is under attack: rather forget all than grow.
            failures.clear();
        }
        for key in keys {
            let entry = failures.entry(key.hash).or_insert(Failures { count: 0, last: now });
            let old = now.since(entry.last) >= FORGOTTEN;
            *entry = Failures { count: if old { 1 } else { entry.count.saturating_add(1) }, last: now };
        }
        Ok(())
    }

    /// The attempt that was booked for these was none that failed. What failed before stays.
    pub fn take_back(&self, keys: &[Key]) {
        let mut failures = self.failures.lock();
        for key in keys {
            if let Some(entry) = failures.get_mut(&key.hash) {
                entry.count -= 1;
                if entry.count == 0 {
                    failures.remove(&key.hash);
                }
            }
        }
    }

    /// Somebody proved to be who the key names.
    pub fn forget(&self, key: Key) {
        self.failures.lock().remove(&key.hash);
    }
}

fn delay(over: u32) -> Duration {
    match over {
        0 => Duration::ZERO,
        over => FIRST.saturating_mul(1 << (over - 1).min(16)).min(LONGEST),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_failures_are_free_and_more_cost_ever_more() {
        let (backoff, now, keys) = (Backoff::default(), Timestamp::from_secs(1_000), [Key::name_at("ann", "::1")]);
        for _ in 0..=keys[0].free {
            assert_eq!(backoff.book(&keys, now), Ok(()));
        }
        let mut at = now;
        for wait in [1, 2, 4, 8].map(Duration::from_secs) {
            assert_eq!(backoff.book(&keys, at), Err(wait));
            assert_eq!(backoff.book(&[Key::name_at("bob", "::1")], at), Ok(()));
            at = at + wait;
            assert_eq!(backoff.book(&keys, at), Ok(()));
        }
        for _ in 0..20 {
            at = at + LONGEST;
            assert_eq!(backoff.book(&keys, at), Ok(()));
        }
        assert_eq!(backoff.book(&keys, at), Err(LONGEST));
        assert_eq!(backoff.book(&keys, at + FORGOTTEN), Ok(()));
        assert_eq!(backoff.book(&keys, at + FORGOTTEN), Ok(()), "an hour later it is the first one");
    }

    #[test]
    fn who_knows_one_secret_gets_no_more_guesses_at_another() {
        let (backoff, now) = (Backoff::default(), Timestamp::from_secs(1_000));
        let (address, name) = (Key::address("::1"), Key::name_at("ann", "::1"));
        for _ in 0..=name.free {
            assert_eq!(backoff.book(&[address, name], now), Ok(()));
        }
        // A login with a token from the same address.
        assert_eq!(backoff.book(&[address], now), Ok(()));
        backoff.take_back(&[address]);
        assert!(backoff.book(&[address, name], now).is_err());
        backoff.forget(name);
        assert_eq!(backoff.book(&[address, name], now), Ok(()));
        backoff.take_back(&[address, name]);
        assert_eq!(backoff.failures.lock().len(), 1, "the failures of the address are left");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (backoff, now) = (Backoff::default(), Timestamp::from_secs(1));
        for n in 0..=MAX {
            let _ = backoff.book(&[Key::address(&n.to_string())], now);
        }
        assert!(backoff.failures.lock().len() <= MAX);
    }
}
