//! What pruned deliveries leave behind and nothing refers to any more: old revisions, deleted webhooks, endpoints
//! without either, bulk actions that ended.

use std::time::Duration;

use rusqlite::params;

use super::tx::Tx;
use crate::domain::endpoint::Control;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::StoreError;
use crate::store::archive::Retention;

/// An attempt may still be made from a revision for so long after another took its place.
const SLACK: Duration = Duration::from_secs(60);
/// Rows of each kind removed in one round.
const SLICE: usize = 100;

/// Removes what may go; names the endpoints that are gone.
pub fn remove(tx: &mut Tx<'_>, r: &Retention) -> Result<Vec<EndpointId>, StoreError> {
    remove_what_may_go(tx, r).map_err(|e| tx.error(e))
}

fn remove_what_may_go(tx: &Tx<'_>, r: &Retention) -> rusqlite::Result<Vec<EndpointId>> {
    revisions(tx)?;
    tx.db.execute(
        "DELETE FROM bulk WHERE id IN (SELECT id FROM bulk WHERE state <> 'running' AND created < ?1 LIMIT ?2)",
        params![r.delivered_before.0, SLICE as i64],
    )?;
    // Whoever moves, cancels or retries deliveries finds webhooks and endpoints as they were.
    let at_work = "SELECT EXISTS(SELECT 1 FROM bulk WHERE state = 'running')
                     OR EXISTS(SELECT 1 FROM webhook WHERE moving = 1 OR purging = 1)";
    if tx.db.query_row(at_work, [], |row| row.get(0))? {
        return Ok(Vec::new());
    }
    let (used_endpoints, used_webhooks) = tx.shared.referred();
    webhooks(tx, |id| used_webhooks.contains(&id))?;
    endpoints(tx, |id| used_endpoints.contains(&id))
}

/// An attempt was made from a revision only if its event was accepted before another revision took its place.
fn revisions(tx: &Tx<'_>) -> rusqlite::Result<()> {
    let oldest: Option<i64> = tx
        .db
        .prepare_cached("SELECT received FROM event ORDER BY seq LIMIT 1")?
        .query_map([], |row| row.get(0))?
        .next()
        .transpose()?;
    let until = oldest.unwrap_or(tx.now.0).min(tx.now.0) - SLACK.as_micros() as i64;
    tx.db.prepare_cached("DELETE FROM revision WHERE replaced < ?1")?.execute([until]).map(drop)
}

/// Deleted webhooks none of whose deliveries is kept.
fn webhooks(tx: &Tx<'_>, used: impl Fn(WebhookId) -> bool) -> rusqlite::Result<()> {
    let deleted: Vec<WebhookId> = tx
        .db
        .prepare_cached("SELECT id FROM webhook WHERE deleted = 1 ORDER BY id")?
        .query_map([], |row| row.get(0).map(WebhookId))?
        .collect::<rusqlite::Result<_>>()?;
    for id in deleted.into_iter().filter(|id| !used(*id)).take(SLICE) {
        for sql in ["DELETE FROM revision WHERE webhook = ?1", "DELETE FROM webhook WHERE id = ?1"] {
            tx.db.execute(sql, [id.0])?;
        }
    }
    Ok(())
}

/// Endpoints that no webhook names, without deliveries and without orders of a person.
fn endpoints(tx: &Tx<'_>, used: impl Fn(EndpointId) -> bool) -> rusqlite::Result<Vec<EndpointId>> {
    let set = tx.definitions();
    let unnamed: Vec<EndpointId> = tx
        .db
        .prepare_cached("SELECT id FROM endpoint WHERE id NOT IN (SELECT endpoint FROM webhook) ORDER BY id")?
        .query_map([], |row| row.get(0).map(EndpointId))?
        .collect::<rusqlite::Result<_>>()?;
    let idle = |id: &EndpointId| {
        let stored = set.endpoints.binary_search_by_key(id, |e| e.endpoint.id).map(|at| &set.endpoints[at]);
        stored.is_ok_and(|s| s.control == Control::Active && s.policy_patch.is_empty())
            && !used(*id)
            && tx.shared.ledger(*id).lock().unfinished == 0
    };
    let gone: Vec<EndpointId> = unnamed.into_iter().filter(idle).take(SLICE).collect();
    for id in &gone {
        tx.db.execute("DELETE FROM endpoint WHERE id = ?1", [id.0])?;
        tx.db.execute("DELETE FROM counter WHERE endpoint = ?1 AND n = 0", [id.0])?;
    }
    Ok(gone)
}
