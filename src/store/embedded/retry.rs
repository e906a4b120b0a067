//! A manual retry: what has failed or was canceled waits again at its old place, what waits for its retry is due now.

use rusqlite::params;

use super::destination;
use super::ledger::Entry;
use super::load::any_entry;
use super::ops::{Op, TEST};
use super::places;
use super::queue::look_up;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EventSeq};
use crate::store::{Requeued, StoreError};

/// What cannot be retried, and why.
fn check(tx: &Tx<'_>, id: DeliveryId, state: DeliveryState) -> Result<(), StoreError> {
    use DeliveryState as S;
    if !matches!(state, S::Failed | S::Canceled | S::Retrying) {
        return Err(StoreError::Conflict(format!(
            "a delivery that is {} cannot be retried; failed, canceled and retrying ones can",
            state.as_str()
        )));
    }
    let test = "SELECT 1 FROM delivery WHERE id = ?1 AND coalesce(flags, 0) & ?2 <> 0";
    let test = tx.db.prepare_cached(test).and_then(|mut s| s.exists(params![id.0, TEST]));
    if test.map_err(|e| tx.error(e))? {
        return Err(StoreError::Conflict("a test is not retried; send another".to_owned()));
    }
    Ok(())
}

/// A retry that people ordered; `manual`: for this very one, so that it may be an open breaker's probe.
pub fn retry(tx: &mut Tx<'_>, id: DeliveryId, manual: bool) -> Result<Requeued, StoreError> {
    let (mut state, endpoint) = look_up(tx, id)?;
    let set = tx.definitions();
    let row = any_entry(tx.db, id).map_err(|e| tx.error(e))?;
    let mut entry = row.ok_or_else(|| StoreError::NotFound("the event of this delivery".to_owned()))?;
    if tx.shared.ledger(endpoint).lock().get(id).is_some_and(|e| e.in_flight) {
        state = DeliveryState::InFlight;
    }
    check(tx, id, state)?;
    let Ok(at) = set.webhooks.binary_search_by_key(&entry.webhook, |w| w.id) else {
        return Err(StoreError::Conflict("its webhook was deleted, so there is nowhere to send it".to_owned()));
    };
    let newer_delivered = newer_delivered(tx, &entry)?;
    let mut answer = Requeued { id, endpoint, newer_delivered };
    match state {
        DeliveryState::Retrying => {
            let ledger = tx.shared.ledger(endpoint);
            let mut ledger = ledger.lock();
            if ledger.get(id).is_some_and(|e| e.in_flight) {
                // It was started this moment.
                return Err(StoreError::Conflict("the delivery is in_flight".to_owned()));
            }
            (entry.due, entry.manual) = (Some(tx.now), manual);
            let resident = ledger.hurry(id, manual, tx.now);
            if resident.is_none() {
                ledger.hurry_evicted(entry.object_key, id, tx.now);
            }
            let entry = resident.unwrap_or(entry);
            drop(ledger);
            tx.tell(endpoint, &entry, state);
            tx.apply(Op::Open { endpoint, entry }).map_err(|e| tx.error(e))?;
        }
        state => {
            // Its budget of attempts, its backoff and its age start anew; attempt numbers go on.
            (entry.counted, entry.due, entry.first_attempt_at, entry.manual) = (0, None, None, manual);
            tx.shared.count(endpoint, entry.webhook, state, -1);
            tx.shared.backlog_change(1);
            let webhook = entry.webhook;
            tx.apply(Op::Uncount { endpoint, webhook, state }).map_err(|e| tx.error(e))?;
            // Where its webhook points now: the URL may have changed while it was over.
            answer.endpoint = destination::of(tx, &set.webhooks[at], id.event(), endpoint)?;
            if answer.endpoint != endpoint {
                places::put(tx.db, answer.endpoint, id).map_err(|e| tx.error(e))?;
            }
            tx.apply(Op::Open { endpoint: answer.endpoint, entry: entry.clone() }).map_err(|e| tx.error(e))?;
            tx.tell(answer.endpoint, &entry, DeliveryState::Pending);
            tx.shared.ledger(answer.endpoint).lock().requeue(entry, tx.now);
        }
    }
    if manual {
        tx.shared.ledger(answer.endpoint).lock().ask_for(id);
    }
    Ok(answer)
}

/// The same for a delivery by its id; of one that is not kept there is nothing newer.
pub fn is_newer_delivered(tx: &mut Tx<'_>, id: DeliveryId) -> Result<bool, StoreError> {
    tx.spill_event(id.event()).map_err(|e| tx.error(e))?;
    match any_entry(tx.db, id).map_err(|e| tx.error(e))? {
        Some(entry) => newer_delivered(tx, &entry),
        None => Ok(false),
    }
}

/// Whether a later event of the same object already reached the same webhook; tests are none.
pub fn newer_delivered(tx: &mut Tx<'_>, entry: &Entry) -> Result<bool, StoreError> {
    let seq = entry.id.event().0;
    let mut newer: Vec<i64> = tx
        .db
        .prepare_cached("SELECT seq FROM event_key WHERE key = ?1 AND seq > ?2 ORDER BY seq DESC LIMIT 1000")
        .and_then(|mut s| s.query_map(params![entry.object_key as i64, seq as i64], |r| r.get(0))?.collect())
        .map_err(|e| tx.error(e))?;
    newer.extend(tx.intake().index.waiting(entry.object_key).filter(|s| *s > seq).map(|s| s as i64));
    let mut delivered = tx
        .db
        .prepare_cached(
            "SELECT 1 FROM delivery WHERE id BETWEEN ?1 AND ?2 AND webhook = ?3 AND state = 2
               AND coalesce(flags, 0) & ?4 = 0 LIMIT 1",
        )
        .map_err(|e| tx.error(e))?;
    for event in newer {
        let range = EventSeq(event as u64).deliveries();
        let found =
            delivered.exists(params![range.start(), range.end(), entry.webhook.0, TEST]).map_err(|e| tx.error(e))?;
        if found {
            return Ok(true);
        }
    }
    Ok(false)
}
