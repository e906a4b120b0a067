//! Event bodies: compressed on disk, counted in memory.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use foldhash::HashMap;
use parking_lot::Mutex;
use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::CParameter;

use crate::domain::event::Event;
use crate::domain::ids::EventSeq;
use crate::store::StoreError;

/// Trained on NetBox requests: a 2 KB event shrinks to a tenth.
static DICTIONARY: &[u8] = include_bytes!("netbox.dict");
/// zstd level; higher ones cost more than they save here.
const LEVEL: i32 = 1;
/// Largest body read back; intake bounds what is written far below.
const MAX_BODY: usize = 256 << 20;
/// Event bytes kept in memory beside the database, over all endpoints.
pub const BODY_BUDGET: usize = 48 << 20;
/// Bytes of events in [`Recent`].
const RECENT_BYTES: usize = 16 << 20;

thread_local! {
    static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// Compresses an event's text, with a checksum that later tells damage.
pub fn compress(raw: &[u8]) -> Result<Vec<u8>, StoreError> {
    COMPRESSOR.with_borrow_mut(|slot| {
        let compressor = match slot {
            Some(c) => c,
            None => {
                let mut made = Compressor::with_dictionary(LEVEL, DICTIONARY).map_err(unusable)?;
                made.set_parameter(CParameter::ChecksumFlag(true)).map_err(unusable)?;
                slot.insert(made)
            }
        };
        compressor.compress(raw).map_err(unusable)
    })
}

/// # Errors
/// `Corrupt` when the checksum does not hold.
pub fn decompress(stored: &[u8]) -> Result<Bytes, StoreError> {
    let size = zstd::zstd_safe::get_frame_content_size(stored).ok().flatten().unwrap_or(0);
    let size = usize::try_from(size).unwrap_or(usize::MAX);
    if size > MAX_BODY {
        return Err(StoreError::Corrupt(format!("an event body claims {size} bytes")));
    }
    DECOMPRESSOR.with_borrow_mut(|slot| {
        let decompressor = match slot {
            Some(d) => d,
            None => slot.insert(Decompressor::with_dictionary(DICTIONARY).map_err(unusable)?),
        };
        let raw = decompressor
            .decompress(stored, size)
            .map_err(|e| StoreError::Corrupt(format!("an event body does not decompress: {e}")))?;
        Ok(Bytes::from(raw))
    })
}

fn unusable(e: std::io::Error) -> StoreError {
    StoreError::Unavailable(format!("compression failed: {e}"))
}

/// How many bytes of events are in memory.
#[derive(Debug, Default)]
pub struct Budget(AtomicUsize);

/// An event's body in memory, shared by the deliveries that hold it; the last one gives its bytes back. It is counted
/// whole: a single delivery that stays behind keeps all of it.
#[derive(Clone, Debug)]
pub struct Body(Arc<Held>);

#[derive(Debug)]
struct Held {
    event: Arc<Event>,
    cost: usize,
    budget: Arc<Budget>,
}

impl Body {
    /// `None` when the budget is spent: the body is read from disk when it is sent.
    pub fn within(budget: &Arc<Budget>, event: &Arc<Event>) -> Option<Self> {
        let cost = event.weight();
        let before = budget.0.fetch_add(cost, Ordering::Relaxed);
        if before + cost > BODY_BUDGET {
            budget.0.fetch_sub(cost, Ordering::Relaxed);
            return None;
        }
        Some(Self(Arc::new(Held { event: event.clone(), cost, budget: budget.clone() })))
    }

    pub fn event(&self) -> &Arc<Event> {
        &self.0.event
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_sub(self.cost, Ordering::Relaxed);
    }
}

/// Events read back lately: endpoints that drain the same backlog, each at its own pace, read it once.
#[derive(Debug, Default)]
pub struct Recent(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    events: HashMap<EventSeq, Arc<Event>>,
    /// In the order they were read.
    order: VecDeque<EventSeq>,
    bytes: usize,
}

impl Recent {
    pub fn get(&self, seq: EventSeq) -> Option<Arc<Event>> {
        self.0.lock().events.get(&seq).cloned()
    }

    pub fn keep(&self, seq: EventSeq, event: &Arc<Event>) {
        let mut known = self.0.lock();
        if known.events.insert(seq, event.clone()).is_some() {
            return;
        }
        known.order.push_back(seq);
        known.bytes += event.weight();
        while known.bytes > RECENT_BYTES {
            let Some(oldest) = known.order.pop_front() else { break };
            if let Some(gone) = known.events.remove(&oldest) {
                known.bytes -= gone.weight();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::models::Models;
    use crate::domain::time::Timestamp;

    fn event(len: usize) -> Arc<Event> {
        let raw =
            format!(r#"{{"event": "updated", "model": "site", "data": {{"id": 1, "name": "{}"}}}}"#, "x".repeat(len));
        Arc::new(Event::parse(raw.into(), &Models::builtin(), Timestamp(0)).expect("an event"))
    }

    #[test]
    fn what_one_of_many_deliveries_still_holds_is_counted_whole() {
        let budget = Arc::new(Budget::default());
        let event = event(1 << 20);
        let mut bodies = vec![Body::within(&budget, &event).expect("there is room"); 1_000];
        bodies.truncate(1);
        assert!(budget.0.load(Ordering::Relaxed) > 1 << 20);
        drop(bodies);
        assert_eq!(budget.0.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn beyond_the_budget_bodies_are_left_on_disk() {
        let budget = Arc::new(Budget::default());
        let event = event(10 << 20);
        let held: Vec<_> = (0..8).filter_map(|_| Body::within(&budget, &event)).collect();
        assert_eq!(held.len(), 4);
        assert!(budget.0.load(Ordering::Relaxed) <= BODY_BUDGET);
    }
}
