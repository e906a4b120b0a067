//! A deleted webhook's deliveries: what waits is canceled, oldest first, in slices, until nothing of it is left. What is
//! in flight ends with its attempt.

use std::collections::BTreeSet;

use rusqlite::{OptionalExtension, params};

use super::bulk::SLICE;
use super::cancel::{Canceled, cancel};
use super::tx::Tx;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::store::StoreError;

/// How many deliveries of a webhook are unfinished.
pub fn waiting(tx: &Tx<'_>, webhook: WebhookId) -> Result<u64, StoreError> {
    tx.db
        .prepare_cached("SELECT count(*) FROM delivery INDEXED BY delivery_unfinished WHERE webhook = ?1 AND state < 2")
        .and_then(|mut s| s.query_row([webhook.0], |r| r.get::<_, i64>(0)))
        .map(|n| n as u64)
        .map_err(|e| tx.error(e))
}

/// Cancels the next slice; `None` when nothing can be done now.
pub fn advance(tx: &mut Tx<'_>) -> Result<Option<Vec<EndpointId>>, StoreError> {
    let found = tx
        .db
        .prepare_cached("SELECT id FROM webhook WHERE purging = 1 LIMIT 1")
        .and_then(|mut s| s.query_row([], |r| r.get(0).map(WebhookId)).optional())
        .map_err(|e| tx.error(e))?;
    let Some(webhook) = found else { return Ok(None) };
    tx.spill_all().map_err(|e| tx.error(e))?;
    let rows: Vec<DeliveryId> = tx
        .db
        .prepare_cached("SELECT id FROM delivery INDEXED BY delivery_unfinished WHERE webhook = ?1 AND state < 2 ORDER BY id LIMIT ?2")
        .and_then(|mut s| s.query_map(params![webhook.0, SLICE as i64], |r| r.get(0).map(DeliveryId))?.collect())
        .map_err(|e| tx.error(e))?;
    if rows.is_empty() {
        tx.db.execute("UPDATE webhook SET purging = 0 WHERE id = ?1", [webhook.0]).map_err(|e| tx.error(e))?;
        return Ok(Some(Vec::new()));
    }
    let mut touched = BTreeSet::new();
    for id in rows {
        match cancel(tx, id) {
            Ok(Canceled::Now(endpoint)) => drop(touched.insert(endpoint)),
            // Running, or it ended this moment.
            Ok(Canceled::WithItsAttempt(_)) | Err(StoreError::Conflict(_)) => {}
            Err(error) => return Err(error),
        }
    }
    // Only requests in flight are left; they end soon.
    Ok((!touched.is_empty()).then(|| touched.into_iter().collect()))
}
