//! What is on disk: the truth that every message is only a hint at.
//!
//! # Invariants (the conformance suite asserts them on every backend)
//!
//! - **I1** After [`Queue::accept`] returned, the event and the complete list of its deliveries are on disk in one
//!   record; rows and indexes may be rebuilt from it.
//! - **I2** Sequences of an endpoint rise in commit order.
//! - **I3** [`Queue::ready`] offers exactly one head per ordering key with unfinished deliveries.
//! - **I4** States change only along [`DeliveryState`]'s diagram; [`Queue::start`] is the only way to `in_flight`.
//! - **I5** Each attempt is recorded once, numbers consecutive.
//! - **I7** Stored counters equal a recount.
//! - **I8** Pruning never removes what is unfinished, nor a failed delivery before its retention ends.
//!
//! (I6, fencing, belongs to stores shared by several nodes.)

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::domain::attempt::Attempt;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::{Control, Endpoint, LiveState};
use crate::domain::event::Event;
use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, PublicId, WebhookId};
use crate::domain::policy::Ordering;
use crate::domain::time::Timestamp;

pub mod accounts;
pub mod admin;
pub mod archive;
mod changes;
#[cfg(test)]
mod conformance;
pub mod embedded;
mod filter;

pub use accounts::Accounts;
pub use admin::{Definitions, NewEndpoint};
pub use archive::Archive;
pub use changes::Changes;
pub use filter::{Between, Filter};

/// Why the store could not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// It does not answer now; what was asked can be asked again.
    #[error("the store is unavailable: {0}")]
    Unavailable(String),
    /// No space is left for it.
    #[error("the store is full: {0}")]
    Full(String),
    /// What is on disk is damaged; names the file and what was found.
    #[error("the store is damaged: {0}")]
    Corrupt(String),
    #[error("{0} does not exist")]
    NotFound(String),
    /// The change contradicts what is stored (a repeated name, a state that does not allow it).
    #[error("{0}")]
    Conflict(String),
    /// What the change was made from has changed meanwhile: look again.
    #[error("{0} was changed meanwhile")]
    Outdated(String),
}

/// Why a batch was not accepted. Nothing of it was.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AcceptError {
    /// Ask again after the time given: backlog or queue is full.
    #[error("{reason}")]
    Busy { reason: String, retry_after: Duration },
    /// The event at `index` repeats an idempotency key with another body.
    #[error("the id \"{key}\" was used before with another body")]
    Conflict { index: usize, key: String },
    /// The definitions changed while the batch was matched; plan it again.
    #[error("the definitions changed, plan again")]
    StalePlan,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// How an event finds its webhooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// By models, event types and conditions.
    Match,
    /// Its sender has matched it already: NetBox, whose queue has one job for each of its rules.
    Webhook(WebhookId),
}

/// One event with its plan.
#[derive(Clone, Debug)]
pub struct NewEvent {
    pub event: Arc<Event>,
    pub route: Route,
    /// The deliveries it gets, in the order of the webhooks; at most [`crate::domain::ids::MAX_FANOUT`].
    pub plan: Vec<Planned>,
    /// Endpoints of templates that are not there yet; until they are, the plan names the template's own in their place.
    pub missing: Vec<NewEndpoint>,
    pub idempotency: Option<Idempotency>,
}

impl NewEvent {
    /// An event that its plan takes to endpoints that are all there.
    pub fn planned(event: Arc<Event>, plan: Vec<Planned>) -> Self {
        Self { event, route: Route::Match, plan, missing: Vec::new(), idempotency: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Planned {
    pub webhook: WebhookId,
    pub endpoint: EndpointId,
}

/// A repeat of `key` within the window is answered like the first and sent nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Idempotency {
    /// Scoped to the token already (`"<token id>/<key>"`).
    pub key: String,
    /// 128-bit hash of the raw event.
    pub body: u128,
}

#[derive(Clone, Debug)]
pub struct Batch {
    pub events: Vec<NewEvent>,
    /// Of the definitions the plans were made from, see [`Definitions::revision`].
    pub catalog_revision: u64,
}

/// The answer for one event of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Accepted {
    pub seq: EventSeq,
    pub id: PublicId,
    pub deliveries: u32,
    /// It was accepted before; nothing was stored.
    pub duplicate: bool,
}

/// A due head, as [`Queue::ready`] offers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    pub id: DeliveryId,
    /// Its ordering key at this endpoint.
    pub key: u64,
    /// Place among the first attempts; the id, except where it took a folded delivery's place.
    pub position: DeliveryId,
    /// Counted attempts since it was last queued.
    pub attempts: u32,
    /// Since when it is due if it is a retry; `None` for a first attempt.
    pub retry_due: Option<Timestamp>,
    /// A person asked for it: may be the breaker's next probe at once.
    pub manual: bool,
}

/// What an endpoint can start now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ready {
    /// Due heads, not among the held ones: first attempts by position and retries by due time, alternating.
    pub due: Vec<Head>,
    /// More are due than the limit let through.
    pub more: bool,
    /// When the earliest head that is not due yet will be.
    pub next_due: Option<Timestamp>,
}

/// What [`Queue::start`] decided.
#[derive(Clone, Debug)]
pub enum Start {
    Granted(Box<Granted>),
    /// Canceled, folded, held back or already running: not to be sent.
    Gone(DeliveryId),
}

/// Permission to make one attempt.
#[derive(Clone, Debug)]
pub struct Granted {
    pub id: DeliveryId,
    pub public_id: PublicId,
    pub webhook: WebhookId,
    pub event: Arc<Event>,
    /// The event it was folded with: its type and `snapshots.prechange` are the older one's.
    pub folded_from: Option<Arc<Event>>,
    /// Number of this attempt, 1, 2, …: those ever recorded plus one.
    pub number: u32,
    /// Counted attempts since it was last queued.
    pub attempts: u32,
    /// First attempt since it was last queued, later by the time that its age stood still since: while the endpoint
    /// was paused or quarantined, the webhook disabled, or the service off.
    pub first_attempt_at: Option<Timestamp>,
    pub manual: bool,
}

/// How an attempt ended, for the store.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub id: DeliveryId,
    pub attempt: Attempt,
    pub next: Next,
    /// The endpoint's live state after it, when it changed in a way that must survive a restart.
    pub live: Option<LiveState>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    Delivered,
    /// `counted`: it used up an attempt.
    Retry {
        at: Timestamp,
        counted: bool,
    },
    Failed,
}

/// What a retry or resend will meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Requeued {
    pub id: DeliveryId,
    pub endpoint: EndpointId,
    /// A later event of the same object already reached that webhook.
    pub newer_delivered: bool,
}

/// The id of a test, known before it is sent: its receiver is told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TestSlot {
    pub id: DeliveryId,
    pub received: Timestamp,
}

impl TestSlot {
    pub fn public_id(&self) -> PublicId {
        self.id.public(self.received)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BulkKind {
    Retry { skip_if_newer_delivered: bool },
    Cancel,
}

/// Unfinished work of one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PendingEndpoint {
    pub endpoint: EndpointId,
    pub unfinished: u64,
    /// Of these, those that wait for a retry.
    pub retrying: u64,
}

/// What [`Queue::expire`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expired {
    /// Endpoints to wake, and how many deliveries of each ended.
    pub ended: Vec<(EndpointId, usize)>,
    /// The batch was full.
    pub more: bool,
}

/// Whom the store tells that endpoints have work; called on a thread of the store, so it must not block.
pub type OnWork = Box<dyn Fn(Vec<EndpointId>) + Send + Sync>;

/// What the store must know of an endpoint to keep its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OrderingPolicy {
    pub ordering: Ordering,
    pub coalesce: bool,
}

/// Deliveries: in, out, and what people do to them. The only writer of their states.
///
/// All methods enqueue synchronously and resolve when the change has been applied in order; what they promise of the
/// disk is said at each.
pub trait Queue: Send + Sync {
    /// Takes the whole batch or nothing; resolves after the commit that makes it durable.
    fn accept(&self, batch: Batch) -> BoxFuture<'static, Result<Vec<Accepted>, AcceptError>>;

    /// Names who is told, after each commit, which endpoints have new deliveries: a hint, each endpoint once per
    /// commit. Set once, before events come.
    fn on_work(&self, told: OnWork);

    /// Due heads of an endpoint except those `held` by the caller, at most `limit`.
    fn ready(
        &self,
        endpoint: EndpointId,
        now: Timestamp,
        limit: usize,
        held: Vec<DeliveryId>,
    ) -> BoxFuture<'static, Result<Ready, StoreError>>;

    /// The only way to `in_flight`: one answer for each id, in order. Refused as a whole while outcomes cannot be
    /// recorded.
    fn start(&self, endpoint: EndpointId, ids: Vec<DeliveryId>) -> BoxFuture<'static, Result<Vec<Start>, StoreError>>;

    /// Records how an attempt ended and offers the key's next head if it is due. Resolves when applied in memory, in
    /// order; on disk with the next commit, at latest after 20 ms.
    fn record(&self, endpoint: EndpointId, done: Recorded) -> BoxFuture<'static, Result<Option<Head>, StoreError>>;

    /// Gives a started delivery back unsent (drain, a crash of its actor): `pending` or `retrying` as before.
    fn release(&self, endpoint: EndpointId, id: DeliveryId);

    /// A manual retry: `failed`, `canceled` and `retrying` become due at their original place. `Conflict` otherwise.
    fn retry(&self, id: DeliveryId) -> BoxFuture<'static, Result<Requeued, StoreError>>;

    /// Whether a later event of the same object already reached the same webhook.
    fn newer_delivered(&self, id: DeliveryId) -> BoxFuture<'static, Result<bool, StoreError>>;

    /// Cancels a waiting delivery; of one in flight, whatever follows the running attempt unless it succeeds.
    fn cancel(&self, id: DeliveryId) -> BoxFuture<'static, Result<EndpointId, StoreError>>;

    /// A new delivery of a `delivered` one's event to its webhook, at the end of its key.
    fn resend(&self, id: DeliveryId) -> BoxFuture<'static, Result<(DeliveryId, PublicId, EndpointId), StoreError>>;

    /// Sets an id aside for a test that is about to be sent; durable when it resolves.
    fn reserve_test(&self) -> BoxFuture<'static, Result<TestSlot, StoreError>>;

    /// Stores a test request that was sent beside the queue, under the id set aside for it.
    fn record_test(
        &self,
        slot: TestSlot,
        event: Arc<Event>,
        planned: Planned,
        attempt: Attempt,
    ) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Runs the next slice (at most 1,000) of a bulk action; `None` when nothing of that kind is left to do.
    /// Returns the endpoints to wake.
    fn advance_bulk(&self) -> BoxFuture<'static, Result<Option<Vec<EndpointId>>, StoreError>>;

    /// Tells the order to keep; takes effect at once.
    fn set_ordering(&self, endpoint: EndpointId, policy: OrderingPolicy);

    /// Pauses, resumes or quarantines; durable when it resolves.
    fn set_control(&self, endpoint: EndpointId, control: Control) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Persists live state outside a record (a pause by 410, a hold).
    fn save_live(&self, endpoint: EndpointId, live: LiveState);

    /// Every change of a delivery's state but that to `in_flight`, and of what people order of an endpoint.
    fn changes(&self) -> &Changes;

    /// Endpoints with unfinished deliveries.
    fn pending_endpoints(&self) -> Vec<PendingEndpoint>;

    /// The oldest due head that a person asked for, one by one. Read in memory.
    fn asked_for(&self, endpoint: EndpointId, now: Timestamp) -> Option<Head>;

    /// Whether anything is sent at all: while not, nothing grows older.
    fn set_service(&self, on: bool) -> BoxFuture<'static, Result<(), StoreError>>;

    /// Ends what waits for a retry longer than given for its endpoint since its first attempt, at most `batch`.
    fn expire(
        &self,
        ages: Vec<(EndpointId, Duration)>,
        batch: usize,
    ) -> BoxFuture<'static, Result<Expired, StoreError>>;

    /// Commits everything applied so far.
    fn flush(&self) -> BoxFuture<'static, Result<(), StoreError>>;
}

/// Everything about one endpoint that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredEndpoint {
    pub endpoint: Endpoint,
    pub control: Control,
    pub live: LiveState,
    /// Keys set by `PATCH`, as JSON values; a missing key is not overridden.
    pub policy_patch: serde_json::Map<String, serde_json::Value>,
}

/// How the store is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    Ok,
    /// Outcomes are still recorded, events are refused.
    Full(String),
    /// Nothing can be written.
    Failed(String),
}

/// Numbers the status page and metrics show, from kept counters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub events: u64,
    pub by_state: BTreeMap<DeliveryState, u64>,
    pub oldest_pending_at: Option<Timestamp>,
}

/// What to open.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    pub path: PathBuf,
    /// `durability = "relaxed"`: fsync every 100 ms instead of before each 202.
    pub relaxed: bool,
    pub max_backlog: u64,
    pub idempotency_window: Duration,
    /// Origins that one templated payload URL may reach.
    pub max_template_origins: usize,
}

/// A whole storage backend.
pub trait Store: Queue + Definitions + Archive + Accounts {}

impl<T: Queue + Definitions + Archive + Accounts> Store for T {}
