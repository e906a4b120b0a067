//! A webhook's payload URL changed to another endpoint: its deliveries follow, oldest first, in slices. Meanwhile they
//! are heads at neither. What is in flight ends at the old address.

use std::collections::BTreeSet;

use rusqlite::params;

use super::bulk::SLICE;
use super::definitions;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::store::StoreError;

/// Moves the next slice; `None` when no webhook is moving.
pub fn advance(tx: &mut Tx<'_>) -> Result<Option<Vec<EndpointId>>, StoreError> {
    let set = tx.shared.definitions();
    let Some(webhook) = set.webhooks.iter().find(|w| w.moving) else { return Ok(None) };
    let (id, to) = (webhook.id, webhook.endpoint);
    tx.spill_all().map_err(|e| tx.error(e))?;
    let rows = slice(tx, id, to).map_err(|e| tx.error(e))?;
    let mut touched = BTreeSet::from([to]);
    let mut moved = 0;
    for (delivery, from, state) in &rows {
        touched.insert(*from);
        moved += usize::from(move_one(tx, id, *delivery, *from, to, *state)?);
    }
    if rows.is_empty() {
        tx.db.execute("UPDATE webhook SET moving = 0 WHERE id = ?1", [id.0]).map_err(|e| tx.error(e))?;
        let set = definitions::keep_revision_number(tx)?;
        tx.shared.set_definitions(set);
        tx.shared.ledger(to).lock().rewind(DeliveryId(-1));
    } else if moved == 0 {
        // Only requests in flight are left at the old address; they end soon.
        return Ok(None);
    }
    Ok(Some(touched.into_iter().collect()))
}

type Moved = (DeliveryId, EndpointId, i64);

fn slice(tx: &Tx<'_>, webhook: WebhookId, to: EndpointId) -> rusqlite::Result<Vec<Moved>> {
    tx.db
        .prepare_cached(
            "SELECT id, endpoint, state FROM delivery WHERE webhook = ?1 AND endpoint <> ?2 AND state IN (0, 1, 3)
             ORDER BY id LIMIT ?3",
        )?
        .query_map(params![webhook.0, to.0, SLICE as i64], |r| {
            Ok((DeliveryId(r.get(0)?), EndpointId(r.get(1)?), r.get(2)?))
        })?
        .collect()
}

/// `false`: it is in flight and stays for now.
fn move_one(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    id: DeliveryId,
    from: EndpointId,
    to: EndpointId,
    state: i64,
) -> Result<bool, StoreError> {
    if state < 2 {
        let old = tx.shared.ledger(from);
        let mut old = old.lock();
        if old.get(id).is_some_and(|e| e.in_flight) {
            return Ok(false);
        }
        old.forget(id, state == 1);
        drop(old);
        let new = tx.shared.ledger(to);
        let mut new = new.lock();
        new.unfinished += 1;
        new.retrying += u64::from(state == 1);
    } else {
        tx.uncount(from, webhook, state);
        if let Some(counted) = DeliveryState::from_code(state) {
            tx.shared.count(to, webhook, counted, 1);
        }
        tx.count_delta(to, webhook, state);
    }
    tx.db.execute("UPDATE delivery SET endpoint = ?2 WHERE id = ?1", params![id.0, to.0]).map_err(|e| tx.error(e))?;
    Ok(true)
}
