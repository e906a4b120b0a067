//! Actions on many deliveries: retry and cancel by filter, and the moves a changed payload URL makes. Done in slices,
//! oldest first, each slice one transaction; a crash between two slices resumes.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::cancel::{Canceled, cancel};
use super::conditions::Wanted;
use super::filter::{self, Selection};
use super::load::any_entry;
use super::retry;
use super::tx::Tx;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{DeliveryId, EndpointId};
use crate::domain::time::Timestamp;
use crate::store::admin::{BulkAction, BulkState};
use crate::store::archive::{Listed, Page};
use crate::store::{BulkKind, Filter, StoreError};

/// Deliveries changed in one transaction.
pub const SLICE: usize = 1_000;

const COLUMNS: &str = "id, kind, matched, done, skipped, state, created";

/// Fixes what the action is about: everything that matches now, by its upper id.
pub fn start(tx: &mut Tx<'_>, kind: BulkKind, filter: &Filter) -> Result<BulkAction, StoreError> {
    tx.spill_all().map_err(|e| tx.error(e))?;
    let states = states(kind, filter.wanted_states());
    let chosen = if states.is_empty() {
        Selection::default()
    } else {
        let filter = Filter { states, ..filter.clone() };
        Selection::new(&Wanted::new(&filter, &tx.shared.in_flight(), &tx.definitions()))
    };
    let (matched, upper) = chosen.count(tx.db).map_err(|e| tx.error(e))?;
    let sql = serde_json::to_string(&chosen).map_err(|e| StoreError::Conflict(e.to_string()))?;
    tx.db
        .execute(
            "INSERT INTO bulk(kind, filter, upper, cursor, matched, done, skipped, state, created)
             VALUES(?1, ?2, ?3, -1, ?4, 0, 0, 'running', ?5)",
            params![kind_text(kind), sql, upper, matched as i64, tx.now.0],
        )
        .map_err(|e| tx.error(e))?;
    get(tx.db, tx.db.last_insert_rowid() as u32)
}

/// Only what the action can change; empty: nothing of what was asked for.
fn states(kind: BulkKind, asked: Option<Vec<DeliveryState>>) -> Vec<DeliveryState> {
    use DeliveryState as S;
    let possible: &[S] = match kind {
        BulkKind::Retry { .. } => &[S::Failed, S::Canceled, S::Retrying],
        BulkKind::Cancel => &[S::Pending, S::Retrying, S::InFlight],
    };
    // Without a wish a retry means what failed; what a person cancelled stays cancelled.
    let default: &[S] = match kind {
        BulkKind::Retry { .. } => &[S::Failed],
        BulkKind::Cancel => &[S::Pending, S::Retrying],
    };
    match asked {
        None => default.to_vec(),
        Some(asked) => asked.into_iter().filter(|s| possible.contains(s)).collect(),
    }
}

fn kind_text(kind: BulkKind) -> &'static str {
    match kind {
        BulkKind::Retry { skip_if_newer_delivered: false } => "retry",
        BulkKind::Retry { skip_if_newer_delivered: true } => "retry_unless_newer",
        BulkKind::Cancel => "cancel",
    }
}

fn parse_kind(text: &str) -> BulkKind {
    match text {
        "cancel" => BulkKind::Cancel,
        text => BulkKind::Retry { skip_if_newer_delivered: text == "retry_unless_newer" },
    }
}

fn action(r: &Row<'_>) -> rusqlite::Result<BulkAction> {
    let state: String = r.get(5)?;
    Ok(BulkAction {
        id: r.get(0)?,
        kind: parse_kind(&r.get::<_, String>(1)?),
        matched: r.get::<_, i64>(2)? as u64,
        done: r.get::<_, i64>(3)? as u64,
        skipped: r.get::<_, i64>(4)? as u64,
        state: match state.as_str() {
            "running" => BulkState::Running,
            "canceled" => BulkState::Canceled,
            _ => BulkState::Finished,
        },
        created: Timestamp(r.get(6)?),
    })
}

pub fn get(db: &Connection, id: u32) -> Result<BulkAction, StoreError> {
    db.query_row(&format!("SELECT {COLUMNS} FROM bulk WHERE id = ?1"), [id], action)
        .optional()
        .map_err(|e| StoreError::Unavailable(e.to_string()))?
        .ok_or_else(|| StoreError::NotFound(format!("bulk action {id}")))
}

/// Newest first.
pub fn list(db: &Connection, page: Page) -> Result<Listed<BulkAction>, StoreError> {
    let problem = |e: rusqlite::Error| StoreError::Unavailable(e.to_string());
    let count: i64 = db.query_row("SELECT count(*) FROM bulk", [], |r| r.get(0)).map_err(problem)?;
    let select = format!("SELECT {COLUMNS} FROM bulk");
    let rows = filter::newest(db, (&select, "id"), page, action).map_err(problem)?;
    Ok(Listed::new(rows, page, Some(count as u64), |bulk| bulk.id.into()))
}

pub fn stop(tx: &Tx<'_>, id: u32) -> Result<BulkAction, StoreError> {
    tx.db
        .execute("UPDATE bulk SET state = 'canceled' WHERE id = ?1 AND state = 'running'", [id])
        .map_err(|e| tx.error(e))?;
    get(tx.db, id)
}

/// The next slice of moves, of a deleted webhook, or of the oldest running action; `None` when nothing is left to do.
pub fn advance(tx: &mut Tx<'_>) -> Result<Option<Vec<EndpointId>>, StoreError> {
    if let Some(touched) = super::moving::advance(tx)? {
        return Ok(Some(touched));
    }
    if let Some(touched) = super::purge::advance(tx)? {
        return Ok(Some(touched));
    }
    let next = tx
        .db
        .query_row(
            "SELECT id, kind, filter, upper, cursor FROM bulk WHERE state = 'running' ORDER BY id LIMIT 1",
            [],
            |r| {
                Ok((
                    r.get::<_, u32>(0)?,
                    r.get::<_, String>(1)?,
                    r.get::<_, String>(2)?,
                    r.get::<_, i64>(3)?,
                    r.get::<_, i64>(4)?,
                ))
            },
        )
        .optional()
        .map_err(|e| tx.error(e))?;
    let Some((id, kind, chosen, upper, cursor)) = next else { return Ok(None) };
    tx.spill_all().map_err(|e| tx.error(e))?;
    let chosen: Selection =
        serde_json::from_str(&chosen).map_err(|e| StoreError::Corrupt(format!("bulk action {id}: {e}")))?;
    let ids = chosen.page(tx.db, cursor, upper, SLICE).map_err(|e| tx.error(e))?;
    let mut touched = BTreeSet::new();
    let (mut done, mut skipped) = (0, 0);
    for delivery in &ids {
        match apply(tx, parse_kind(&kind), *delivery)? {
            Some(endpoint) => {
                done += 1;
                touched.insert(endpoint);
            }
            None => skipped += 1,
        }
    }
    let state = if ids.len() < SLICE { "finished" } else { "running" };
    let cursor = ids.last().map_or(cursor, |d| d.0);
    tx.db
        .execute(
            "UPDATE bulk SET cursor = ?2, done = done + ?3, skipped = skipped + ?4, state = ?5 WHERE id = ?1",
            params![id, cursor, done, skipped, state],
        )
        .map_err(|e| tx.error(e))?;
    Ok(Some(touched.into_iter().collect()))
}

/// `None`: it changed meanwhile, or is to be left out.
fn apply(tx: &mut Tx<'_>, kind: BulkKind, id: DeliveryId) -> Result<Option<EndpointId>, StoreError> {
    let result = match kind {
        BulkKind::Cancel => cancel(tx, id).map(Canceled::endpoint),
        BulkKind::Retry { skip_if_newer_delivered } => {
            if skip_if_newer_delivered
                && let Some(entry) = any_entry(tx.db, id).map_err(|e| tx.error(e))?
                && retry::newer_delivered(tx, &entry)?
            {
                return Ok(None);
            }
            retry::retry(tx, id, false).map(|requeued| requeued.endpoint)
        }
    };
    match result {
        Ok(endpoint) => Ok(Some(endpoint)),
        Err(StoreError::Conflict(_) | StoreError::NotFound(_)) => Ok(None),
        Err(error) => Err(error),
    }
}
