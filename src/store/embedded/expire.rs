//! `max_age`: ends what waits for a retry longer than its endpoint allows, in bounded batches.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;

use super::load::any_entry;
use super::ops::{Ended, Op};
use super::queue::state_of;
use super::tx::Tx;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::Endpoint;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::domain::time::Timestamp;
use crate::domain::webhook::Webhook;
use crate::store::{Expired, StoreError};

/// Looks at each endpoint's webhooks, those longest waiting first.
pub fn run(tx: &mut Tx<'_>, ages: &[(EndpointId, Duration)], batch: usize) -> Result<Expired, StoreError> {
    tx.drain().map_err(|e| tx.error(e))?;
    let mut expired = Expired::default();
    let mut left = batch;
    let set = tx.definitions();
    for (endpoint, max_age) in ages {
        let before = left;
        let Ok(found) = set.endpoints.binary_search_by_key(endpoint, |e| e.endpoint.id) else { continue };
        let endpoint = &set.endpoints[found].endpoint;
        let its = |w: &&Arc<Webhook>| *w.target.endpoint_key() == endpoint.url && w.active() && !w.moving;
        for webhook in set.webhooks.iter().filter(its) {
            for id in over_age(tx, (webhook.id, endpoint.id), *max_age, left)? {
                left -= usize::from(end(tx, webhook, endpoint, id)?);
            }
        }
        if left < before {
            expired.ended.push((endpoint.id, before - left));
        }
        if left == 0 {
            expired.more = true;
            break;
        }
    }
    Ok(expired)
}

fn over_age(
    tx: &Tx<'_>,
    (webhook, endpoint): (WebhookId, EndpointId),
    max_age: Duration,
    limit: usize,
) -> Result<Vec<DeliveryId>, StoreError> {
    let paused = tx.shared.ledger(endpoint).lock().paused_total_us;
    let stood = paused + tx.shared.standstill.at(webhook, tx.now);
    let before = (tx.now - max_age).0 - stood;
    tx.db
        .prepare_cached(
            "SELECT id FROM delivery INDEXED BY delivery_aging WHERE webhook = ?1 AND state = 1 AND first_attempt <= ?2 AND endpoint = ?3
             ORDER BY first_attempt LIMIT ?4",
        )
        .and_then(|mut s| {
            let wanted = params![webhook.0, before, endpoint.0, limit as i64];
            s.query_map(wanted, |r| r.get(0).map(DeliveryId))?.collect()
        })
        .map_err(|e| tx.error(e))
}

/// `false`: it is in flight and ends with its attempt, or it is no longer what it was when it was looked for.
fn end(tx: &mut Tx<'_>, webhook: &Webhook, endpoint: &Endpoint, id: DeliveryId) -> Result<bool, StoreError> {
    let (endpoint, url) = (endpoint.id, endpoint.url.clone());
    let ledger = tx.shared.ledger(endpoint);
    // Under the lock nobody starts or ends it; what ended before is drained, so that the row says what it is now.
    let mut ledger = ledger.lock();
    if ledger.get(id).is_some_and(|e| e.in_flight) {
        return Ok(false);
    }
    tx.drain().map_err(|e| tx.error(e))?;
    let row = any_entry(tx.db, id).map_err(|e| tx.error(e))?;
    let Some(row) = row.filter(|_| state_of(tx, id).is_ok_and(|s| s == Some((DeliveryState::Retrying, endpoint))))
    else {
        return Ok(false);
    };
    let resident = ledger.cancel(id).flatten();
    let mut entry = match resident {
        Some(entry) => entry,
        None => {
            ledger.forget(id, true);
            row
        }
    };
    ledger.touch(id);
    entry.attempts += 1;
    tx.shared.ended(endpoint, entry.webhook, DeliveryState::Failed);
    tx.tell(endpoint, &entry, DeliveryState::Failed);
    let last = Some(attempt(webhook, url, tx.now));
    let ended = Ended { last, ..Ended::of(endpoint, &entry, DeliveryState::Failed, tx.now) };
    tx.apply(Op::Final(Box::new(ended))).map_err(|e| tx.error(e))?;
    Ok(true)
}

/// What its history says of the end.
fn attempt(webhook: &Webhook, url: Arc<str>, now: Timestamp) -> Attempt {
    Attempt {
        outcome: Outcome::Refused { kind: ErrorKind::Expired },
        started_at: now,
        timings: Timings::default(),
        revision: webhook.revision,
        url,
        remote_address: None,
        detail: Some("it was not delivered within max_age of its first attempt".to_owned()),
        response_headers: None,
        response_excerpt: Vec::new(),
        response_truncated: false,
    }
}
