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

/// A share of an event's body in memory; gives its bytes back when dropped.
#[derive(Debug)]
pub struct Body {
    event: Arc<Event>,
    cost: usize,
    budget: Arc<Budget>,
}

impl Body {
    /// `None` when the budget is spent: the body is read from disk when it is sent.
    /// `sharers`: deliveries that hold the same event.
    pub fn within(budget: &Arc<Budget>, event: &Arc<Event>, sharers: usize) -> Option<Self> {
        let cost = event.raw().len() / sharers.max(1) + 64;
        if budget.0.load(Ordering::Relaxed) + cost > BODY_BUDGET {
            return None;
        }
        budget.0.fetch_add(cost, Ordering::Relaxed);
        Some(Self { event: event.clone(), cost, budget: budget.clone() })
    }

    pub fn event(&self) -> &Arc<Event> {
        &self.event
    }
}

impl Clone for Body {
    fn clone(&self) -> Self {
        self.budget.0.fetch_add(self.cost, Ordering::Relaxed);
        Self { event: self.event.clone(), cost: self.cost, budget: self.budget.clone() }
    }
}

impl Drop for Body {
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
        known.bytes += event.raw().len();
        while known.bytes > RECENT_BYTES {
            let Some(oldest) = known.order.pop_front() else { break };
            if let Some(gone) = known.events.remove(&oldest) {
                known.bytes -= gone.raw().len();
            }
        }
    }
}
