//! Repeats of an event: what was accepted under which key.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use rusqlite::Connection;

use crate::domain::ids::EventSeq;
use crate::domain::time::Timestamp;
use crate::store::Idempotency;

/// Keys held in memory; beyond it the oldest are forgotten before their time.
const KEYS_MAX: usize = 1_000_000;

/// 128-bit hash of a key.
pub fn hash(key: &str) -> u128 {
    xxhash_rust::xxh3::xxh3_128(key.as_bytes())
}

impl Idempotency {
    /// The key as the sender wrote it, without the token it is scoped to.
    pub fn shown(&self) -> &str {
        self.key.split_once('/').map_or(&self.key, |(_, key)| key)
    }
}

#[derive(Clone, Copy, Debug)]
struct Known {
    seq: EventSeq,
    received: Timestamp,
    body: u128,
    deliveries: u32,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Seen {
    Never,
    Before { seq: EventSeq, received: Timestamp, deliveries: u32 },
    OtherBody,
}

/// Keys of the window, newest last.
#[derive(Debug)]
pub struct Memory {
    window: Duration,
    known: HashMap<u128, Known>,
    order: VecDeque<(u128, EventSeq, Timestamp)>,
    max: usize,
}

impl Memory {
    pub fn new(window: Duration) -> Self {
        Self { window, known: HashMap::new(), order: VecDeque::new(), max: KEYS_MAX }
    }

    /// Reads the keys of the window back.
    pub fn load(db: &Connection, window: Duration, now: Timestamp) -> rusqlite::Result<Self> {
        let mut memory = Self::new(window);
        let mut rows = db.prepare(
            "SELECT seq, key, body, deliveries, received FROM idempotency WHERE received >= ?1 ORDER BY seq DESC LIMIT ?2",
        )?;
        let mut found: Vec<(u128, Known)> = rows
            .query_map([(now - window).0, KEYS_MAX as i64], |r| {
                let bytes = |b: [u8; 16]| u128::from_be_bytes(b);
                let known = Known {
                    seq: EventSeq(r.get::<_, i64>(0)? as u64),
                    body: bytes(r.get(2)?),
                    deliveries: r.get(3)?,
                    received: Timestamp(r.get(4)?),
                };
                Ok((bytes(r.get(1)?), known))
            })?
            .collect::<rusqlite::Result<_>>()?;
        found.reverse();
        for (key, known) in found {
            memory.order.push_back((key, known.seq, known.received));
            memory.known.insert(key, known);
        }
        Ok(memory)
    }

    /// The event whose key is the oldest that still counts; `None` when none does.
    pub fn oldest(&mut self, now: Timestamp) -> Option<EventSeq> {
        self.expire(now);
        self.order.front().map(|(_, seq, _)| *seq)
    }

    pub fn look(&mut self, asked: &Idempotency, now: Timestamp) -> Seen {
        self.expire(now);
        match self.known.get(&hash(&asked.key)) {
            None => Seen::Never,
            Some(known) if known.body != asked.body => Seen::OtherBody,
            Some(known) => Seen::Before { seq: known.seq, received: known.received, deliveries: known.deliveries },
        }
    }

    pub fn remember(&mut self, asked: &Idempotency, seq: EventSeq, received: Timestamp, deliveries: u32) {
        let key = hash(&asked.key);
        self.known.insert(key, Known { seq, received, body: asked.body, deliveries });
        self.order.push_back((key, seq, received));
    }

    pub fn forget(&mut self, asked: &Idempotency) {
        self.known.remove(&hash(&asked.key));
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((key, seq, received)) = self.order.front().copied() {
            if now.since(received) < self.window && self.order.len() <= self.max {
                return;
            }
            self.order.pop_front();
            if self.known.get(&key).is_some_and(|k| k.seq == seq) {
                self.known.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(n: u64) -> Idempotency {
        Idempotency { key: format!("1/{n}"), body: n.into() }
    }

    #[test]
    fn beyond_the_bound_the_oldest_keys_go_first() {
        let now = Timestamp::from_secs(1_000);
        let mut memory = Memory { max: 3, ..Memory::new(Duration::from_secs(60)) };
        for n in 1..=5 {
            memory.remember(&asked(n), EventSeq(n), now, 1);
        }
        let seen: Vec<bool> = (1..=5).map(|n| memory.look(&asked(n), now) != Seen::Never).collect();
        assert_eq!(seen, [false, false, true, true, true]);
        assert_eq!((memory.known.len(), memory.order.len()), (3, 3));
        assert_eq!(memory.oldest(now), Some(EventSeq(3)), "what is older may go from the disk");
        assert_eq!(memory.oldest(now + Duration::from_secs(60)), None);
    }

    /// A batch that was not stored gives its keys back; taken again, they are not forgotten with the first try.
    #[test]
    fn a_key_given_back_and_taken_again_is_kept() {
        let now = Timestamp::from_secs(1_000);
        let mut memory = Memory { max: 2, ..Memory::new(Duration::from_secs(60)) };
        memory.remember(&asked(1), EventSeq(1), now, 1);
        memory.forget(&asked(1));
        memory.remember(&asked(1), EventSeq(2), now, 1);
        memory.remember(&asked(3), EventSeq(3), now, 1);
        assert!(matches!(memory.look(&asked(1), now), Seen::Before { seq: EventSeq(2), .. }));
        assert_eq!(memory.oldest(now), Some(EventSeq(2)));
    }
}
