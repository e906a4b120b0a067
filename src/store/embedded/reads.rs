//! What was and is: rows, completed with what memory knows better.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::EmbeddedStore;
use super::filter::{self, Where};
use super::load::event_of;
use super::ops::{TEST, error_kind};
use super::shared::Shared;
use super::tx::Tx;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::{Event, EventType};
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::admin::AuditEntry;
use crate::store::archive::{
    Archive, AttemptRow, DeliveryRow, EndpointCounts, EventRow, Listed, Page, Pruned, Retention,
};
use crate::store::{Counts, Filter, Health, StoreError};

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

const EVENT: &str = "e.seq, e.received, e.type, e.label, e.object_id, e.request_id, e.plan";
const DELIVERY: &str = "d.id, d.webhook, d.endpoint, d.state, d.attempts, d.due, d.finished, d.code, d.error, d.latency, \
                        d.successor, d.resend_of, d.flags";
const JOINED: &str = "FROM delivery d JOIN event e ON e.seq = d.id >> 16";

fn problem(e: rusqlite::Error) -> StoreError {
    if e.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return StoreError::Unavailable("the search took too long; narrow it (a state, a webhook, a time)".to_owned());
    }
    StoreError::Unavailable(e.to_string())
}

impl Archive for EmbeddedStore {
    fn event(&self, seq: EventSeq) -> Answer<Option<(EventRow, Arc<Event>)>> {
        self.shared
            .read(move |db| {
                let row = event_row(db, seq)?;
                let event = event_of(db, seq)?;
                Ok(row.zip(event))
            })
            .boxed()
    }

    fn events(&self, filter: Filter, page: Page) -> Answer<Listed<EventRow>> {
        let all = self.counts().events;
        self.shared
            .read(move |db| {
                let wanted = filter::events(&filter);
                let count = wanted.is_empty().then_some(all);
                let select = format!("SELECT {EVENT} FROM event e");
                let tail = format!("ORDER BY e.seq DESC LIMIT {}", page.limit + 1);
                let rows = wanted
                    .before("e.seq", page.before)
                    .query(db, &select, &tail, |r| event_from(r, 0))
                    .map_err(problem)?;
                Ok(listed(rows, page.limit, count, |row| row.seq.0 as i64))
            })
            .boxed()
    }

    fn delivery(&self, id: DeliveryId) -> Answer<Option<DeliveryRow>> {
        let shared = self.shared.clone();
        async move {
            // What has no row yet gets it with this commit.
            let spill = move |tx: &mut Tx<'_>| tx.spill_event(id.event()).map_err(|e| tx.error(e));
            let written = shared.clone().write(spill, |()| ()).await;
            let row = shared.read(move |db| delivery_row(db, id)).await?;
            if row.is_none() {
                written?;
            }
            Ok(row.map(|row| overlay(&shared, row)))
        }
        .boxed()
    }

    fn deliveries(&self, filter: Filter, page: Page) -> Answer<Listed<DeliveryRow>> {
        let shared = self.shared.clone();
        let count = exact_count(&shared, &filter);
        let states = filter.states.clone();
        let running_only = states == [DeliveryState::InFlight];
        let read = self.shared.read(move |db| {
            let wanted = if running_only { Where::default() } else { filter::deliveries(&filter) };
            let tail = format!("ORDER BY d.id DESC LIMIT {}", page.limit + 1);
            let select = format!("SELECT {DELIVERY}, {EVENT} {JOINED}");
            let rows = wanted.before("d.id", page.before).query(db, &select, &tail, delivery_from).map_err(problem)?;
            Ok(listed(rows, page.limit, None, |row: &DeliveryRow| row.id.0))
        });
        if running_only {
            return in_flight(shared, page).boxed();
        }
        async move {
            let mut page = read.await?;
            page.count = count;
            page.rows = page.rows.into_iter().map(|row| overlay(&shared, row)).collect();
            if !states.is_empty() {
                page.rows.retain(|row| states.contains(&row.state));
            }
            Ok(page)
        }
        .boxed()
    }

    fn siblings(&self, seq: EventSeq) -> Answer<Vec<DeliveryRow>> {
        let shared = self.shared.clone();
        async move {
            let spill = move |tx: &mut Tx<'_>| tx.spill_event(seq).map_err(|e| tx.error(e));
            let written = shared.clone().write(spill, |()| ()).await;
            let rows = shared
                .read(move |db| {
                    let range = seq.deliveries();
                    db.prepare_cached(&format!(
                        "SELECT {DELIVERY}, {EVENT} {JOINED} WHERE d.id BETWEEN ?1 AND ?2 ORDER BY d.id LIMIT 1000"
                    ))
                    .and_then(|mut s| s.query_map(params![range.start(), range.end()], delivery_from)?.collect())
                    .map_err(problem)
                })
                .await?;
            let rows: Vec<DeliveryRow> = rows;
            if rows.is_empty() {
                written?;
            }
            Ok(rows.into_iter().map(|row| overlay(&shared, row)).collect())
        }
        .boxed()
    }

    fn attempts(&self, id: DeliveryId) -> Answer<Vec<AttemptRow>> {
        self.shared.read(move |db| attempts(db, id).map_err(problem)).boxed()
    }

    fn endpoint_counts(&self, endpoint: EndpointId) -> EndpointCounts {
        let count = |state| self.shared.counted_at(endpoint, state);
        let ledger = self.shared.ledger(endpoint);
        let ledger = ledger.lock();
        EndpointCounts {
            pending: ledger.unfinished.saturating_sub(ledger.retrying).saturating_sub(ledger.fresh_in_flight()),
            in_flight: ledger.in_flight,
            retrying: ledger.retrying.saturating_sub(ledger.in_flight - ledger.fresh_in_flight()),
            failed: count(DeliveryState::Failed),
            delivered: count(DeliveryState::Delivered),
            oldest_pending_at: ledger.oldest(),
            next_attempt_at: ledger.next_due(),
        }
    }

    fn counts(&self) -> Counts {
        let mut counts =
            Counts { events: self.shared.events.load(std::sync::atomic::Ordering::Relaxed), ..Counts::default() };
        for state in DeliveryState::ALL.into_iter().filter(|s| !s.unfinished()) {
            counts.by_state.insert(state, self.shared.counted(|_, _, s| s == state));
        }
        let (mut pending, mut retrying, mut running) = (0, 0, 0);
        for ledger in self.shared.all_ledgers() {
            let ledger = ledger.lock();
            let fresh = ledger.fresh_in_flight();
            pending += ledger.unfinished.saturating_sub(ledger.retrying).saturating_sub(fresh);
            retrying += ledger.retrying.saturating_sub(ledger.in_flight - fresh);
            running += ledger.in_flight;
            let oldest = ledger.oldest();
            counts.oldest_pending_at = [counts.oldest_pending_at, oldest].into_iter().flatten().min();
        }
        counts.by_state.insert(DeliveryState::Pending, pending);
        counts.by_state.insert(DeliveryState::Retrying, retrying);
        counts.by_state.insert(DeliveryState::InFlight, running);
        counts
    }

    fn health(&self) -> Health {
        self.shared.health()
    }

    fn size_bytes(&self) -> u64 {
        let size = |name: String| std::fs::metadata(self.shared.folder.join(name)).map_or(0, |m| m.len());
        size(super::schema::FILE.to_owned()) + size(format!("{}-wal", super::schema::FILE))
    }

    fn audit_log(&self, page: Page) -> Answer<Listed<AuditEntry>> {
        self.shared
            .read(move |db| {
                let rows: Vec<AuditEntry> = db
                    .prepare_cached(
                        "SELECT id, time, actor, action, target, detail FROM audit WHERE id < ?1 ORDER BY id DESC LIMIT ?2",
                    )
                    .and_then(|mut s| {
                        let below = page.before.unwrap_or(i64::MAX);
                        s.query_map(params![below, page.limit as i64 + 1], audit_from)?.collect()
                    })
                    .map_err(problem)?;
                Ok(listed(rows, page.limit, None, |row| row.id))
            })
            .boxed()
    }

    fn prune(&self, retention: Retention) -> Answer<Pruned> {
        self.shared.write(move |tx| super::prune::run(tx, &retention), |pruned| pruned).boxed()
    }

    fn backup(&self, to: std::path::PathBuf) -> Answer<()> {
        let folder = self.shared.folder.clone();
        // A connection of its own: a copy takes longer than a read may.
        self.shared.read(move |_| super::backup::backup(&folder, &to)).boxed()
    }
}

/// From the kept counters, when the filter asks for nothing finer.
fn exact_count(shared: &Shared, filter: &Filter) -> Option<u64> {
    let coarse = Filter {
        states: filter.states.clone(),
        webhooks: filter.webhooks.clone(),
        endpoints: filter.endpoints.clone(),
        ..Filter::default()
    };
    let finished_only = !filter.states.is_empty() && filter.states.iter().all(|s| !s.unfinished());
    (*filter == coarse && finished_only).then(|| {
        shared.counted(|e, w, s| {
            filter.states.contains(&s)
                && (filter.webhooks.is_empty() || filter.webhooks.contains(&w))
                && (filter.endpoints.is_empty() || filter.endpoints.contains(&e))
        })
    })
}

/// What is running is known to memory alone.
async fn in_flight(shared: Arc<Shared>, page: Page) -> Result<Listed<DeliveryRow>, StoreError> {
    let mut ids: Vec<DeliveryId> = Vec::new();
    for ledger in shared.all_ledgers() {
        ids.extend(ledger.lock().entries().filter(|e| e.in_flight).map(|e| e.id));
    }
    let count = Some(ids.len() as u64);
    ids.retain(|id| page.before.is_none_or(|before| id.0 < before));
    ids.sort_unstable_by(|a, b| b.cmp(a));
    ids.truncate(page.limit + 1);
    shared.clone().write(|tx| tx.spill_all().map_err(|e| tx.error(e)), |()| ()).await?;
    let rows = shared
        .read(move |db| {
            ids.into_iter().filter_map(|id| delivery_row(db, id).transpose()).collect::<Result<Vec<_>, _>>()
        })
        .await?;
    let rows = rows.into_iter().map(|row| overlay(&shared, row)).collect();
    Ok(listed(rows, page.limit, count, |row: &DeliveryRow| row.id.0))
}

fn listed<T>(mut rows: Vec<T>, limit: usize, count: Option<u64>, key: impl Fn(&T) -> i64) -> Listed<T> {
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(key) } else { None };
    Listed { rows, next, count }
}

/// What memory knows better than the row: what runs now, and what it waits behind.
fn overlay(shared: &Shared, mut row: DeliveryRow) -> DeliveryRow {
    if row.state.unfinished() {
        let ledger = shared.ledger(row.endpoint);
        let ledger = ledger.lock();
        if ledger.get(row.id).is_some_and(|e| e.in_flight) {
            row.state = DeliveryState::InFlight;
            row.next_attempt_at = None;
        }
        row.behind = ledger.behind(row.id).map(super::ledger::Entry::public_id);
    }
    row
}

fn event_row(db: &Connection, seq: EventSeq) -> Result<Option<EventRow>, StoreError> {
    db.prepare_cached(&format!("SELECT {EVENT} FROM event e WHERE e.seq = ?1"))
        .and_then(|mut s| s.query_row([seq.0 as i64], |r| event_from(r, 0)).optional())
        .map_err(problem)
}

fn event_from(r: &Row<'_>, at: usize) -> rusqlite::Result<EventRow> {
    let seq = EventSeq(r.get::<_, i64>(at)? as u64);
    let received_at = Timestamp(r.get(at + 1)?);
    let plan: Vec<u8> = r.get(at + 6)?;
    Ok(EventRow {
        seq,
        id: seq.public(received_at),
        received_at,
        event_type: EventType::from_code(r.get(at + 2)?).unwrap_or(EventType::Updated),
        model: r.get(at + 3)?,
        object_id: r.get(at + 4)?,
        request_id: r.get(at + 5)?,
        deliveries: super::plan::decode(&plan).map_or(0, |p| p.len() as u32),
    })
}

fn delivery_row(db: &Connection, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
    db.prepare_cached(&format!("SELECT {DELIVERY}, {EVENT} {JOINED} WHERE d.id = ?1"))
        .and_then(|mut s| s.query_row([id.0], delivery_from).optional())
        .map_err(problem)
}

fn delivery_from(r: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let id = DeliveryId(r.get(0)?);
    let event = event_from(r, 13)?;
    // Of another event the millisecond it was accepted is not at hand; its id names it all the same.
    let elsewhere = |other: Option<i64>| other.map(|o| DeliveryId(o).public(event.received_at));
    Ok(DeliveryRow {
        id,
        public_id: id.public(event.received_at),
        webhook: WebhookId(r.get(1)?),
        endpoint: EndpointId(r.get(2)?),
        state: DeliveryState::from_code(r.get(3)?).unwrap_or(DeliveryState::Failed),
        attempts: r.get(4)?,
        next_attempt_at: r.get::<_, Option<i64>>(5)?.map(Timestamp),
        finished_at: r.get::<_, Option<i64>>(6)?.map(Timestamp),
        status_code: r.get(7)?,
        error: r.get::<_, Option<i64>>(8)?.and_then(error_kind),
        latency: r.get::<_, Option<i64>>(9)?.map(duration),
        superseded_by: elsewhere(r.get(10)?),
        resend_of: elsewhere(r.get(11)?),
        test: r.get::<_, Option<i64>>(12)?.unwrap_or(0) & TEST != 0,
        behind: None,
        event,
    })
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

fn attempts(db: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<AttemptRow>> {
    let mut rows: Vec<AttemptRow> = db
        .prepare_cached(
            "SELECT number, started, revision, code, error, detail, headers, excerpt, truncated, url, remote, timings,
               retry_after FROM attempt WHERE delivery = ?1 ORDER BY number LIMIT 1000",
        )?
        .query_map([id.0], attempt_from)?
        .collect::<rusqlite::Result<_>>()?;
    if rows.is_empty() {
        rows.extend(first_success(db, id)?);
    }
    Ok(rows)
}

fn attempt_from(r: &Row<'_>) -> rusqlite::Result<AttemptRow> {
    let code: Option<u16> = r.get(3)?;
    let kind = r.get::<_, Option<i64>>(4)?.and_then(error_kind).unwrap_or(ErrorKind::Internal);
    let retry_after = r.get::<_, Option<i64>>(12)?.map(duration);
    let outcome = match (code, kind) {
        (Some(status), _) => Outcome::Answered { status, retry_after },
        (None, ErrorKind::Dns | ErrorKind::Connect | ErrorKind::Tls) => Outcome::Unreached { kind },
        (None, ErrorKind::Timeout | ErrorKind::Reset) => Outcome::Unanswered { kind },
        (None, ErrorKind::Internal) => Outcome::Internal,
        (None, kind) => Outcome::Refused { kind },
    };
    let attempt = Attempt {
        outcome,
        started_at: Timestamp(r.get(1)?),
        timings: serde_json::from_str(&r.get::<_, String>(11)?).unwrap_or_default(),
        revision: r.get(2)?,
        url: r.get::<_, String>(9)?.into(),
        remote_address: r.get::<_, Option<String>>(10)?.and_then(|a| a.parse().ok()),
        detail: r.get(5)?,
        response_headers: r.get(6)?,
        response_excerpt: r.get::<_, Option<Vec<u8>>>(7)?.unwrap_or_default(),
        response_truncated: r.get(8)?,
    };
    Ok(AttemptRow { number: r.get(0)?, attempt })
}

/// A success at the first attempt is kept inside its delivery's row.
fn first_success(db: &Connection, id: DeliveryId) -> rusqlite::Result<Option<AttemptRow>> {
    db.prepare_cached(
        "SELECT d.finished, d.code, d.latency, d.revision, d.excerpt, p.url FROM delivery d
         JOIN endpoint p ON p.id = d.endpoint WHERE d.id = ?1 AND d.attempts = 1 AND d.code IS NOT NULL",
    )?
    .query_row([id.0], |r| {
        let total = duration(r.get(2)?);
        let attempt = Attempt {
            outcome: Outcome::Answered { status: r.get(1)?, retry_after: None },
            started_at: Timestamp(r.get(0)?) - total,
            timings: Timings { total, ..Timings::default() },
            revision: r.get(3)?,
            url: r.get::<_, String>(5)?.into(),
            remote_address: None,
            detail: None,
            response_headers: None,
            response_excerpt: r.get::<_, Option<Vec<u8>>>(4)?.unwrap_or_default(),
            response_truncated: false,
        };
        Ok(AttemptRow { number: 1, attempt })
    })
    .optional()
}

fn audit_from(r: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        id: r.get(0)?,
        time: Timestamp(r.get(1)?),
        actor: r.get(2)?,
        action: r.get(3)?,
        target: r.get(4)?,
        detail: serde_json::from_str(&r.get::<_, String>(5)?).unwrap_or_default(),
    })
}
