//! Endpoints in the database. They are made when a webhook or an event first names them, and stay.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use super::shared::Shared;
use super::tx::Tx;
use crate::domain::endpoint::{Control, Endpoint, LiveState};
use crate::domain::ids::EndpointId;
use crate::domain::payload_url::Origin;
use crate::store::{NewEndpoint, StoreError, StoredEndpoint};

/// Endpoints with ids above `above`.
pub fn read_endpoints(db: &Connection, above: u32) -> rusqlite::Result<Vec<Arc<StoredEndpoint>>> {
    db.prepare_cached("SELECT id, url, origin, control, live, patch FROM endpoint WHERE id > ?1 ORDER BY id")?
        .query_map([above], |r| {
            let text = |i: usize| r.get::<_, String>(i);
            Ok(Arc::new(StoredEndpoint {
                endpoint: Endpoint { id: EndpointId(r.get(0)?), url: text(1)?.into(), origin: Origin(text(2)?.into()) },
                control: serde_json::from_str(&text(3)?).unwrap_or_default(),
                live: serde_json::from_str(&text(4)?).unwrap_or_default(),
                policy_patch: serde_json::from_str(&text(5)?).unwrap_or_default(),
            }))
        })?
        .collect()
}

/// An endpoint by its URL or template, and its origin.
fn endpoint_at(tx: &Tx<'_>, url: &str, origin: &Origin) -> rusqlite::Result<Option<EndpointId>> {
    tx.db
        .prepare_cached("SELECT id FROM endpoint WHERE url = ?1 AND origin = ?2")?
        .query_row(params![url, &*origin.0], |r| r.get(0).map(EndpointId))
        .optional()
}

/// The same, made when it is new.
pub fn endpoint_of(tx: &Tx<'_>, url: &str, origin: &Origin) -> rusqlite::Result<EndpointId> {
    if let Some(id) = endpoint_at(tx, url, origin)? {
        return Ok(id);
    }
    let json = |v: Result<String, serde_json::Error>| v.unwrap_or_default();
    tx.db
        .prepare_cached("INSERT INTO endpoint(url, origin, control, live, patch) VALUES(?1, ?2, ?3, ?4, '{}')")?
        .execute(params![
            url,
            &*origin.0,
            json(serde_json::to_string(&Control::Active)),
            json(serde_json::to_string(&LiveState::default()))
        ])?;
    Ok(EndpointId(tx.db.last_insert_rowid() as u32))
}

impl Shared {
    /// Whether any template of these may reach another origin. Asked of memory: one that reaches all it may is asked for with
    /// every event.
    pub fn has_room_for(&self, new: &[NewEndpoint]) -> bool {
        let set = self.definitions();
        new.iter().any(|wanted| {
            let reached =
                set.endpoints.iter().filter(|e| e.endpoint.url == wanted.url && !e.endpoint.origin.0.is_empty());
            reached.count() < self.config.max_template_origins
        })
    }
}

/// An endpoint of a template, and whether it was made now; `None`: its template reaches as many origins as it may.
pub fn add_endpoint(tx: &Tx<'_>, new: &NewEndpoint) -> rusqlite::Result<(Option<EndpointId>, bool)> {
    if let Some(id) = endpoint_at(tx, &new.url, &new.origin)? {
        return Ok((Some(id), false));
    }
    let origins: u32 = tx
        .db
        .prepare_cached("SELECT count(*) FROM endpoint WHERE url = ?1 AND origin <> ''")?
        .query_row([&*new.url], |r| r.get(0))?;
    let full = origins as usize >= tx.shared.config.max_template_origins;
    if full { Ok((None, false)) } else { Ok((Some(endpoint_of(tx, &new.url, &new.origin)?), true)) }
}

/// An endpoint as this transaction has left it: another order may have come before, in the same commit.
pub fn stored(tx: &Tx<'_>, id: EndpointId) -> Result<StoredEndpoint, StoreError> {
    let set = tx.definitions();
    let found = set.endpoints.iter().find(|e| e.endpoint.id == id);
    let known = found.ok_or_else(|| StoreError::NotFound(format!("endpoint {id}")))?;
    let ordered = tx.db.query_row("SELECT control, patch FROM endpoint WHERE id = ?1", [id.0], |r| {
        Ok((r.get::<_, String>(0)?, r.get::<_, String>(1)?))
    });
    let (control, patch) = ordered.map_err(|e| tx.error(e))?;
    Ok(StoredEndpoint {
        control: serde_json::from_str(&control).unwrap_or_default(),
        policy_patch: serde_json::from_str(&patch).unwrap_or_default(),
        ..(**known).clone()
    })
}
