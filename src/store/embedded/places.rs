//! Which deliveries lie at which endpoint. An index of the rows would cost each delivery a page of its own where there are
//! many endpoints; so places are remembered from when a delivery is accepted, and written later, sorted, many at once.
//! Lists look at both, what is written and what waits. After a restart, what waited is told from the rows behind
//! `placed_upto`.
//!
//! A place may be out of date, when a delivery has moved or is gone: whoever looks asks the row itself.

use foldhash::HashSet;
use parking_lot::Mutex;
use rusqlite::{Connection, params};

use super::ops::{meta, set_meta};
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq};
use crate::store::Planned;

/// Places that are sorted and written together.
const SLICE: usize = if cfg!(test) { 20 } else { 65_536 };
/// Of these, how many in one transaction: some milliseconds.
const STEP: usize = if cfg!(test) { 7 } else { 8_192 };

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    endpoint: EndpointId,
    id: DeliveryId,
}

/// What is not written yet. Readers look into it before they look at the disk, so that they miss nothing between.
#[derive(Default)]
pub struct Places(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    fresh: Vec<Place>,
    /// The slice that is being written, sorted, without what is on disk.
    slice: Vec<Place>,
    /// With the slice everything up to this event is on disk.
    upto: u64,
    /// So many of the slice are written by the running transaction.
    written: usize,
}

impl Places {
    /// An event was accepted with these deliveries.
    pub fn note(&self, seq: EventSeq, plan: &[Planned]) {
        let place = |(place, planned): (usize, &Planned)| Place {
            endpoint: planned.endpoint,
            id: DeliveryId::new(seq, place as u16),
        };
        self.0.lock().fresh.extend(plan.iter().enumerate().map(place));
    }

    /// The same for one.
    pub fn note_one(&self, endpoint: EndpointId, id: DeliveryId) {
        self.0.lock().fresh.push(Place { endpoint, id });
    }

    /// Reads what the last process left to be written.
    pub fn restore(&self, db: &Connection) -> rusqlite::Result<()> {
        let upto = meta(db, "placed_upto")?.unwrap_or(0);
        let mut rows = db.prepare("SELECT endpoint, id FROM delivery WHERE id >= ?1")?;
        let first = DeliveryId::new(EventSeq(upto as u64 + 1), 0);
        let mut rows = rows.query([first.0])?;
        while let Some(r) = rows.next()? {
            self.note_one(EndpointId(r.get(0)?), DeliveryId(r.get(1)?));
        }
        Ok(())
    }

    /// Writes the next step when enough waits, as part of the running transaction.
    pub fn write(&self, db: &Connection) -> rusqlite::Result<()> {
        let mut waiting = self.0.lock();
        waiting.written = 0;
        if waiting.slice.is_empty() {
            if waiting.fresh.len() < SLICE {
                return Ok(());
            }
            waiting.slice = std::mem::take(&mut waiting.fresh);
            waiting.upto = waiting.slice.iter().map(|place| place.id.event().0).max().unwrap_or(0);
            waiting.slice.sort_unstable();
        }
        let step = waiting.slice.len().min(STEP);
        waiting.slice[..step].iter().try_for_each(|place| put(db, place.endpoint, place.id))?;
        if step == waiting.slice.len() {
            set_meta(db, "placed_upto", waiting.upto as i64)?;
        }
        waiting.written = step;
        Ok(())
    }

    /// What was written last is on disk. (After a failed commit it is written again.)
    pub fn committed(&self) {
        let mut waiting = self.0.lock();
        let written = std::mem::take(&mut waiting.written);
        waiting.slice.drain(..written);
    }

    /// These are gone, or lie elsewhere by what is written.
    pub fn forget(&self, gone: &HashSet<DeliveryId>) {
        if gone.is_empty() {
            return;
        }
        let mut waiting = self.0.lock();
        let kept = |place: &Place| !gone.contains(&place.id);
        waiting.written = waiting.slice[..waiting.written].iter().filter(|place| kept(place)).count();
        waiting.fresh.retain(kept);
        waiting.slice.retain(kept);
    }

    /// What waits, at these endpoints (rising).
    pub fn waiting_at(&self, endpoints: &[EndpointId]) -> Vec<i64> {
        let waiting = self.0.lock();
        let here = |place: &&Place| endpoints.binary_search(&place.endpoint).is_ok();
        waiting.slice.iter().chain(&waiting.fresh).filter(here).map(|place| place.id.0).collect()
    }
}

/// Writes one at once: of a delivery that is made beside intake's plan, or comes to another endpoint.
pub fn put(db: &Connection, endpoint: EndpointId, id: DeliveryId) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO placed(endpoint, id) VALUES(?1, ?2)")?
        .execute(params![endpoint.0, id.0])
        .map(drop)
}

/// These deliveries are removed.
pub fn remove(db: &Connection, gone: &mut [(EndpointId, DeliveryId)]) -> rusqlite::Result<()> {
    gone.sort_unstable();
    let mut delete = db.prepare_cached("DELETE FROM placed WHERE endpoint = ?1 AND id = ?2")?;
    for (endpoint, id) in gone {
        delete.execute(params![endpoint.0, id.0])?;
    }
    Ok(())
}

/// Writes all that have rows; of what is younger, the rows are read at the next start.
pub const REBUILD: &str = "
INSERT OR IGNORE INTO placed SELECT endpoint, id FROM delivery ORDER BY endpoint, id;
INSERT OR REPLACE INTO meta SELECT 'placed_upto', coalesce((SELECT v FROM meta WHERE k = 'spilled_upto'), 0);";
