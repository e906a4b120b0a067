//! A webhook's payload URL changed to another endpoint: its deliveries follow, oldest first, in slices. Meanwhile they
//! are heads at neither. What is in flight ends at the old address.

use std::collections::BTreeSet;

use foldhash::HashSet;
use rusqlite::params;

use super::bulk::SLICE;
use super::definitions;
use super::destination;
use super::ops::Op;
use super::queue::state_of;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::domain::payload_url::Target;
use crate::domain::webhook::Webhook;
use crate::render::UrlTemplate;
use crate::store::StoreError;

/// Deliveries of a template in one slice: each is rendered.
const TEMPLATED: usize = 100;

/// Moves the next slice; `None` when no webhook is moving.
pub fn advance(tx: &mut Tx<'_>) -> Result<Option<Vec<EndpointId>>, StoreError> {
    let set = tx.definitions();
    let Some(webhook) = set.webhooks.iter().find(|w| w.moving) else { return Ok(None) };
    let id = webhook.id;
    tx.spill_all().map_err(|e| tx.error(e))?;
    let rows = slice(tx, webhook).map_err(|e| tx.error(e))?;
    let mut touched = BTreeSet::from([webhook.endpoint]);
    let mut done = 0;
    let mut moved = HashSet::default();
    let url = UrlTemplate::new(&webhook.spec);
    for (delivery, from) in &rows {
        let to = destination::read_with(tx, webhook, &url, delivery.event(), *from)?;
        touched.extend([*from, to]);
        match move_one(tx, id, *delivery, *from, to)? {
            Moving::InFlight => continue,
            Moving::Elsewhere => {}
            Moving::Moved => drop(moved.insert(*delivery)),
        }
        done += 1;
    }
    tx.shared.places.forget(&moved);
    if rows.is_empty() {
        // Its deliveries are heads again once this is in force.
        tx.db.execute("UPDATE webhook SET moving = 0 WHERE id = ?1", [id.0]).map_err(|e| tx.error(e))?;
        definitions::keep_revision_number(tx)?;
    } else if done == 0 {
        // Only requests in flight are left at the old address; they end soon.
        return Ok(None);
    }
    Ok(Some(touched.into_iter().collect()))
}

/// What is open or failed at endpoints that are not its own, each kind by the index that holds it.
fn slice(tx: &Tx<'_>, webhook: &Webhook) -> rusqlite::Result<Vec<(DeliveryId, EndpointId)>> {
    let limit = if matches!(webhook.target, Target::Template(_)) { TEMPLATED } else { SLICE };
    tx.db
        .prepare_cached(
            "SELECT * FROM (SELECT id, endpoint FROM delivery INDEXED BY delivery_unfinished
                            WHERE webhook = ?1 AND endpoint NOT IN (SELECT id FROM endpoint WHERE url = ?2)
                              AND state < 2 ORDER BY id LIMIT ?3)
             UNION ALL
             SELECT * FROM (SELECT id, endpoint FROM delivery WHERE webhook = ?1 AND state IN (3, 5) AND state = 3
                              AND endpoint NOT IN (SELECT id FROM endpoint WHERE url = ?2) AND coalesce(flags, 0) & 1 = 0 ORDER BY id LIMIT ?3)
             ORDER BY id LIMIT ?3",
        )?
        .query_map(params![webhook.id.0, &**webhook.target.endpoint_key(), limit as i64], |r| {
            Ok((DeliveryId(r.get(0)?), EndpointId(r.get(1)?)))
        })?
        .collect()
}

enum Moving {
    /// It stays for now.
    InFlight,
    /// It has ended or gone meanwhile.
    Elsewhere,
    Moved,
}

fn move_one(
    tx: &mut Tx<'_>,
    webhook: WebhookId,
    id: DeliveryId,
    from: EndpointId,
    to: EndpointId,
) -> Result<Moving, StoreError> {
    // Each endpoint keeps a clock of its own, which stood still while it was paused.
    let mut clocks = 0;
    let old = tx.shared.ledger(from);
    // Under the lock nobody starts or ends it; what ended before is drained, so that the row says what it is now.
    let mut old = old.lock();
    if old.get(id).is_some_and(|e| e.in_flight) {
        return Ok(Moving::InFlight);
    }
    tx.drain().map_err(|e| tx.error(e))?;
    let Some((state, at)) = state_of(tx, id)?.filter(|(_, at)| *at == from) else { return Ok(Moving::Elsewhere) };
    debug_assert_eq!(at, from);
    if state.unfinished() {
        let retrying = state == DeliveryState::Retrying;
        clocks = old.paused_total_us;
        old.forget(id, retrying);
        drop(old);
        let new = tx.shared.ledger(to);
        let mut new = new.lock();
        clocks -= new.paused_total_us;
        new.unfinished += 1;
        new.retrying += u64::from(retrying);
    } else if state == DeliveryState::Failed {
        tx.shared.count(from, webhook, state, -1);
        tx.shared.count(to, webhook, state, 1);
    } else {
        return Ok(Moving::Elsewhere);
    }
    tx.apply(Op::Moved { id, webhook, from, to, state, clocks }).map_err(|e| tx.error(e))?;
    Ok(Moving::Moved)
}
