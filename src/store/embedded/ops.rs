//! What is applied in memory and goes to disk with the next commit. Every operation may be applied twice: after a
//! failed commit it is.

use rusqlite::{Connection, params};

use super::counts::{self, Deltas};
use super::ledger::Entry;
use super::places;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome};
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::LiveState;
use crate::domain::event::EventType;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::domain::time::Timestamp;

/// Body bytes kept of a first-attempt success.
const SHORT_EXCERPT: usize = 256;
/// Flag bits of a delivery row.
pub const TEST: i64 = 1;
pub const MANUAL: i64 = 2;
/// The event's type, in the flags of an open row: nothing else of the event is needed to put it in order.
const TYPE_SHIFT: u32 = 4;

/// Pauses are the store's to count; and what was written before a person resumed it says nothing any more.
const UPDATE_LIVE: &str = "
UPDATE endpoint
SET live = json_set(?2, '$.paused_total_us', coalesce(json_extract(live, '$.paused_total_us'), 0))
WHERE id = ?1 AND json_extract(live, '$.resumed_at') IS json_extract(?2, '$.resumed_at')";

#[derive(Debug)]
pub enum Op {
    /// An unfinished delivery as it stands.
    Open {
        endpoint: EndpointId,
        entry: Entry,
    },
    /// A delivery that has ended.
    Final(Box<Ended>),
    /// Attempt `number` of it, beside an `Open`.
    Attempt {
        id: DeliveryId,
        number: u32,
        attempt: Box<Attempt>,
    },
    Live {
        endpoint: EndpointId,
        live: LiveState,
    },
    /// Every event up to it has all its deliveries as rows.
    SpilledUpto(u64),
    /// It belongs to another endpoint from now on.
    Moved {
        id: DeliveryId,
        webhook: WebhookId,
        from: EndpointId,
        to: EndpointId,
        state: DeliveryState,
        /// Microseconds by which the clock it ages by is ahead there.
        clocks: i64,
    },
    /// Nothing follows the attempt in flight, also after a restart.
    Canceling(DeliveryId),
    /// A row leaves a state that is counted (manual retry).
    Uncount {
        endpoint: EndpointId,
        webhook: WebhookId,
        state: DeliveryState,
    },
    /// A new delivery beside the plan. Follows its `Open`.
    Resend {
        id: DeliveryId,
        of: DeliveryId,
        at: Timestamp,
    },
}

/// A delivery that has ended, as its row says it.
#[derive(Debug)]
pub struct Ended {
    pub endpoint: EndpointId,
    pub id: DeliveryId,
    pub webhook: WebhookId,
    /// Recorded attempts in all.
    pub attempts: u32,
    pub state: DeliveryState,
    pub at: Timestamp,
    /// What it was folded into.
    pub successor: Option<DeliveryId>,
    /// The attempt that ended it.
    pub last: Option<Attempt>,
    /// It was canceled while in flight.
    pub canceling: bool,
}

impl Ended {
    /// Without a last attempt or a successor.
    pub fn of(endpoint: EndpointId, entry: &Entry, state: DeliveryState, at: Timestamp) -> Self {
        let (id, webhook, attempts, canceling) = (entry.id, entry.webhook, entry.attempts, entry.cancel);
        Self { endpoint, id, webhook, attempts, state, at, successor: None, last: None, canceling }
    }
}

impl Op {
    pub fn apply(&self, db: &Connection, deltas: &mut Deltas) -> rusqlite::Result<()> {
        match self {
            Self::Open { endpoint, entry } => open(db, *endpoint, entry),
            Self::Final(ended) => {
                *deltas.entry(counts::ended(ended.endpoint, ended.webhook, ended.state)).or_default() += 1;
                if ended.canceling {
                    db.prepare_cached("DELETE FROM canceling WHERE id = ?1")?.execute([ended.id.0])?;
                }
                match &ended.last {
                    Some(last) => finish_with(db, ended, last),
                    None => finish(db, ended),
                }
            }
            Self::Attempt { id, number, attempt } => record(db, *id, *number, attempt),
            Self::Live { endpoint, live } => db
                .prepare_cached(UPDATE_LIVE)?
                .execute(params![endpoint.0, serde_json::to_string(live).unwrap_or_default()])
                .map(drop),
            Self::Moved { id, webhook, from, to, state, clocks } => {
                if !state.unfinished() {
                    *deltas.entry((*from, *webhook, state.code())).or_default() -= 1;
                    *deltas.entry((*to, *webhook, state.code())).or_default() += 1;
                }
                places::remove(db, &mut [(*from, *id)])?;
                places::put(db, *to, *id)?;
                db.prepare_cached(
                    "UPDATE delivery SET endpoint = ?2, first_attempt = first_attempt + ?4 WHERE id = ?1 AND endpoint = ?3",
                )?
                .execute(params![id.0, to.0, from.0, clocks])
                .map(drop)
            }
            Self::Canceling(id) => {
                db.prepare_cached("INSERT OR IGNORE INTO canceling(id) VALUES(?1)")?.execute([id.0]).map(drop)
            }
            Self::SpilledUpto(seq) => set_meta(db, "spilled_upto", *seq as i64),
            Self::Uncount { endpoint, webhook, state } => {
                *deltas.entry((*endpoint, *webhook, state.code())).or_default() -= 1;
                Ok(())
            }
            Self::Resend { id, of, at } => db
                .prepare_cached("UPDATE delivery SET resend_of = ?2, created = ?3 WHERE id = ?1")?
                .execute(params![id.0, of.0, at.0])
                .map(drop),
        }
    }
}

fn open(db: &Connection, endpoint: EndpointId, e: &Entry) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO delivery(id, endpoint, webhook, state, attempts, position, key, received, counted, due,
           first_attempt, folded_from, flags)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)
         ON CONFLICT(id) DO UPDATE SET endpoint = ?2, state = ?4, attempts = ?5, position = ?6, key = ?7, received = ?8,
           counted = ?9, due = ?10, first_attempt = ?11, folded_from = ?12, flags = ?13, finished = NULL,
           successor = NULL",
    )?
    .execute(params![
        e.id.0,
        endpoint.0,
        e.webhook.0,
        if e.due.is_some() { 1 } else { 0 },
        e.attempts,
        e.position.0,
        e.object_key as i64,
        e.received.0,
        e.counted,
        e.due.map(|t| t.0),
        e.first_attempt_at.map(|t| t.0),
        e.folded_from.map(|s| s.0 as i64),
        open_flags(e),
    ])
    .map(drop)
}

fn open_flags(e: &Entry) -> i64 {
    e.event_type.code() << TYPE_SHIFT | if e.manual { MANUAL } else { 0 }
}

/// The type of event that the flags of an open row name.
pub fn event_type(flags: i64) -> Option<EventType> {
    EventType::from_code(flags >> TYPE_SHIFT)
}

/// What its last attempt left in the row stays.
fn finish(db: &Connection, e: &Ended) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO delivery(id, endpoint, webhook, state, attempts, finished, successor)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)
         ON CONFLICT(id) DO UPDATE SET state = ?4, attempts = ?5, finished = ?6, successor = ?7, due = NULL",
    )?
    .execute(params![e.id.0, e.endpoint.0, e.webhook.0, e.state.code(), e.attempts, e.at.0, e.successor.map(|d| d.0)])
    .map(drop)
}

/// The same in one statement with what its last attempt says: this is what nearly every delivery costs.
fn finish_with(db: &Connection, e: &Ended, a: &Attempt) -> rusqlite::Result<()> {
    db.prepare_cached(
        "INSERT INTO delivery(id, endpoint, webhook, state, attempts, finished, successor, code, error, latency,
           revision, excerpt)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
         ON CONFLICT(id) DO UPDATE SET state = ?4, attempts = ?5, finished = ?6, successor = ?7, due = NULL, code = ?8,
           error = ?9, latency = ?10, revision = ?11, excerpt = ?12",
    )?
    .execute(params![
        e.id.0,
        e.endpoint.0,
        e.webhook.0,
        e.state.code(),
        e.attempts,
        e.at.0,
        e.successor.map(|d| d.0),
        a.status(),
        a.error_kind().map(|k| k as i64),
        micros(a.timings.total),
        a.revision,
        brief_excerpt(a, e.attempts)
    ])?;
    if is_brief(a, e.attempts) { Ok(()) } else { keep_attempt(db, e.id, e.attempts, a) }
}

/// Attempt `number` of a delivery that has a row.
fn record(db: &Connection, id: DeliveryId, number: u32, a: &Attempt) -> rusqlite::Result<()> {
    db.prepare_cached(
        "UPDATE delivery SET code = ?2, error = ?3, latency = ?4, revision = ?5, excerpt = ?6 WHERE id = ?1",
    )?
    .execute(params![
        id.0,
        a.status(),
        a.error_kind().map(|k| k as i64),
        micros(a.timings.total),
        a.revision,
        brief_excerpt(a, number)
    ])?;
    if is_brief(a, number) { Ok(()) } else { keep_attempt(db, id, number, a) }
}

/// Of a success at the first attempt the row alone is enough.
fn is_brief(a: &Attempt, number: u32) -> bool {
    number == 1 && a.succeeded()
}

fn brief_excerpt(a: &Attempt, number: u32) -> Option<&[u8]> {
    let excerpt = &a.response_excerpt[..a.response_excerpt.len().min(SHORT_EXCERPT)];
    Some(excerpt).filter(|e| is_brief(a, number) && !e.is_empty())
}

fn keep_attempt(db: &Connection, id: DeliveryId, number: u32, a: &Attempt) -> rusqlite::Result<()> {
    let (code, error) = (a.status(), a.error_kind().map(|k| k as i64));
    let retry_after = match a.outcome {
        Outcome::Answered { retry_after, .. } => retry_after.map(micros),
        _ => None,
    };
    db.prepare_cached(
        "INSERT OR REPLACE INTO attempt(delivery, number, started, revision, code, error, detail, headers, excerpt,
           truncated, url, remote, timings, retry_after)
         VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        id.0,
        number,
        a.started_at.0,
        a.revision,
        code,
        error,
        a.detail,
        a.response_headers,
        a.response_excerpt,
        a.response_truncated,
        &*a.url,
        a.remote_address.map(|r| r.to_string()),
        serde_json::to_string(&a.timings).unwrap_or_default(),
        retry_after,
    ])
    .map(drop)
}

pub fn micros(d: std::time::Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// The kind an `error` column means.
pub fn error_kind(code: i64) -> Option<ErrorKind> {
    ErrorKind::ALL.into_iter().find(|k| *k as i64 == code)
}

pub fn set_meta(db: &Connection, key: &str, value: i64) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT INTO meta(k, v) VALUES(?1, ?2) ON CONFLICT(k) DO UPDATE SET v = ?2")?
        .execute(params![key, value])
        .map(drop)
}

pub fn meta(db: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    use rusqlite::OptionalExtension;
    db.prepare_cached("SELECT v FROM meta WHERE k = ?1")?.query_row([key], |r| r.get(0)).optional()
}
