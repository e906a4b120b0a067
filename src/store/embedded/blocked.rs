//! What holds an endpoint up: heads that wait or are in flight, and how many wait behind each.

use std::sync::Arc;

use rusqlite::{Connection, params};

use super::ledger::Blocking;
use super::reads::overlay_now;
use super::rows::{delivery_row, problem};
use super::shared::Shared;
use crate::domain::ids::EndpointId;
use crate::domain::policy::Ordering;
use crate::store::StoreError;
use crate::store::archive::BlockedKey;

/// See [`Archive::blocked`](crate::store::archive::Archive::blocked).
pub async fn blocked(shared: Arc<Shared>, endpoint: EndpointId, limit: usize) -> Result<Vec<BlockedKey>, StoreError> {
    let (heads, ordering, on_disk, unfinished) = {
        let ledger = shared.ledger(endpoint);
        let ledger = ledger.lock();
        (ledger.blocking(limit), ledger.policy().ordering, ledger.is_deep(), ledger.unfinished)
    };
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    // What has no row yet gets it with this commit. Without a writer there are those that have.
    let _ = shared.clone().write(|tx| tx.spill_all().map_err(|e| tx.error(e)), |()| ()).await;
    let read = move |db: &Connection| {
        let mut keys = Vec::with_capacity(heads.len());
        for head in heads {
            let Some(row) = delivery_row(db, head.id)? else { continue };
            let behind = match ordering {
                Ordering::Object if on_disk => behind(db, endpoint, &head).map_err(problem)?,
                Ordering::Endpoint => unfinished.saturating_sub(1),
                Ordering::Object | Ordering::None => head.behind,
            };
            keys.push(BlockedKey { head: row, behind });
        }
        Ok(keys)
    };
    let mut keys = shared.read(read).await?;
    keys.sort_by_key(|key| (std::cmp::Reverse(key.behind), key.head.id));
    let now = |key: BlockedKey| BlockedKey { head: overlay_now(&shared, key.head), ..key };
    // One that ended meanwhile holds nobody up.
    Ok(keys.into_iter().map(now).filter(|key| key.head.state.unfinished()).collect())
}

/// All of the key but its head, memory and disk.
fn behind(db: &Connection, endpoint: EndpointId, head: &Blocking) -> rusqlite::Result<u64> {
    db.prepare_cached("SELECT count(*) FROM delivery WHERE endpoint = ?1 AND key = ?2 AND state < 2")?
        .query_row(params![endpoint.0, head.object_key as i64], |r| r.get::<_, i64>(0))
        .map(|all| (all - 1).max(0) as u64)
}
