//! Retention: what is over its time goes, in bounded batches, oldest first. Never what is unfinished.

use rusqlite::params;

use super::schema::FILE;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, EventSeq, WebhookId};
use crate::store::StoreError;
use crate::store::archive::{Pruned, Retention};

/// Lines the audit log keeps.
const AUDIT_MAX: i64 = 100_000;

/// Looks at one batch of the oldest events and removes those all of whose deliveries may go; at the end of a round also
/// what they left behind. Names the endpoints that are gone.
pub fn run(tx: &mut Tx<'_>, r: &Retention) -> Result<(Pruned, Vec<EndpointId>), StoreError> {
    let error = |e| super::schema::classify(&tx.shared.folder.join(FILE), e);
    let cursor = super::ops::meta(tx.db, "pruned_upto").map_err(error)?.unwrap_or(0);
    let newest: i64 =
        tx.db.query_row("SELECT coalesce(max(seq), 0) FROM event", [], |row| row.get(0)).map_err(error)?;
    let over = over_size(tx, r)?;
    let candidates: Vec<(i64, i64)> = tx
        .db
        .prepare_cached("SELECT seq, received FROM event WHERE seq > ?1 AND seq < ?2 ORDER BY seq LIMIT ?3")
        .and_then(|mut s| {
            s.query_map(params![cursor, newest, r.batch as i64], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
        })
        .map_err(error)?;
    let mut pruned = Pruned::default();
    let mut last = cursor;
    let mut reached_young = candidates.len() < r.batch;
    for (seq, received) in candidates {
        if !over && received >= youngest_kept(r) {
            reached_young = true;
            break;
        }
        last = seq;
        let removed = event(tx, r, EventSeq(seq as u64), received, over)?;
        pruned.deliveries += removed.unwrap_or(0);
        pruned.events += u64::from(removed.is_some());
    }
    // At the end it begins again: what was kept the last time may be over its time now.
    let next = if reached_young { 0 } else { last };
    super::ops::set_meta(tx.db, "pruned_upto", next).map_err(|e| tx.error(e))?;
    tx.db
        .execute("DELETE FROM audit WHERE id <= (SELECT max(id) FROM audit) - ?1", [AUDIT_MAX])
        .map_err(|e| tx.error(e))?;
    let window = tx.shared.config.idempotency_window;
    tx.db
        .execute(
            "DELETE FROM idempotency WHERE seq IN (SELECT seq FROM idempotency WHERE received < ?1 ORDER BY seq LIMIT ?2)",
            params![(tx.now - window).0, r.batch as i64],
        )
        .map_err(|e| tx.error(e))?;
    pruned.more = !reached_young;
    let gone = if reached_young { super::leftovers::remove(tx, r)? } else { Vec::new() };
    Ok((pruned, gone))
}

fn youngest_kept(r: &Retention) -> i64 {
    r.delivered_before.max(r.failed_before).max(r.unmatched_before).0
}

/// History or file are over their bounds: finished deliveries go before their time.
fn over_size(tx: &Tx<'_>, r: &Retention) -> Result<bool, StoreError> {
    let finished = tx.shared.counted(|_, _, state| !state.unfinished());
    if finished > r.max_history {
        return Ok(true);
    }
    let pragma = |name: &str| -> Result<i64, StoreError> {
        tx.db.query_row(&format!("PRAGMA {name}"), [], |row| row.get(0)).map_err(|e| tx.error(e))
    };
    let used = (pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?;
    Ok(used as u64 > r.max_bytes)
}

/// Removes an event with its deliveries if all of them may go; `None` if not.
fn event(tx: &mut Tx<'_>, r: &Retention, seq: EventSeq, received: i64, over: bool) -> Result<Option<u64>, StoreError> {
    let range = seq.deliveries();
    let rows: Vec<(i64, u32, u32, i64, i64, i64)> = tx
        .db
        .prepare_cached(
            "SELECT id, endpoint, webhook, state, coalesce(finished, 0), coalesce(flags, 0) FROM delivery
             WHERE id BETWEEN ?1 AND ?2",
        )
        .and_then(|mut s| {
            s.query_map(params![range.start(), range.end()], |row| {
                Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?, row.get(5)?))
            })?
            .collect()
        })
        .map_err(|e| tx.error(e))?;
    let planned: i64 = tx
        .db
        .prepare_cached("SELECT length(plan) FROM event WHERE seq = ?1")
        .and_then(|mut s| s.query_row([seq.0 as i64], |row| row.get(0)))
        .map_err(|e| tx.error(e))?;
    if rows.is_empty() && (planned > 0 || received >= r.unmatched_before.0) {
        // Without rows but with a plan its deliveries are still young.
        return Ok(None);
    }
    let may_go = |(_, _, _, state, finished, _): &(i64, u32, u32, i64, i64, i64)| match *state {
        0 | 1 => false,
        3 => *finished < r.failed_before.0,
        _ => over || *finished < r.delivered_before.0,
    };
    if !rows.iter().all(may_go) || folded_elsewhere(tx, seq)? {
        return Ok(None);
    }
    for (id, endpoint, webhook, state, _, flags) in &rows {
        let (endpoint, webhook) = (EndpointId(*endpoint), WebhookId(*webhook));
        match DeliveryState::from_code(*state) {
            Some(state) if flags & super::ops::TEST != 0 => tx.count_test(endpoint, webhook, state, -1),
            _ => tx.uncount(endpoint, webhook, *state),
        }
        tx.db.execute("DELETE FROM attempt WHERE delivery = ?1", [id]).map_err(|e| tx.error(e))?;
    }
    let remove = |sql: &str, a: i64, b: i64| tx.db.prepare_cached(sql).and_then(|mut s| s.execute(params![a, b]));
    remove("DELETE FROM delivery WHERE id BETWEEN ?1 AND ?2", *range.start(), *range.end()).map_err(|e| tx.error(e))?;
    let key: Option<i64> = tx
        .db
        .query_row("SELECT object_key FROM event WHERE seq = ?1", [seq.0 as i64], |row| row.get(0))
        .map_err(|e| tx.error(e))?;
    if let Some(key) = key {
        remove("DELETE FROM object_event WHERE object_key = ?1 AND seq = ?2", key, seq.0 as i64)
            .map_err(|e| tx.error(e))?;
    }
    tx.db.execute("DELETE FROM event WHERE seq = ?1", [seq.0 as i64]).map_err(|e| tx.error(e))?;
    tx.apply_event_count(-1);
    Ok(Some(rows.len() as u64))
}

/// A waiting delivery takes its `prechange` from this event.
fn folded_elsewhere(tx: &Tx<'_>, seq: EventSeq) -> Result<bool, StoreError> {
    let range = seq.deliveries();
    tx.db
        .prepare_cached(
            "SELECT 1 FROM delivery a JOIN delivery b ON b.id = a.successor
             WHERE a.id BETWEEN ?1 AND ?2 AND a.successor IS NOT NULL AND b.state < 2 LIMIT 1",
        )
        .and_then(|mut s| s.exists(params![range.start(), range.end()]))
        .map_err(|e| tx.error(e))
}
