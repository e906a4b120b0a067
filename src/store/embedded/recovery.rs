//! Opening: what the last process left is made whole.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use foldhash::HashSet;
use rusqlite::{Connection, OptionalExtension, params};

use super::accept::Intake;
use super::counts::{self, EVENTS};
use super::definitions;
use super::hours;
use super::idempotency::Memory;
use super::index::{self, Index};
use super::ledger::Entry;
use super::ops::meta;
use super::places::REBUILD;
use super::plan;
use super::schema::{self, FILE};
use super::shared::Shared;
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::{Planned, StoreError};

/// How long a start looks for damage. A file too large for it is looked at in part; what is damaged beyond is found when
/// it is read.
const VERIFY_MAX: Duration = Duration::from_secs(3);
/// SQLite instructions between two looks at the time.
const VERIFY_STEP: i32 = 10_000;

/// Looks for damage in the file's structure, for a few seconds at most.
///
/// # Errors
/// `Corrupt`, with what was found first.
pub fn verify(db: &mut Connection, folder: &Path) -> Result<(), StoreError> {
    let checked = verify_within(db, folder, VERIFY_MAX)?;
    if checked == Checked::InPart {
        tracing::warn!(
            seconds = VERIFY_MAX.as_secs(),
            "the store is too large to be checked whole at a start, no damage was found in what was checked"
        );
    }
    Ok(())
}

/// How much of the file was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Checked {
    Whole,
    InPart,
}

pub(super) fn verify_within(db: &mut Connection, folder: &Path, time: Duration) -> Result<Checked, StoreError> {
    let path = folder.join(FILE);
    let until = clock::now() + time;
    let ours = |e| schema::classify(&path, e);
    db.progress_handler(VERIFY_STEP, Some(move || clock::now() >= until)).map_err(ours)?;
    let found = db.query_row("PRAGMA quick_check(1)", [], |r| r.get::<_, String>(0));
    db.progress_handler(0, None::<fn() -> bool>).map_err(ours)?;
    let found = match found {
        Err(e) if e.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) => {
            return Ok(Checked::InPart);
        }
        found => found.map_err(ours)?,
    };
    if found == "ok" {
        return Ok(Checked::Whole);
    }
    Err(StoreError::Corrupt(format!(
        "{}: {found}; the file is left as it is, `netbox-webhookd recover DIR` writes what is readable to a new folder",
        path.display()
    )))
}

/// Rebuilds what memory holds, in one pass over what is unfinished.
pub fn restore(db: &Connection, shared: &Arc<Shared>, now: Timestamp) -> Result<Intake, StoreError> {
    let error = |e| schema::classify(&shared.folder.join(FILE), e);
    definitions::load(db, shared)?;
    canceled_in_flight(db, now).map_err(error)?;
    counters(db, shared, now).map_err(error)?;
    let newest: Option<i64> = db.query_row("SELECT max(seq) FROM event", [], |r| r.get(0)).map_err(error)?;
    let reserved = meta(db, "next_seq").map_err(error)?.unwrap_or(1);
    let next_seq = (newest.unwrap_or(0) + 1).max(reserved);
    let memory = Memory::load(db, shared.config.idempotency_window, now).map_err(error)?;
    let mut intake = Intake::new(next_seq as u64, memory, Index::restore(db).map_err(error)?);
    open_rows(db, shared).map_err(error)?;
    shared.places.restore(db).map_err(error)?;
    young_events(db, shared, &mut intake, now).map_err(error)?;
    intake.look_round(shared);
    Ok(intake)
}

/// What was canceled during its attempt is not attempted again: the attempt's end was lost with the process.
fn canceled_in_flight(db: &Connection, now: Timestamp) -> rusqlite::Result<()> {
    let tx = db.unchecked_transaction()?;
    let canceled = DeliveryState::Canceled.code();
    let ended: Vec<_> = tx
        .prepare("SELECT d.endpoint, d.webhook FROM canceling c JOIN delivery d ON d.id = c.id WHERE d.state < 2")?
        .query_map([], |r| Ok((EndpointId(r.get(0)?), WebhookId(r.get(1)?), canceled)))?
        .collect::<rusqlite::Result<_>>()?;
    tx.execute(
        "UPDATE delivery SET state = ?1, finished = ?2, due = NULL
         WHERE id IN (SELECT id FROM canceling) AND state < 2",
        params![canceled, now.0],
    )?;
    let mut deltas = counts::Deltas::default();
    ended.into_iter().for_each(|key| *deltas.entry(key).or_default() += 1);
    counts::log(&tx, &deltas, now)?;
    tx.execute("DELETE FROM canceling", [])?;
    tx.commit()
}

fn counters(db: &Connection, shared: &Shared, now: Timestamp) -> rusqlite::Result<()> {
    let folding = db.unchecked_transaction()?;
    counts::fold(&folding, now)?;
    hours::load(&folding, &mut shared.hours.lock(), now)?;
    folding.commit()?;
    let mut rows = db.prepare("SELECT endpoint, webhook, state, n FROM counter")?;
    let mut rows = rows.query([])?;
    while let Some(r) = rows.next()? {
        let code: i64 = r.get(2)?;
        if code == EVENTS.2 {
            shared.events.store(r.get::<_, i64>(3)?.max(0) as u64, Ordering::Relaxed);
        } else if let Some(state) = DeliveryState::from_code(code) {
            shared.count(EndpointId(r.get(0)?), WebhookId(r.get(1)?), state, r.get(3)?);
        } else if let Some(state) = DeliveryState::from_code(code - counts::TESTS) {
            shared.count_test(EndpointId(r.get(0)?), WebhookId(r.get(1)?), state, r.get(3)?);
        }
    }
    Ok(())
}

/// Endpoints with open rows start deep, at the beginning: their heads are read when they are asked for.
fn open_rows(db: &Connection, shared: &Shared) -> rusqlite::Result<()> {
    let mut rows = db.prepare(
        "SELECT endpoint, count(*), sum(state), min(position) FROM delivery INDEXED BY delivery_open
         WHERE state < 2 GROUP BY endpoint",
    )?;
    let mut received = db.prepare("SELECT received FROM event WHERE seq = ?1")?;
    let mut rows = rows.query([])?;
    while let Some(r) = rows.next()? {
        let ledger = shared.ledger(EndpointId(r.get(0)?));
        let mut ledger = ledger.lock();
        ledger.unfinished = r.get::<_, i64>(1)? as u64;
        // State 1 is retrying, 0 pending.
        ledger.retrying = r.get::<_, i64>(2)? as u64;
        ledger.oldest_row =
            received.query_row([DeliveryId(r.get(3)?).event().0 as i64], |r| r.get(0).map(Timestamp)).optional()?;
        ledger.rewind(DeliveryId(-1));
        shared.backlog_change(ledger.unfinished as i64);
    }
    Ok(())
}

/// Deliveries of the last events may have no row: each place of the plan without one is pending. (Where rows were pruned,
/// all had one; it matters when `spilled_upto` was lost with a damaged file.)
fn young_events(db: &Connection, shared: &Arc<Shared>, intake: &mut Intake, now: Timestamp) -> rusqlite::Result<()> {
    let spilled = meta(db, "spilled_upto")?.unwrap_or(0);
    let mut events = db.prepare(
        "SELECT seq, received, type, object_key, plan FROM event WHERE seq > ?1 AND places = 0 ORDER BY seq",
    )?;
    let mut rows = db.prepare("SELECT id FROM delivery WHERE id BETWEEN ?1 AND ?2")?;
    let mut found = events.query([spilled])?;
    while let Some(r) = found.next()? {
        let seq = EventSeq(r.get::<_, i64>(0)? as u64);
        let received = Timestamp(r.get(1)?);
        let event_type = EventType::from_code(r.get(2)?).unwrap_or(EventType::Updated);
        let object_key: Option<i64> = r.get(3)?;
        let planned = plan::decode(&r.get::<_, Vec<u8>>(4)?).unwrap_or_default();
        let range = seq.deliveries();
        let have: HashSet<i64> =
            rows.query_map(params![range.start(), range.end()], |r| r.get(0))?.collect::<rusqlite::Result<_>>()?;
        let open: Vec<(DeliveryId, Planned)> = planned
            .iter()
            .enumerate()
            .map(|(place, planned)| (DeliveryId::new(seq, place as u16), *planned))
            .filter(|(id, _)| !have.contains(&id.0))
            .collect();
        for (id, planned) in &open {
            let entry = Entry::new(*id, planned.webhook, object_key.map(|k| k as u64), event_type, received);
            let bound = shared.bound.load(Ordering::Relaxed);
            shared.ledger(planned.endpoint).lock().accept(entry, bound);
            shared.places.note_one(planned.endpoint, *id);
        }
        shared.backlog_change(open.len() as i64);
        intake.note_young(seq, now, planned);
    }
    Ok(())
}

/// What [`recover`] could read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoverReport {
    pub events: u64,
    pub deliveries: u64,
    pub webhooks: u64,
    /// Events whose body is damaged; their deliveries are left out.
    pub damaged_events: u64,
    /// Where reading a table stopped, for people.
    pub problems: Vec<String>,
}

/// Deliveries need their event; counters are what the saved rows say.
const RECOUNT: &str = "
DELETE FROM delivery WHERE NOT EXISTS (SELECT 1 FROM event WHERE seq = delivery.id >> 16);
DELETE FROM counter;
DELETE FROM counter_change;
INSERT INTO counter SELECT endpoint, webhook, state, count(*) FROM delivery
  WHERE state >= 2 AND coalesce(flags, 0) & 1 = 0 GROUP BY endpoint, webhook, state;
INSERT INTO counter SELECT endpoint, webhook, state + 10, count(*) FROM delivery
  WHERE coalesce(flags, 0) & 1 <> 0 GROUP BY endpoint, webhook, state;
INSERT INTO counter SELECT 0, 0, 100, count(*) FROM event;";

/// Tables in the order they are saved; each is read row by row until it cannot be read further.
const TABLES: &[&str] = &[
    "endpoint",
    "webhook",
    "revision",
    "token",
    "user",
    "audit",
    "event",
    "delivery",
    "canceling",
    "attempt",
    "idempotency",
    "counter",
    "webhook_hour",
    "bulk",
    "prune_later",
    "meta",
];

/// Writes what is readable of a damaged store into a new folder. The damaged file is only read.
///
/// # Errors
/// The new folder is not empty or cannot be written, or the old file cannot be opened at all.
pub fn recover(from: &Path, to: &Path) -> Result<RecoverReport, StoreError> {
    if to.join(FILE).exists() {
        return Err(StoreError::Conflict(format!("{} holds a store already; name an empty folder", to.display())));
    }
    let lock = schema::FolderLock::take(to)?;
    let source = schema::open_reader(from)?;
    let target = schema::open_writer(to)?;
    let error = |e| schema::classify(&to.join(FILE), e);
    let mut report = RecoverReport::default();
    target.execute_batch("BEGIN").map_err(error)?;
    for table in TABLES {
        salvage(&source, &target, table, &mut report)?;
    }
    target.execute_batch(RECOUNT).map_err(error)?;
    index::rebuild(&target).map_err(error)?;
    target.execute_batch(&format!("{REBUILD} COMMIT")).map_err(error)?;
    let count = |table: &str| -> Result<u64, StoreError> {
        target
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |r| r.get::<_, i64>(0))
            .map(|n| n as u64)
            .map_err(error)
    };
    report.events = count("event")?;
    report.deliveries = count("delivery")?;
    report.webhooks = count("webhook")?;
    drop(lock);
    Ok(report)
}

fn salvage(
    source: &Connection,
    target: &Connection,
    table: &str,
    report: &mut RecoverReport,
) -> Result<(), StoreError> {
    // Forwards until the damage, then backwards from the end: what lies beyond it is often readable.
    for direction in ["ASC", "DESC"] {
        let rowid = if matches!(table, "attempt" | "counter" | "webhook_hour" | "meta" | "revision" | "prune_later") {
            "1"
        } else {
            "rowid"
        };
        let read = source.prepare(&format!("SELECT * FROM {table} ORDER BY {rowid} {direction}"));
        let mut read = match read {
            Ok(read) => read,
            Err(e) => {
                report.problems.push(format!("{table}: {e}"));
                return Ok(());
            }
        };
        let columns = read.column_count();
        let body = read.column_names().position(|name| name == "body" && table == "event");
        let places = vec!["?"; columns].join(", ");
        let mut write = target
            .prepare(&format!("INSERT OR IGNORE INTO {table} VALUES({places})"))
            .map_err(|e| StoreError::Unavailable(e.to_string()))?;
        let mut rows = match read.query([]) {
            Ok(rows) => rows,
            Err(e) => {
                report.problems.push(format!("{table}: {e}"));
                continue;
            }
        };
        loop {
            match rows.next() {
                Ok(Some(row)) => {
                    let values: Vec<rusqlite::types::Value> = (0..columns).filter_map(|i| row.get(i).ok()).collect();
                    let damaged = body.is_some_and(|i| {
                        matches!(values.get(i), Some(rusqlite::types::Value::Blob(b)) if super::body::decompress(b).is_err())
                    });
                    if damaged || values.len() != columns {
                        report.damaged_events += u64::from(damaged && direction == "ASC");
                        continue;
                    }
                    // A row that contradicts one already saved is the damaged one.
                    let _ = write.execute(rusqlite::params_from_iter(values));
                }
                Ok(None) => return Ok(()),
                Err(e) => {
                    report.problems.push(format!("{table} ({direction}): {e}"));
                    break;
                }
            }
        }
    }
    Ok(())
}
