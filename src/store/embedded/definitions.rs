//! Definitions in the database: read once, kept as one shared snapshot, written through.

use std::sync::Arc;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use rusqlite::{Connection, OptionalExtension, params};
use serde_json::{Map, Value};

use super::EmbeddedStore;
use super::accounts;
use super::endpoints::{add_endpoint, endpoint_of, read_endpoints, stored};
use super::ops::{meta, set_meta};
use super::schema::{self, FILE};
use super::shared::Shared;
use super::tokens;
use super::tx::Tx;
use crate::config::NetboxVersion;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::payload_url::Target;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Source, Webhook, WebhookSpec};
use crate::store::admin::{
    BulkAction, DefinitionSet, Definitions, NewAudit, NewEndpoint, NewToken, Token, WebhookWrite,
};
use crate::store::archive::{Listed, Page};
use crate::store::{BulkKind, Filter, StoreError, StoredEndpoint};

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Reads all definitions and tokens into memory.
pub fn load(db: &Connection, shared: &Arc<Shared>) -> Result<(), StoreError> {
    let error = |e| schema::classify(&shared.folder.join(FILE), e);
    let set = read_set(db, 1, &DefinitionSet::default()).map_err(error)?;
    shared.standstill.load(db).map_err(error)?;
    shared.set_definitions(Arc::new(set));
    for stored in &shared.definitions().endpoints {
        shared.ledger(stored.endpoint.id).lock().paused_total_us = stored.live.paused_total_us;
    }
    shared.set_tokens(tokens::read(db).map_err(error)?);
    shared.set_people(accounts::read(db).map_err(error)?);
    Ok(())
}

fn read_set(db: &Connection, revision: u64, known: &DefinitionSet) -> rusqlite::Result<DefinitionSet> {
    let (webhooks, endpoints) = (read_webhooks(db, known)?, read_endpoints(db, 0)?);
    Ok(DefinitionSet { revision, webhooks, endpoints, netbox_version: read_netbox_version(db)? })
}

/// Which NetBox answered last: major and minor release in one number.
const NETBOX_VERSION: &str = "netbox_version";

fn read_netbox_version(db: &Connection) -> rusqlite::Result<Option<NetboxVersion>> {
    Ok(meta(db, NETBOX_VERSION)?.map(|packed| NetboxVersion((packed >> 16) as u16, packed as u16)))
}

/// All webhooks; those that did not change are taken from `known`, not parsed again.
fn read_webhooks(db: &Connection, known: &DefinitionSet) -> rusqlite::Result<Vec<Arc<Webhook>>> {
    let mut webhooks = Vec::with_capacity(known.webhooks.len() + 1);
    let mut rows = db.prepare_cached(
        "SELECT id, revision, endpoint, orphaned, moving, spec, source, created, updated FROM webhook
         WHERE deleted = 0 ORDER BY id",
    )?;
    let mut rows = rows.query([])?;
    while let Some(r) = rows.next()? {
        let (id, revision) = (WebhookId(r.get(0)?), r.get(1)?);
        let (endpoint, orphaned, moving) = (EndpointId(r.get(2)?), r.get(3)?, r.get(4)?);
        let same = known.webhooks.binary_search_by_key(&id, |w| w.id).ok().map(|i| &known.webhooks[i]);
        if let Some(same) =
            same.filter(|w| (w.revision, w.endpoint, w.orphaned, w.moving) == (revision, endpoint, orphaned, moving))
        {
            webhooks.push(same.clone());
            continue;
        }
        let Ok(spec) = serde_json::from_str::<WebhookSpec>(&r.get::<_, String>(5)?) else { continue };
        let Ok(target) = Target::parse(&spec.payload_url) else { continue };
        webhooks.push(Arc::new(Webhook {
            id,
            revision,
            spec: Arc::new(spec),
            target,
            endpoint,
            source: serde_json::from_str(&r.get::<_, String>(6)?).unwrap_or(Source::Api),
            orphaned,
            moving,
            created: Timestamp(r.get(7)?),
            last_updated: Timestamp(r.get(8)?),
        }));
    }
    Ok(webhooks)
}

/// Appends to the audit log, inside the transaction of what it tells of.
pub fn write_audit(tx: &Tx<'_>, entry: &NewAudit) -> Result<(), StoreError> {
    tx.db
        .prepare_cached("INSERT INTO audit(time, actor, action, target, detail) VALUES(?1, ?2, ?3, ?4, ?5)")
        .and_then(|mut s| {
            s.execute(params![tx.now.0, entry.actor, entry.action, entry.target, entry.detail.to_string()])
        })
        .map(drop)
        .map_err(|e| tx.error(e))
}

/// Puts the definitions as this transaction leaves them into force with its commit, under the next revision.
pub fn redefine(tx: &mut Tx<'_>) -> Result<Arc<DefinitionSet>, StoreError> {
    let set = Arc::new(reread(tx)?);
    tx.defined = Some(set.clone());
    Ok(set)
}

fn reread(tx: &Tx<'_>) -> Result<DefinitionSet, StoreError> {
    let known = tx.definitions();
    let revision = known.revision + 1;
    if tx.endpoints_changed {
        return read_set(tx.db, revision, &known).map_err(|e| tx.error(e));
    }
    // Webhooks only ever add endpoints: those that are known stay as they are.
    let mut endpoints = known.endpoints.clone();
    let above = endpoints.last().map_or(0, |e| e.endpoint.id.0);
    endpoints.extend(read_endpoints(tx.db, above).map_err(|e| tx.error(e))?);
    let webhooks = read_webhooks(tx.db, &known).map_err(|e| tx.error(e))?;
    let netbox_version = read_netbox_version(tx.db).map_err(|e| tx.error(e))?;
    Ok(DefinitionSet { revision, webhooks, endpoints, netbox_version })
}

fn write_webhook(tx: &mut Tx<'_>, write: &WebhookWrite, audit: &NewAudit) -> Result<WebhookId, StoreError> {
    let name: Option<u32> = tx
        .db
        .query_row("SELECT id FROM webhook WHERE name = ?1 AND deleted = 0", [&write.spec.name], |r| r.get(0))
        .optional()
        .map_err(|e| tx.error(e))?;
    if name.is_some() && name != write.id.map(|w| w.0) {
        return Err(StoreError::Conflict(format!("a webhook named \"{}\" exists already", write.spec.name)));
    }
    let (key, origin) = (write.target.endpoint_key(), write.target.origin());
    let endpoint = endpoint_of(tx, key, &origin).map_err(|e| tx.error(e))?;
    let spec = serde_json::to_string(&write.spec).map_err(|e| StoreError::Conflict(e.to_string()))?;
    let source = serde_json::to_string(&write.source).unwrap_or_default();
    let id = match write.id {
        None => create(tx, write, &spec, &source, endpoint)?,
        Some(id) => update(tx, id, write, &spec, &source, endpoint)?,
    };
    let active = write.spec.enabled && !write.orphaned;
    tx.shared.standstill.write(tx.db, id, active, tx.now).map_err(|e| tx.error(e))?;
    let named = NewAudit { target: format!("webhook {id}"), ..audit.clone() };
    write_audit(tx, &named)?;
    Ok(id)
}

fn create(
    tx: &Tx<'_>,
    write: &WebhookWrite,
    spec: &str,
    source: &str,
    endpoint: EndpointId,
) -> Result<WebhookId, StoreError> {
    tx.db
        .execute(
            "INSERT INTO webhook(name, revision, spec, endpoint, source, orphaned, moving, deleted, purging, created, updated)
             VALUES(?1, 1, ?2, ?3, ?4, ?5, 0, 0, 0, ?6, ?6)",
            params![write.spec.name, spec, endpoint.0, source, write.orphaned, tx.now.0],
        )
        .map_err(|e| tx.error(e))?;
    let id = WebhookId(tx.db.last_insert_rowid() as u32);
    keep_revision(tx, id, 1, spec)?;
    Ok(id)
}

fn update(
    tx: &mut Tx<'_>,
    id: WebhookId,
    write: &WebhookWrite,
    spec: &str,
    source: &str,
    endpoint: EndpointId,
) -> Result<WebhookId, StoreError> {
    let old = written(tx, id)?.ok_or_else(|| StoreError::NotFound(format!("webhook {id}")))?;
    if write.based_on.is_some_and(|revision| revision != old.revision) {
        return Err(StoreError::Outdated(format!("webhook {id}")));
    }
    if (old.spec.as_str(), old.source.as_str(), old.endpoint, old.orphaned) == (spec, source, endpoint, write.orphaned)
    {
        return Ok(id);
    }
    let moving = old.moving || old.endpoint != endpoint;
    let revision = old.revision + 1;
    tx.db
        .execute("UPDATE revision SET replaced = ?2 WHERE webhook = ?1 AND replaced IS NULL", params![id.0, tx.now.0])
        .map_err(|e| tx.error(e))?;
    tx.db
        .execute(
            "UPDATE webhook SET name = ?2, revision = ?3, spec = ?4, endpoint = ?5, source = ?6, orphaned = ?7, moving = ?8,
               updated = ?9 WHERE id = ?1",
            params![id.0, write.spec.name, revision, spec, endpoint.0, source, write.orphaned, moving, tx.now.0],
        )
        .map_err(|e| tx.error(e))?;
    keep_revision(tx, id, revision, spec)?;
    Ok(id)
}

/// A webhook as this transaction has left it: another change may have come before, in the same commit.
struct Written {
    revision: u32,
    spec: String,
    source: String,
    endpoint: EndpointId,
    orphaned: bool,
    moving: bool,
}

fn written(tx: &Tx<'_>, id: WebhookId) -> Result<Option<Written>, StoreError> {
    tx.db
        .query_row(
            "SELECT revision, spec, source, endpoint, orphaned, moving FROM webhook WHERE id = ?1 AND deleted = 0",
            [id.0],
            |r| {
                let (revision, spec, source) = (r.get(0)?, r.get(1)?, r.get(2)?);
                let (endpoint, orphaned, moving) = (EndpointId(r.get(3)?), r.get(4)?, r.get(5)?);
                Ok(Written { revision, spec, source, endpoint, orphaned, moving })
            },
        )
        .optional()
        .map_err(|e| tx.error(e))
}

fn keep_revision(tx: &Tx<'_>, id: WebhookId, revision: u32, spec: &str) -> Result<(), StoreError> {
    tx.db
        .execute("INSERT INTO revision(webhook, revision, spec) VALUES(?1, ?2, ?3)", params![id.0, revision, spec])
        .map(drop)
        .map_err(|e| tx.error(e))
}

impl EmbeddedStore {
    /// A change of definitions: written, and in force with the commit.
    fn define<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        self.shared.write(change, |value| value).boxed()
    }
}

impl EmbeddedStore {
    /// A change of tokens: written, then in force.
    fn retoken<T: Send + 'static>(
        &self,
        change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<T> {
        let shared = self.shared.clone();
        let changed = move |tx: &mut Tx<'_>| {
            let value = change(tx)?;
            Ok((tokens::read(tx.db).map_err(|e| tx.error(e))?, value))
        };
        let applied = move |(tokens, value)| {
            shared.set_tokens(tokens);
            value
        };
        self.shared.write(changed, applied).boxed()
    }
}

impl Definitions for EmbeddedStore {
    fn definitions(&self) -> Arc<DefinitionSet> {
        self.shared.definitions()
    }

    fn write_webhook(&self, write: WebhookWrite, audit: NewAudit) -> Answer<Arc<Webhook>> {
        self.define(move |tx| {
            let id = write_webhook(tx, &write, &audit)?;
            let set = redefine(tx)?;
            let found = set.webhooks.iter().find(|w| w.id == id).cloned();
            found.ok_or_else(|| StoreError::NotFound(format!("webhook {id}")))
        })
    }

    fn write_webhooks(&self, writes: Vec<WebhookWrite>, audit: NewAudit) -> Answer<()> {
        self.define(move |tx| {
            for write in &writes {
                write_webhook(tx, write, &audit)?;
            }
            redefine(tx).map(drop)
        })
    }

    fn add_endpoints(&self, new: Vec<NewEndpoint>) -> Answer<bool> {
        if !self.shared.has_room_for(&new) {
            return std::future::ready(Ok(false)).boxed();
        }
        self.define(move |tx| {
            let mut added = false;
            for endpoint in &new {
                added |= add_endpoint(tx, endpoint).map_err(|e| tx.error(e))?.1;
            }
            if added {
                redefine(tx)?;
            }
            Ok(added)
        })
    }

    fn set_netbox_version(&self, version: NetboxVersion) -> Answer<()> {
        self.define(move |tx| {
            let packed = i64::from(version.0) << 16 | i64::from(version.1);
            set_meta(tx.db, NETBOX_VERSION, packed).map_err(|e| tx.error(e))?;
            redefine(tx).map(drop)
        })
    }

    fn delete_webhook(&self, id: WebhookId, audit: NewAudit) -> Answer<u64> {
        self.define(move |tx| {
            tx.spill_all().map_err(|e| tx.error(e))?;
            // The name is free again; the row stays for the history that refers to it. What waits is canceled in slices
            // from now on, also after a crash.
            let gone = tx
                .db
                .execute(
                    "UPDATE webhook SET deleted = 1, purging = 1, name = name || ' #' || id
                     WHERE id = ?1 AND deleted = 0",
                    [id.0],
                )
                .map_err(|e| tx.error(e))?;
            if gone == 0 {
                return Err(StoreError::NotFound(format!("webhook {id}")));
            }
            let waiting = super::purge::waiting(tx, id)?;
            let audit = NewAudit { detail: serde_json::json!({ "canceled_deliveries": waiting }), ..audit };
            write_audit(tx, &audit)?;
            redefine(tx)?;
            Ok(waiting)
        })
    }

    fn webhook_revision(&self, id: WebhookId, revision: u32) -> Answer<Option<WebhookSpec>> {
        self.shared
            .read(move |db| {
                db.prepare_cached("SELECT spec FROM revision WHERE webhook = ?1 AND revision = ?2")
                    .and_then(|mut s| s.query_row(params![id.0, revision], |r| r.get::<_, String>(0)).optional())
                    .map(|spec| spec.and_then(|text| serde_json::from_str(&text).ok()))
                    .map_err(|e| StoreError::Unavailable(e.to_string()))
            })
            .boxed()
    }

    fn patch_endpoint(
        &self,
        id: EndpointId,
        patch: Map<String, Value>,
        audit: NewAudit,
    ) -> Answer<Arc<StoredEndpoint>> {
        self.define(move |tx| {
            let mut stored = stored(tx, id)?;
            for (key, value) in patch {
                if value.is_null() {
                    stored.policy_patch.remove(&key);
                } else {
                    stored.policy_patch.insert(key, value);
                }
            }
            let text = Value::Object(stored.policy_patch.clone()).to_string();
            tx.db
                .execute("UPDATE endpoint SET patch = ?2 WHERE id = ?1", params![id.0, text])
                .map_err(|e| tx.error(e))?;
            write_audit(tx, &audit)?;
            keep_revision_number(tx)?;
            Ok(Arc::new(stored))
        })
    }

    fn tokens(&self) -> Arc<Vec<Token>> {
        self.shared.tokens()
    }

    fn create_token(&self, new: NewToken, audit: NewAudit) -> Answer<Token> {
        self.retoken(move |tx| tokens::create(tx, new, &audit))
    }

    fn put_token(&self, new: NewToken, audit: NewAudit) -> Answer<Token> {
        self.retoken(move |tx| tokens::put(tx, new, &audit))
    }

    fn revoke_token(&self, id: u32, audit: NewAudit) -> Answer<()> {
        self.retoken(move |tx| tokens::revoke(tx, id, &audit))
    }

    fn start_bulk(&self, kind: BulkKind, filter: Filter, audit: NewAudit) -> Answer<BulkAction> {
        self.shared
            .write(
                move |tx| {
                    let action = super::bulk::start(tx, kind, &filter)?;
                    write_audit(tx, &NewAudit { target: format!("bulk action {}", action.id), ..audit })?;
                    Ok(action)
                },
                |action| action,
            )
            .boxed()
    }

    fn bulk_actions(&self, page: Page) -> Answer<Listed<BulkAction>> {
        self.shared.read(move |db| super::bulk::list(db, page)).boxed()
    }

    fn bulk_action(&self, id: u32) -> Answer<BulkAction> {
        self.shared.read(move |db| super::bulk::get(db, id)).boxed()
    }

    fn cancel_bulk(&self, id: u32, audit: NewAudit) -> Answer<BulkAction> {
        self.shared
            .write(
                move |tx| {
                    let action = super::bulk::stop(tx, id)?;
                    write_audit(tx, &audit)?;
                    Ok(action)
                },
                |action| action,
            )
            .boxed()
    }

    fn audit(&self, entry: NewAudit) -> Answer<()> {
        self.shared.write(move |tx| write_audit(tx, &entry), |()| ()).boxed()
    }
}

/// The definitions reread without a new revision: plans made before stay valid.
pub fn keep_revision_number(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    tx.endpoints_changed = true;
    let known = tx.definitions();
    let set = read_set(tx.db, known.revision, &known).map_err(|e| tx.error(e))?;
    tx.defined = Some(Arc::new(set));
    Ok(())
}
