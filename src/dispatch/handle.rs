//! The dispatcher as everyone else sees it.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use actix::{Actor, Addr};
use futures_util::future::join_all;
use tokio::sync::{broadcast, mpsc, oneshot};

use super::arbiters::{Arbiters, Common, ThreadState};
use super::core::activity;
use super::messages::{CatalogReplaced, Drain, Inspect, Locate, StopStarting, WakeEndpoints};
use super::router::Router;
use super::{Deps, Inspection, Lag, Minute, RecentAttempt, Waiting, attempt, bulk, expiry, pruner};
use crate::catalog::Catalog;
use crate::clock;
use crate::config::NetboxVersion;
use crate::config::policy::resolve;
use crate::domain::attempt::Attempt;
use crate::domain::change::{EndpointActivity, StateChange};
use crate::domain::endpoint::{Control, Endpoint, LiveState};
use crate::domain::event::Event;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::domain::payload_url::Origin;
use crate::store::{AcceptError, Accepted, Batch, Granted, NewEvent, StoredEndpoint, TestSlot};
use crate::telemetry::metrics;

/// How often a batch is planned anew when definitions keep changing under it.
const PLANS: usize = 8;
/// How long an event's sender is asked to wait when too many batches are on their way.
const BUSY: Duration = Duration::from_secs(1);

/// The one way in, for intake, API and timers. Cheap to clone, usable from any thread.
#[derive(Clone)]
pub struct Dispatcher {
    common: Arc<Common>,
    router: Addr<Router>,
    arbiters: Arc<Arbiters>,
    bulk: mpsc::Sender<()>,
}

impl Dispatcher {
    /// Starts router, threads and timers on the current actix system.
    pub fn start(deps: Deps) -> Self {
        let common = Arc::new(Common::new(&deps));
        let arbiters = Arc::new(Arbiters::start(deps.threads));
        let router = Router::new(common.clone(), arbiters.clone()).start();
        let told = router.clone();
        // Full: the router's sweep finds them within seconds.
        deps.store.on_work(Box::new(move |endpoints| drop(told.try_send(WakeEndpoints(endpoints)))));
        let woken = router.clone();
        let wake = move |endpoints: &[EndpointId]| drop(woken.try_send(WakeEndpoints(endpoints.to_vec())));
        let bulk = bulk::start(deps.store.clone(), wake);
        pruner::start(deps.store.clone(), deps.config.clone());
        expiry::start(common.clone(), router.clone());
        Self { common, router, arbiters, bulk }
    }

    /// The current definitions.
    pub fn catalog(&self) -> Arc<Catalog> {
        self.common.catalog()
    }

    /// Whose bodies `payload_format = "netbox"` writes.
    pub fn netbox_version(&self) -> NetboxVersion {
        self.common.netbox_version()
    }

    /// Stores a planned batch: whole or not at all. Resolves after the commit, upon which the store tells the router.
    /// Plans that definitions have overtaken are made anew.
    ///
    /// # Errors
    /// Nothing of the batch was taken.
    pub async fn accept(&self, events: Vec<NewEvent>, catalog: Arc<Catalog>) -> Result<Vec<Accepted>, AcceptError> {
        let mut events = events;
        let mut revision = catalog.revision();
        let mut asked = HashSet::new();
        for _ in 0..PLANS {
            let current = self.catalog();
            if current.revision() != revision {
                for new in &mut events {
                    let plan = current.plan(&new.event, new.route);
                    (new.plan, new.missing) = (plan.deliveries, plan.missing);
                }
                revision = current.revision();
            }
            // Each is asked for once: one that was not made reaches too many origins, and its delivery says so.
            let missing: Vec<_> =
                events.iter().flat_map(|e| &e.missing).filter(|new| asked.insert((*new).clone())).cloned().collect();
            if !missing.is_empty() {
                if self.common.store.add_endpoints(missing).await? {
                    self.refresh().await;
                }
                continue;
            }
            // Enqueued before the first await, so batches are stored in the order they came.
            let stored = self.common.store.accept(Batch { events: events.clone(), catalog_revision: revision });
            match stored.await {
                Err(AcceptError::StalePlan) => self.refresh().await,
                answer => {
                    let new = answer.iter().flatten().filter(|a| !a.duplicate).count();
                    metrics().events_accepted.inc_by(new as u64);
                    for Accepted { id, deliveries, .. } in answer.iter().flatten().filter(|a| !a.duplicate) {
                        self.common.changes.tell(|| StateChange::Event { id: *id, deliveries: *deliveries });
                    }
                    return answer;
                }
            }
        }
        Err(AcceptError::Busy { reason: "the definitions keep changing".to_owned(), retry_after: BUSY })
    }

    /// Hints that these endpoints may have work, or that their orders or policies changed.
    pub fn wake(&self, endpoints: &[EndpointId]) {
        // Full: the router's sweep finds them within seconds.
        let _ = self.router.try_send(WakeEndpoints(endpoints.to_vec()));
    }

    /// Definitions or configuration changed: takes the current ones, for the next event on.
    pub async fn refresh(&self) {
        if let Err(error) = self.router.send(CatalogReplaced).await {
            tracing::error!(%error, "changed definitions could not be put into force");
        }
    }

    /// A bulk action was stored: carry it out.
    pub fn bulk_started(&self) {
        // Full: it is on its way already.
        let _ = self.bulk.try_send(());
    }

    /// State changes from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<StateChange> {
        self.common.changes.follow()
    }

    /// How an endpoint is; of one without an actor, what is stored of it.
    pub async fn inspect(&self, endpoint: EndpointId) -> Inspection {
        if let Ok(Some(addr)) = self.router.send(Locate(endpoint)).await
            && let Ok(Some(inspection)) = addr.send(Inspect).await
        {
            return Arc::unwrap_or_clone(inspection);
        }
        let set = self.common.store.definitions();
        match set.endpoints.binary_search_by_key(&endpoint, |e| e.endpoint.id) {
            Ok(found) => self.asleep(&set.endpoints[found]),
            Err(_) => self.asleep(&unknown(endpoint)),
        }
    }

    /// The last hour of an endpoint by minute, the one that goes on last; empty when nothing happened in it.
    pub fn hour_of(&self, endpoint: EndpointId) -> Vec<Minute> {
        let stats = self.common.figures.look(endpoint);
        stats.map(|stats| stats.lock().hour(clock::now())).unwrap_or_default()
    }

    /// The latest attempts at an endpoint, newest first.
    pub fn recent_attempts(&self, endpoint: EndpointId) -> Vec<RecentAttempt> {
        self.common.figures.look(endpoint).map(|stats| stats.lock().recent()).unwrap_or_default()
    }

    /// Deliveries per second of an endpoint over the last minute.
    pub fn rate_of(&self, endpoint: EndpointId) -> f64 {
        self.common.figures.look(endpoint).map_or(0.0, |stats| stats.lock().rate(clock::now()))
    }

    /// From acceptance to delivery, over the last hour; `None`: nothing was delivered in it.
    pub fn lag(&self) -> Option<Lag> {
        self.common.figures.lag(clock::now())
    }

    fn asleep(&self, stored: &StoredEndpoint) -> Inspection {
        let now = clock::now();
        let config = self.common.config();
        let reason = match stored.control {
            Control::Paused { .. } => Some("paused"),
            Control::Quarantined { .. } => Some("quarantined"),
            Control::Active if !config.webhooks.enabled => Some("service_disabled"),
            Control::Active => None,
        };
        let stats = self.common.figures.look(stored.endpoint.id);
        let stats = stats.as_ref().map(|stats| stats.lock());
        Inspection {
            activity: activity(&stored.control, &stored.live, now).unwrap_or(EndpointActivity::Idle),
            blocked_by: reason.map(|reason| Waiting { reason, until: None }),
            in_flight: 0,
            consecutive_failures: stored.live.consecutive_failures,
            last_success_at: stored.live.last_success_at,
            last_error: stored.live.last_error.clone(),
            rate: stats.as_ref().map_or(0.0, |stats| stats.rate(now)),
            latency_ms: stats.as_ref().and_then(|stats| stats.latency_ms()),
            policy: resolve(&config, &stored.endpoint.url, &stored.endpoint.origin, &stored.policy_patch),
        }
    }

    /// Sends one request now, beside queue, rate and breaker; obeys the egress guard and the node's cap. `None` for an
    /// unknown webhook, or when the node is at its cap.
    pub async fn send_now(&self, webhook: WebhookId, event: Arc<Event>, slot: TestSlot) -> Option<Attempt> {
        let defined = self.catalog().defined(webhook)?.clone();
        let webhook = &defined.webhook;
        let set = self.common.store.definitions();
        let found = set.endpoints.binary_search_by_key(&webhook.endpoint, |e| e.endpoint.id).ok()?;
        let stored = set.endpoints[found].clone();
        let (reply, answer) = oneshot::channel();
        let (common, router) = (self.common.clone(), self.router.clone());
        let arbiter = self.arbiters.of(&stored.endpoint.origin);
        let started = arbiter.spawn_fn(move || {
            actix_rt::spawn(async move {
                let endpoint = defined.webhook.endpoint;
                // Full: those who wait ask again by themselves soon.
                let call = |called: Vec<EndpointId>| {
                    if !called.is_empty() {
                        let _ = router.try_send(WakeEndpoints(called));
                    }
                };
                let (taken, called) = common.node.take_one(endpoint, clock::now());
                call(called);
                if !taken {
                    return;
                }
                let config = common.config();
                let policy =
                    resolve(&config, &stored.endpoint.url, &stored.endpoint.origin, &stored.policy_patch).policy;
                let granted = test_grant(&defined.webhook, event, slot);
                let thread = ThreadState::here(&common);
                let attempt = attempt::make(thread, defined, None, granted.into(), policy.into()).await;
                call(common.node.give_back(endpoint, 1, clock::now()));
                // The caller may have gone away.
                let _ = reply.send(attempt);
            });
        });
        if started { answer.await.ok() } else { None }
    }

    /// Starts nothing more, waits for what is in flight, at most `timeout`; what remains is queued on disk.
    pub async fn drain(&self, timeout: Duration) {
        let Ok(running) = self.router.send(StopStarting).await else { return };
        let drained = join_all(running.iter().map(|endpoint| endpoint.send(Drain)));
        if tokio::time::timeout(timeout, drained).await.is_err() {
            tracing::warn!("requests were still in flight at the end of the shutdown timeout, they will be repeated");
        }
    }

    /// Ends the dispatch threads, with whatever they still do.
    pub fn stop(&self) {
        self.arbiters.stop();
    }
}

/// Of an endpoint that is gone there is nothing to tell.
fn unknown(id: EndpointId) -> StoredEndpoint {
    StoredEndpoint {
        endpoint: Endpoint { id, url: "".into(), origin: Origin::none() },
        control: Control::Active,
        live: LiveState::default(),
        policy_patch: serde_json::Map::new(),
    }
}

/// A test is the first attempt of a delivery that is stored when it has ended.
fn test_grant(webhook: &crate::domain::webhook::Webhook, event: Arc<Event>, slot: TestSlot) -> Granted {
    Granted {
        id: slot.id,
        public_id: slot.public_id(),
        webhook: webhook.id,
        event,
        folded_from: None,
        number: 1,
        attempts: 0,
        first_attempt_at: None,
        manual: true,
    }
}
