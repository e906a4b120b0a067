//! Reading what a deep ledger wants from disk, inside the writer's transaction: it sees every outcome recorded so far.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::{Connection, Row, params};
use tokio::sync::oneshot;

use super::body::Body;
use super::ledger::{Entry, LANE_MAX, Ledger, LoadRequest, Loaded};
use super::ops;
use super::shared::Shared;
use super::tx::Tx;
use crate::domain::event::{Event, EventType, Model};
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::policy::Ordering;
use crate::domain::time::Timestamp;
use crate::store::StoreError;

/// Bodies read after those that are waited for, while these are sent.
const BODIES_AHEAD: usize = 256;
/// Reads in a row, while the writer does nothing else.
const ROUNDS: usize = 16;

/// Of an open row: all that order needs, so that the scan of a backlog reads no event.
const COLUMNS: &str = "d.id, d.position, d.webhook, d.key, d.attempts, d.counted, d.due, d.first_attempt, d.folded_from, d.flags, d.received";

/// Brings the heads an endpoint wants into its ledger: reads on while all it finds lies behind other deliveries.
pub fn run(tx: &mut Tx<'_>, endpoint: EndpointId, now: Timestamp, limit: usize) -> rusqlite::Result<()> {
    let ledger = tx.shared.ledger(endpoint);
    for _ in 0..ROUNDS {
        if !once(tx, &ledger, now, limit)? || ledger.lock().has_due(now) {
            break;
        }
    }
    Ok(())
}

fn known_or_read(shared: &Shared, db: &Connection, seq: EventSeq) -> Result<Option<Arc<Event>>, StoreError> {
    if let Some(event) = shared.recent.get(seq) {
        return Ok(Some(event));
    }
    let event = event_of(db, seq)?;
    if let Some(event) = &event {
        shared.recent.keep(seq, event);
    }
    Ok(event)
}

/// One read; `false` when nothing was wanted.
fn once(tx: &mut Tx<'_>, ledger: &Mutex<Ledger>, now: Timestamp, limit: usize) -> rusqlite::Result<bool> {
    let Some(request) = ledger.lock().begin_load(now, limit) else { return Ok(false) };
    // From here on the ledger notes what changes; what changed before is drained into what we read.
    let loaded = tx.drain().and_then(|()| read(tx.db, &request));
    match loaded {
        Ok(loaded) => ledger.lock().finish_load(&request, loaded),
        Err(error) => {
            ledger.lock().abort_load();
            return Err(error);
        }
    }
    Ok(true)
}

fn read(db: &Connection, request: &LoadRequest) -> rusqlite::Result<Loaded> {
    let mut loaded = Loaded { exhausted: true, ..Loaded::default() };
    for key in &request.lanes {
        let mut rows = lane(db, request, *key)?;
        let more = rows.len() > LANE_MAX;
        rows.truncate(LANE_MAX);
        loaded.lanes.push((*key, rows, more));
    }
    if request.scan_rows > 0 {
        let mut scan = db.prepare_cached(&format!(
            "SELECT {COLUMNS} FROM delivery d WHERE d.endpoint = ?1 AND d.position > ?2 AND d.state < 2
             ORDER BY d.position LIMIT ?3"
        ))?;
        let found = scan.query_map(params![request.endpoint.0, request.cursor, request.scan_rows as i64], entry)?;
        loaded.scanned = found.collect::<rusqlite::Result<_>>()?;
        loaded.exhausted = loaded.scanned.len() < request.scan_rows;
    }
    Ok(loaded)
}

/// One row more than a lane takes, to know whether there are more. Those that step aside are passed over.
fn lane(db: &Connection, request: &LoadRequest, key: u64) -> rusqlite::Result<Vec<Entry>> {
    let (condition, order) = match request.ordering {
        Ordering::Object => ("d.endpoint = ?1 AND d.key = ?2", "ORDER BY d.position"),
        Ordering::Endpoint => ("d.endpoint = ?1 AND ?2 >= 0", "ORDER BY d.position"),
        Ordering::None => ("d.endpoint = ?1 AND d.id = ?2", ""),
    };
    let mut rows =
        db.prepare_cached(&format!("SELECT {COLUMNS} FROM delivery d WHERE {condition} AND d.state < 2 {order}"))?;
    rows.query_map(params![request.endpoint.0, key as i64], entry)?
        .filter(|row| row.as_ref().map_or(true, |e| request.active.contains(&e.webhook)))
        .take(LANE_MAX + 1)
        .collect()
}

/// An open row as a resident delivery.
fn entry(r: &Row<'_>) -> rusqlite::Result<Entry> {
    let id = DeliveryId(r.get(0)?);
    let object_key: i64 = r.get(3)?;
    let flags: i64 = r.get(9)?;
    let event_type = ops::event_type(flags).unwrap_or(EventType::Updated);
    let mut entry = Entry::new(id, WebhookId(r.get(2)?), Some(object_key as u64), event_type, Timestamp(r.get(10)?));
    entry.position = DeliveryId(r.get(1)?);
    entry.attempts = r.get(4)?;
    entry.counted = r.get(5)?;
    entry.due = r.get::<_, Option<i64>>(6)?.map(Timestamp);
    entry.first_attempt_at = r.get::<_, Option<i64>>(7)?.map(Timestamp);
    entry.folded_from = r.get::<_, Option<i64>>(8)?.map(|s| EventSeq(s as u64));
    entry.manual = flags & ops::MANUAL != 0;
    entry.rowed = true;
    Ok(entry)
}

/// One delivery in any state, as if it were open. One that ended without having waited left no place in its row.
pub fn any_entry(db: &Connection, id: DeliveryId) -> rusqlite::Result<Option<Entry>> {
    use rusqlite::OptionalExtension;
    let mut select = db.prepare_cached(
        "SELECT d.position, d.webhook, d.attempts, d.counted, d.due, d.first_attempt, d.folded_from, d.flags,
           e.received, e.type, e.object_key
         FROM delivery d JOIN event e ON e.seq = d.id >> 16 WHERE d.id = ?1",
    )?;
    let any = |r: &Row<'_>| {
        let object_key: Option<i64> = r.get(10)?;
        let event_type = EventType::from_code(r.get(9)?).unwrap_or(EventType::Updated);
        let received = Timestamp(r.get(8)?);
        let mut entry = Entry::new(id, WebhookId(r.get(1)?), object_key.map(|k| k as u64), event_type, received);
        entry.position = r.get::<_, Option<i64>>(0)?.map_or(id, DeliveryId);
        entry.attempts = r.get(2)?;
        entry.counted = r.get::<_, Option<u32>>(3)?.unwrap_or(0);
        entry.due = r.get::<_, Option<i64>>(4)?.map(Timestamp);
        entry.first_attempt_at = r.get::<_, Option<i64>>(5)?.map(Timestamp);
        entry.folded_from = r.get::<_, Option<i64>>(6)?.map(|s| EventSeq(s as u64));
        entry.manual = r.get::<_, Option<i64>>(7)?.unwrap_or(0) & ops::MANUAL != 0;
        entry.rowed = true;
        Ok(entry)
    };
    select.query_row([id.0], any).optional()
}

/// An event as it was accepted; `None` when it is gone or was kept without body.
pub fn event_of(db: &Connection, seq: EventSeq) -> Result<Option<Arc<Event>>, StoreError> {
    use rusqlite::OptionalExtension;
    let row = db
        .prepare_cached("SELECT label, class, received, body FROM event WHERE seq = ?1")
        .and_then(|mut s| {
            s.query_row([seq.0 as i64], |r| {
                Ok((
                    r.get::<_, String>(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, i64>(2)?,
                    r.get::<_, Option<Vec<u8>>>(3)?,
                ))
            })
            .optional()
        })
        .map_err(|e| StoreError::Unavailable(e.to_string()))?;
    let Some((label, class, received, Some(body))) = row else { return Ok(None) };
    let raw = super::body::decompress(&body).map_err(|e| StoreError::Corrupt(format!("event {}: {e}", seq.0)))?;
    let model = Model { label: label.into(), class: class.into() };
    Event::restore(raw, model, Timestamp(received))
        .map(|event| Some(Arc::new(event)))
        .map_err(|e| StoreError::Corrupt(format!("event {}: {e}", seq.0)))
}

/// Reads events of deliveries that are about to be sent, off the dispatch threads; then the bodies of those that follow
/// them in `ledger`, so that one wait serves many.
///
/// `None` for an event that is damaged or gone.
///
/// # Errors
/// Nothing can be read now.
pub async fn read_events(
    shared: &Arc<Shared>,
    ledger: &Arc<Mutex<Ledger>>,
    wanted: Vec<EventSeq>,
) -> Result<Vec<Option<Arc<Event>>>, StoreError> {
    let (reply, answer) = oneshot::channel();
    let ahead = ReadAhead::begin(ledger);
    let reader = shared.clone();
    let read = shared.read(move |db| {
        let event = |seq| match known_or_read(&reader, db, seq) {
            Err(StoreError::Corrupt(_)) => Ok(None),
            other => other,
        };
        let _ = reply.send(wanted.into_iter().map(event).collect::<Result<_, _>>());
        if let Some(ahead) = ahead {
            ahead.run(&reader, db);
        }
        Ok(())
    });
    match answer.await {
        Ok(events) => events,
        // It was not carried out: the read says why.
        Err(_) => read.await.and(Err(StoreError::Unavailable("a read was given up".to_owned()))),
    }
}

/// One for each ledger at a time.
struct ReadAhead(Arc<Mutex<Ledger>>);

impl ReadAhead {
    fn begin(ledger: &Arc<Mutex<Ledger>>) -> Option<Self> {
        let begun = !std::mem::replace(&mut ledger.lock().reading_ahead, true);
        begun.then(|| Self(ledger.clone()))
    }

    /// Attaches bodies as long as memory may hold more; what it leaves out is read when it is sent.
    fn run(self, shared: &Shared, db: &Connection) {
        let ids = self.0.lock().bodiless(crate::clock::now(), BODIES_AHEAD);
        for id in ids {
            let Ok(Some(event)) = known_or_read(shared, db, id.event()) else { continue };
            let Some(body) = Body::within(&shared.budget, &event) else { return };
            self.0.lock().attach(id, body);
        }
    }
}

impl Drop for ReadAhead {
    fn drop(&mut self) {
        self.0.lock().reading_ahead = false;
    }
}
