//! The due heads an endpoint holds ready, in the order they start.

use std::collections::BTreeMap;

use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::Head;

/// Which list the next start is taken from when both have work.
#[derive(Clone, Copy, Debug)]
enum Turn {
    First,
    Retry,
}

/// First attempts by position and retries by due time.
#[derive(Debug)]
pub(super) struct Window {
    /// By position, then id.
    firsts: BTreeMap<(DeliveryId, DeliveryId), Head>,
    /// By due time, then id.
    retries: BTreeMap<(Timestamp, DeliveryId), Head>,
    turn: Turn,
    /// Every due first attempt up to this position is here.
    horizon: DeliveryId,
}

const NOWHERE: DeliveryId = DeliveryId(i64::MIN);

impl Default for Window {
    fn default() -> Self {
        Self { firsts: BTreeMap::new(), retries: BTreeMap::new(), turn: Turn::First, horizon: NOWHERE }
    }
}

/// Of which list something was forgotten.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lost {
    pub firsts: bool,
    pub retries: bool,
}

impl Window {
    pub fn len(&self) -> usize {
        self.firsts.len() + self.retries.len()
    }

    pub fn has_no_firsts(&self) -> bool {
        self.firsts.is_empty()
    }

    pub fn has_no_retries(&self) -> bool {
        self.retries.is_empty()
    }

    pub fn heads(&self) -> impl Iterator<Item = &Head> {
        self.firsts.values().chain(self.retries.values())
    }

    /// Whether a first attempt at `position` would come after everything due before it.
    pub fn reaches(&self, position: DeliveryId) -> bool {
        position <= self.horizon
    }

    /// A load brought everything due up to `position`.
    pub fn reach(&mut self, position: DeliveryId) {
        self.horizon = self.horizon.max(position);
    }

    pub fn insert(&mut self, head: Head) {
        match head.retry_due {
            None => self.firsts.insert((head.position, head.id), head),
            Some(due) => self.retries.insert((due, head.id), head),
        };
    }

    /// Removes a head however it was held: it may have become another one since.
    pub fn forget(&mut self, id: DeliveryId) {
        self.firsts.retain(|(_, held), _| *held != id);
        self.retries.retain(|(_, held), _| *held != id);
    }

    /// Takes the next head that may start, from the lists in turn while both have one.
    pub fn take_next(&mut self, may_start: impl Fn(&Head) -> bool) -> Option<Head> {
        let first = self.firsts.iter().find(|(_, head)| may_start(head)).map(|(at, _)| *at);
        let retry = self.retries.iter().find(|(_, head)| may_start(head)).map(|(at, _)| *at);
        match (first, retry, self.turn) {
            (Some(at), None, _) => self.firsts.remove(&at),
            (None, Some(at), _) => self.retries.remove(&at),
            (Some(at), Some(_), Turn::First) => {
                self.turn = Turn::Retry;
                self.firsts.remove(&at)
            }
            (Some(_), Some(at), Turn::Retry) => {
                self.turn = Turn::First;
                self.retries.remove(&at)
            }
            (None, None, _) => None,
        }
    }

    /// Forgets what lies furthest back, of the longer list first; the store still has it.
    pub fn shrink_to(&mut self, bound: usize) -> Lost {
        let mut lost = Lost::default();
        while self.len() > bound {
            if self.firsts.len() >= self.retries.len() {
                self.firsts.pop_last();
                self.horizon = self.firsts.last_key_value().map_or(NOWHERE, |((position, _), _)| *position);
                lost.firsts = true;
            } else {
                self.retries.pop_last();
                lost.retries = true;
            }
        }
        lost
    }

    pub fn clear(&mut self) {
        self.firsts.clear();
        self.retries.clear();
        self.horizon = NOWHERE;
    }
}
