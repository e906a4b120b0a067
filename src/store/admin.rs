//! Definitions and administration: webhooks, endpoints, tokens, audit. Rare, small, and durable when they resolve.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::archive::{Listed, Page};
use super::{BulkKind, Filter, StoreError, StoredEndpoint};
use crate::config::NetboxVersion;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::payload_url::{Origin, Target};
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Source, Webhook, WebhookSpec};

/// What a token may do. `Admin` includes all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    Ingest,
    Read,
    Operate,
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 4] = [Self::Ingest, Self::Read, Self::Operate, Self::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Read => "read",
            Self::Operate => "operate",
            Self::Admin => "admin",
        }
    }
}

/// An API token as kept: only a hash of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    pub id: u32,
    pub name: String,
    pub scopes: Vec<Scope>,
    /// SHA-256 of the token: it has 256 random bits, so a slow hash would add nothing.
    pub hash: [u8; 32],
    pub created: Timestamp,
}

/// A token to be made.
#[derive(Debug)]
pub struct NewToken {
    pub name: String,
    pub scopes: Vec<Scope>,
    /// As in [`Token`].
    pub hash: [u8; 32],
}

/// One line of the audit log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditEntry {
    pub id: i64,
    pub time: Timestamp,
    /// Name of the token or user.
    pub actor: String,
    /// `webhook.update`, `delivery.retry`, `endpoint.pause`, …
    pub action: String,
    /// What it was done to: `webhook 7`, a delivery id, …
    pub target: String,
    /// Secrets masked.
    pub detail: Value,
}

/// Longest name of a token, in characters.
pub const MAX_TOKEN_NAME: usize = 100;

/// A token's name as it is kept; `None`: it is empty or too long.
pub fn token_name(given: &str) -> Option<&str> {
    let name = given.trim();
    (1..=MAX_TOKEN_NAME).contains(&name.chars().count()).then_some(name)
}

/// A new line of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct NewAudit {
    pub actor: String,
    pub action: &'static str,
    pub target: String,
    pub detail: Value,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BulkState {
    Running,
    Finished,
    Canceled,
}

/// A retry or cancel by filter: resumable, its selection fixed when it was started.
#[derive(Clone, Debug, PartialEq)]
pub struct BulkAction {
    pub id: u32,
    pub kind: BulkKind,
    pub matched: u64,
    pub done: u64,
    pub skipped: u64,
    pub state: BulkState,
    pub created: Timestamp,
}

/// All definitions at one moment.
#[derive(Clone, Debug, Default)]
pub struct DefinitionSet {
    /// Rises with each change of webhooks.
    pub revision: u64,
    pub webhooks: Vec<Arc<Webhook>>,
    pub endpoints: Vec<Arc<StoredEndpoint>>,
    /// Of the NetBox that last answered; `None` before the first time.
    pub netbox_version: Option<NetboxVersion>,
}

/// A webhook to write; its endpoint is made when it is the first to name the URL.
#[derive(Clone, Debug)]
pub struct WebhookWrite {
    /// `None` creates.
    pub id: Option<WebhookId>,
    pub spec: WebhookSpec,
    /// Read from the spec.
    pub target: Target,
    /// The revision it was made from: written only if that is still the one in force.
    pub based_on: Option<u32>,
    pub source: Source,
    pub orphaned: bool,
}

/// An endpoint of a templated payload URL that an event needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NewEndpoint {
    /// The template.
    pub url: Arc<str>,
    pub origin: Origin,
}

/// Reads and writes of definitions. Every write resolves after its commit.
pub trait Definitions: Send + Sync {
    /// The current set, without touching the disk.
    fn definitions(&self) -> Arc<DefinitionSet>;

    fn revision(&self) -> u64 {
        self.definitions().revision
    }

    /// Creates or changes a webhook. A changed URL starts moving its unfinished and failed deliveries.
    ///
    /// # Errors
    /// `Conflict` for a repeated name, `NotFound` for an unknown id, `Outdated` when it is based on another revision than
    /// the one in force.
    fn write_webhook(
        &self,
        write: WebhookWrite,
        audit: NewAudit,
    ) -> BoxFuture<'static, Result<Arc<Webhook>, StoreError>>;

    /// The same for many at once, whole or not at all.
    fn write_webhooks(&self, writes: Vec<WebhookWrite>, audit: NewAudit) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Makes the endpoints that are not there yet, up to [`super::StoreConfig::max_template_origins`]; whether any was made.
    fn add_endpoints(&self, new: Vec<NewEndpoint>) -> BoxFuture<'static, Result<bool, StoreError>>;

    /// Deletes a webhook and cancels its undelivered deliveries; resolves to their number.
    fn delete_webhook(&self, id: WebhookId, audit: NewAudit) -> BoxFuture<'static, Result<u64, StoreError>>;

    /// A past revision, as long as an attempt refers to it.
    fn webhook_revision(
        &self,
        id: WebhookId,
        revision: u32,
    ) -> BoxFuture<'static, Result<Option<WebhookSpec>, StoreError>>;

    /// Merges `patch` into the endpoint's overrides; `null` removes one.
    fn patch_endpoint(
        &self,
        id: EndpointId,
        patch: Map<String, Value>,
        audit: NewAudit,
    ) -> BoxFuture<'static, Result<Arc<StoredEndpoint>, StoreError>>;

    /// Remembers which NetBox answered.
    fn set_netbox_version(&self, version: NetboxVersion) -> BoxFuture<'static, Result<(), StoreError>>;

    fn tokens(&self) -> Arc<Vec<Token>>;
    /// # Errors
    /// `Conflict` for a repeated name.
    fn create_token(&self, new: NewToken, audit: NewAudit) -> BoxFuture<'static, Result<Token, StoreError>>;
    /// Makes a token in the place of the one of the same name, if there is one.
    ///
    /// # Errors
    /// `Conflict` for a token that was revoked: it stays so.
    fn put_token(&self, new: NewToken, audit: NewAudit) -> BoxFuture<'static, Result<Token, StoreError>>;
    /// Ends a token for good.
    ///
    /// # Errors
    /// `Conflict` for the last one of scope `admin`.
    fn revoke_token(&self, id: u32, audit: NewAudit) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Fixes the selection and stores the action; [`super::Queue::advance_bulk`] carries it out.
    fn start_bulk(
        &self,
        kind: BulkKind,
        filter: Filter,
        audit: NewAudit,
    ) -> BoxFuture<'static, Result<BulkAction, StoreError>>;
    /// Newest first.
    fn bulk_actions(&self, page: Page) -> BoxFuture<'static, Result<Listed<BulkAction>, StoreError>>;
    fn bulk_action(&self, id: u32) -> BoxFuture<'static, Result<BulkAction, StoreError>>;
    fn cancel_bulk(&self, id: u32, audit: NewAudit) -> BoxFuture<'static, Result<BulkAction, StoreError>>;

    fn audit(&self, entry: NewAudit) -> BoxFuture<'static, Result<(), StoreError>>;
}
