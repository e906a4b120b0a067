//! Rows of the database as the store shows them.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::filter::JOINED;
use super::ops::{TEST, error_kind};
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;
use crate::store::StoreError;
use crate::store::admin::AuditEntry;
use crate::store::archive::{ATTEMPTS_MAX, AttemptRow, DeliveryRow, EventRow};

pub const EVENT: &str = "e.seq, e.received, e.type, e.label, e.object_id, e.request_id, e.plan";
pub const DELIVERY: &str = "d.id, d.webhook, d.endpoint, d.state, d.attempts, d.due, d.finished, d.code, d.error, d.latency, \
                        d.successor, d.resend_of, d.flags, d.folded_from, \
                        (SELECT s.received FROM event s WHERE s.seq = d.successor >> 16), d.created";

/// What a read that failed is answered with.
pub fn problem(e: rusqlite::Error) -> StoreError {
    if e.sqlite_error_code() == Some(rusqlite::ErrorCode::OperationInterrupted) {
        return StoreError::Unavailable("the search took too long; narrow it (a state, a webhook, a time)".to_owned());
    }
    StoreError::Unavailable(e.to_string())
}

pub fn event_row(db: &Connection, seq: EventSeq) -> Result<Option<EventRow>, StoreError> {
    db.prepare_cached(&format!("SELECT {EVENT} FROM event e WHERE e.seq = ?1"))
        .and_then(|mut s| s.query_row([seq.0 as i64], |r| event_from(r, 0)).optional())
        .map_err(problem)
}

pub fn event_from(r: &Row<'_>, at: usize) -> rusqlite::Result<EventRow> {
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

pub fn delivery_row(db: &Connection, id: DeliveryId) -> Result<Option<DeliveryRow>, StoreError> {
    db.prepare_cached(&format!("SELECT {DELIVERY}, {EVENT} {JOINED} WHERE d.id = ?1"))
        .and_then(|mut s| s.query_row([id.0], delivery_from).optional())
        .map_err(problem)
}

pub fn delivery_from(r: &Row<'_>) -> rusqlite::Result<DeliveryRow> {
    let id = DeliveryId(r.get(0)?);
    let event = event_from(r, 16)?;
    // The id of another delivery holds when its own event was accepted. A resend is of the same event.
    let successor = r.get::<_, Option<i64>>(10)?.zip(r.get::<_, Option<i64>>(14)?);
    let resend_of: Option<i64> = r.get(11)?;
    Ok(DeliveryRow {
        id,
        public_id: id.public(event.received_at),
        created_at: r.get::<_, Option<i64>>(15)?.map_or(event.received_at, Timestamp),
        webhook: WebhookId(r.get(1)?),
        endpoint: EndpointId(r.get(2)?),
        state: DeliveryState::from_code(r.get(3)?).unwrap_or(DeliveryState::Failed),
        attempts: r.get(4)?,
        next_attempt_at: r.get::<_, Option<i64>>(5)?.map(Timestamp),
        finished_at: r.get::<_, Option<i64>>(6)?.map(Timestamp),
        status_code: r.get(7)?,
        error: r.get::<_, Option<i64>>(8)?.and_then(error_kind),
        latency: r.get::<_, Option<i64>>(9)?.map(duration),
        superseded_by: successor.map(|(other, received)| DeliveryId(other).public(Timestamp(received))),
        resend_of: resend_of.map(|other| DeliveryId(other).public(event.received_at)),
        test: r.get::<_, Option<i64>>(12)?.unwrap_or(0) & TEST != 0,
        folded_from: r.get::<_, Option<i64>>(13)?.map(|seq| EventSeq(seq as u64)),
        behind: None,
        event,
    })
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(u64::try_from(micros).unwrap_or(0))
}

pub fn attempts(db: &Connection, id: DeliveryId) -> rusqlite::Result<Vec<AttemptRow>> {
    let mut rows: Vec<AttemptRow> = db
        .prepare_cached(
            "SELECT number, started, revision, code, error, detail, headers, excerpt, truncated, url, remote, timings,
               retry_after FROM attempt WHERE delivery = ?1 ORDER BY number DESC LIMIT ?2",
        )?
        .query_map(params![id.0, ATTEMPTS_MAX as i64], attempt_from)?
        .collect::<rusqlite::Result<_>>()?;
    rows.reverse();
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

pub fn audit_from(r: &Row<'_>) -> rusqlite::Result<AuditEntry> {
    Ok(AuditEntry {
        id: r.get(0)?,
        time: Timestamp(r.get(1)?),
        actor: r.get(2)?,
        action: r.get(3)?,
        target: r.get(4)?,
        detail: serde_json::from_str(&r.get::<_, String>(5)?).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::embedded::schema::SCHEMA;

    #[test]
    fn of_very_many_attempts_the_last_ones_are_read() {
        let db = Connection::open_in_memory().expect("a database");
        db.execute_batch(SCHEMA).expect("the schema");
        db.execute_batch(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1005)
             INSERT INTO attempt(delivery, number, started, revision, code, truncated, url, timings)
             SELECT 7, i, i, 1, 500, 0, 'http://h/', '{}' FROM n",
        )
        .expect("inserted");
        let read = attempts(&db, DeliveryId(7)).expect("read");
        let numbers: Vec<u32> = read.iter().map(|row| row.number).collect();
        assert_eq!(numbers, (6..=1005).collect::<Vec<_>>());
    }
}
