//! What the dispatch threads, the writer and the readers of one store share.
//!
//! Locks instead of one owning actor: `ready`, `start` and `record` happen once per delivery on the dispatch threads,
//! and a hop to another thread costs more than all of their work. Each lock is held for microseconds, never across an
//! await or a disk access. Order of locks: ledger, then operations.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc;
use std::sync::{Arc, OnceLock};

use foldhash::{HashMap, HashSet};
use parking_lot::{Mutex, RwLock};
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};

use super::accounts::People;
use super::body::{Budget, Recent};
use super::hours::{Hours, hour_of};
use super::ledger::{Ledger, RESIDENT_MAX};
use super::ops::Op;
use super::places::Places;
use super::readers::Readers;
use super::standstill::Standstill;
use super::tx::Tx;
use super::writer::{Command, Job};
use crate::clock;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::LiveState;
use crate::domain::ids::{DeliveryId, EndpointId, WebhookId};
use crate::store::admin::{DefinitionSet, Token};
use crate::store::{Changes, Health, OnWork, StoreConfig, StoreError};
use crate::telemetry::metrics;

/// Outcomes that may wait for the disk before nothing more is started.
pub const OPS_MAX: usize = 65_536;

/// How the writer ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WriterEnd {
    Closed,
    /// By a fault of ours: memory and disk may disagree, so nothing goes on.
    Broken(String),
}

type Counters = HashMap<EndpointId, HashMap<(WebhookId, DeliveryState), u64>>;

pub struct Shared {
    pub config: StoreConfig,
    pub folder: PathBuf,
    pub commands: mpsc::SyncSender<Command>,
    readers: Readers,
    pub budget: Arc<Budget>,
    pub recent: Recent,
    pub places: Places,
    /// Resident deliveries allowed per endpoint at present.
    pub bound: AtomicUsize,
    /// Unfinished deliveries over all endpoints.
    pub backlog: AtomicU64,
    pub events: AtomicU64,
    pub(super) ledgers: RwLock<HashMap<EndpointId, Arc<Mutex<Ledger>>>>,
    ops: Mutex<Vec<Op>>,
    definitions: RwLock<Arc<DefinitionSet>>,
    /// Webhooks whose deliveries are sent; all ledgers share it.
    active: RwLock<Arc<HashSet<WebhookId>>>,
    tokens: RwLock<Arc<Vec<Token>>>,
    people: RwLock<Arc<People>>,
    /// By endpoint first: what is asked most is the counts of one.
    pub(super) counters: Mutex<Counters>,
    /// The same for tests, which appear in no other count.
    pub(super) tests: Mutex<Counters>,
    /// The same of the last hours, by webhook.
    pub hours: Mutex<Hours>,
    /// Told what happens to deliveries and endpoints.
    pub changes: Changes,
    health: RwLock<Health>,
    ended: watch::Sender<Option<WriterEnd>>,
    pub on_work: OnceLock<OnWork>,
    pub standstill: Standstill,
}

impl Shared {
    pub fn new(config: StoreConfig, commands: mpsc::SyncSender<Command>, readers: Readers) -> Self {
        Self {
            folder: config.path.clone(),
            config,
            commands,
            readers,
            budget: Arc::default(),
            recent: Recent::default(),
            places: Places::default(),
            bound: AtomicUsize::new(RESIDENT_MAX),
            backlog: AtomicU64::new(0),
            events: AtomicU64::new(0),
            ledgers: RwLock::default(),
            ops: Mutex::default(),
            definitions: RwLock::default(),
            active: RwLock::default(),
            tokens: RwLock::default(),
            people: RwLock::default(),
            counters: Mutex::default(),
            tests: Mutex::default(),
            hours: Mutex::default(),
            changes: Changes::default(),
            health: RwLock::new(Health::Ok),
            ended: watch::Sender::new(None),
            on_work: OnceLock::new(),
            standstill: Standstill::default(),
        }
    }

    /// Reads on another thread, from what is committed.
    pub fn read<T, F>(&self, read: F) -> impl Future<Output = Result<T, StoreError>> + Send + 'static
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
    {
        self.readers.run(read)
    }

    /// Runs `change` inside the writer's next transaction and `applied` after its commit, on the writer's thread.
    pub fn write<T, R, F, A>(
        &self,
        change: F,
        applied: A,
    ) -> impl Future<Output = Result<R, StoreError>> + Send + 'static
    where
        T: Send + 'static,
        R: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
        A: FnOnce(T) -> R + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job: Job = Box::new(move |tx| {
            let changed = savepoint(tx, change);
            Box::new(move |commit: &Result<(), StoreError>| {
                let result = commit.clone().and(changed).map(applied);
                // Nobody to answer: the caller went away, the change stays.
                let _ = reply.send(result);
            })
        });
        let sent = self.commands.try_send(Command::Job(job));
        async move {
            sent.map_err(|_| StoreError::Unavailable("too much is waiting for the store".to_owned()))?;
            answer.await.unwrap_or_else(|_| Err(StoreError::Unavailable("the store is not writable".to_owned())))
        }
    }

    pub fn ledger(&self, endpoint: EndpointId) -> Arc<Mutex<Ledger>> {
        if let Some(ledger) = self.ledgers.read().get(&endpoint) {
            return ledger.clone();
        }
        let mut ledgers = self.ledgers.write();
        ledgers.entry(endpoint).or_insert_with(|| Arc::new(Mutex::new(Ledger::new(endpoint, self.active())))).clone()
    }

    pub fn all_ledgers(&self) -> Vec<Arc<Mutex<Ledger>>> {
        self.ledgers.read().values().cloned().collect()
    }

    fn active(&self) -> Arc<HashSet<WebhookId>> {
        self.active.read().clone()
    }

    /// Remembers an operation for the next commit; tells the writer when it is the first.
    pub fn push(&self, op: Op) {
        let first = {
            let mut ops = self.ops.lock();
            ops.push(op);
            ops.len() == 1
        };
        if first {
            // A full channel means the writer is awake and will see the operation anyway.
            let _ = self.commands.try_send(Command::Nudge);
        }
    }

    /// Persists an endpoint's live state with the next commit.
    pub fn push_live(&self, endpoint: EndpointId, live: LiveState) {
        self.push(Op::Live { endpoint, live });
    }

    pub fn take_ops(&self) -> Vec<Op> {
        std::mem::take(&mut *self.ops.lock())
    }

    /// After a failed commit: before everything that came since.
    pub fn put_back(&self, mut failed: Vec<Op>) {
        let mut ops = self.ops.lock();
        failed.append(&mut ops);
        *ops = failed;
    }

    pub fn ops_waiting(&self) -> usize {
        self.ops.lock().len()
    }

    /// Whether attempts may be started: their outcomes must have somewhere to go.
    pub fn check_writable(&self) -> Result<(), StoreError> {
        if let Health::Failed(reason) = &*self.health.read() {
            return Err(StoreError::Unavailable(reason.clone()));
        }
        if self.ops_waiting() > OPS_MAX {
            return Err(StoreError::Unavailable("the disk does not keep up with outcomes".to_owned()));
        }
        Ok(())
    }

    pub fn health(&self) -> Health {
        self.health.read().clone()
    }

    pub fn set_health(&self, health: Health) {
        *self.health.write() = health;
    }

    /// The writer has ended: nothing can be written any more.
    pub fn set_ended(&self, ended: WriterEnd) {
        if let WriterEnd::Broken(reason) = &ended {
            self.set_health(Health::Failed(reason.clone()));
        }
        self.ended.send_replace(Some(ended));
    }

    /// Waits until the writer ends.
    pub fn writer_ended(&self) -> impl Future<Output = WriterEnd> + Send + 'static {
        let mut ended = self.ended.subscribe();
        async move { ended.wait_for(Option::is_some).await.ok().and_then(|e| e.clone()).unwrap_or(WriterEnd::Closed) }
    }

    pub fn revision(&self) -> u64 {
        self.definitions.read().revision
    }

    pub fn definitions(&self) -> Arc<DefinitionSet> {
        self.definitions.read().clone()
    }

    /// New definitions are in force: deliveries of webhooks that stopped step aside, those that returned come back.
    pub fn set_definitions(&self, set: Arc<DefinitionSet>) {
        self.standstill.follow(&set.webhooks, clock::now());
        let sent = set.webhooks.iter().filter(|w| w.active() && !w.moving);
        let active: Arc<HashSet<WebhookId>> = Arc::new(sent.map(|w| w.id).collect());
        *self.definitions.write() = set;
        let old = std::mem::replace(&mut *self.active.write(), active.clone());
        if old == active {
            return;
        }
        let left: HashSet<WebhookId> = old.difference(&active).copied().collect();
        let returned = active.difference(&old).next().is_some();
        for ledger in self.all_ledgers() {
            ledger.lock().set_active(active.clone(), &left, returned);
        }
    }

    /// Whether what an endpoint's next actor must know of it changed, not only what is shown.
    pub fn matters(&self, endpoint: EndpointId, live: &LiveState) -> bool {
        let set = self.definitions.read();
        let known = set.endpoints.binary_search_by_key(&endpoint, |e| e.endpoint.id).map(|at| &set.endpoints[at].live);
        known.map_or(true, |known| {
            known.breaker != live.breaker
                || known.hold_until != live.hold_until
                || known.consecutive_failures != live.consecutive_failures
        })
    }

    /// Live states changed; the definitions stay as they are.
    pub fn set_live(&self, changed: HashMap<EndpointId, LiveState>) {
        let mut slot = self.definitions.write();
        let mut set = DefinitionSet::clone(&slot);
        for stored in &mut set.endpoints {
            // What was written before a person resumed it says nothing any more.
            let current = |live: &&LiveState| live.resumed_at == stored.live.resumed_at;
            if let Some(live) = changed.get(&stored.endpoint.id).filter(current) {
                let LiveState { paused_total_us, resumed_at, .. } = stored.live;
                let live = LiveState { paused_total_us, resumed_at, ..live.clone() };
                *stored = Arc::new(crate::store::StoredEndpoint { live, ..(**stored).clone() });
            }
        }
        *slot = Arc::new(set);
    }

    /// New deliveries of these endpoints can be started.
    pub fn tell_work(&self, mut endpoints: Vec<EndpointId>) {
        endpoints.sort_unstable();
        endpoints.dedup();
        if let Some(told) = self.on_work.get().filter(|_| !endpoints.is_empty()) {
            told(endpoints);
        }
    }

    pub fn tokens(&self) -> Arc<Vec<Token>> {
        self.tokens.read().clone()
    }

    pub fn set_tokens(&self, tokens: Vec<Token>) {
        *self.tokens.write() = Arc::new(tokens);
    }

    pub fn people(&self) -> Arc<People> {
        self.people.read().clone()
    }

    pub fn set_people(&self, people: People) {
        *self.people.write() = Arc::new(people);
    }

    pub fn count(&self, endpoint: EndpointId, webhook: WebhookId, state: DeliveryState, change: i64) {
        let mut counters = self.counters.lock();
        let n = counters.entry(endpoint).or_default().entry((webhook, state)).or_default();
        *n = n.saturating_add_signed(change);
    }

    /// A delivery has ended: one less is waiting, one more is counted.
    pub fn ended(&self, endpoint: EndpointId, webhook: WebhookId, state: DeliveryState) {
        self.count(endpoint, webhook, state, 1);
        self.hours.lock().add(hour_of(clock::now()), webhook, state, 1);
        self.backlog_change(-1);
        metrics().deliveries_ended(state, 1);
    }

    pub fn count_test(&self, endpoint: EndpointId, webhook: WebhookId, state: DeliveryState, change: i64) {
        let mut tests = self.tests.lock();
        let n = tests.entry(endpoint).or_default().entry((webhook, state)).or_default();
        *n = n.saturating_add_signed(change);
    }

    pub fn counted(&self, pick: impl FnMut(EndpointId, WebhookId, DeliveryState) -> bool) -> u64 {
        sum(&self.counters.lock(), pick)
    }

    pub fn counted_tests(&self, pick: impl FnMut(EndpointId, WebhookId, DeliveryState) -> bool) -> u64 {
        sum(&self.tests.lock(), pick)
    }

    /// What is in flight now, at all endpoints.
    pub fn in_flight(&self) -> Vec<DeliveryId> {
        let mut ids = Vec::new();
        for ledger in self.all_ledgers() {
            let ledger = ledger.lock();
            if ledger.in_flight > 0 {
                ids.extend(ledger.entries().filter(|e| e.in_flight).map(|e| e.id));
            }
        }
        ids
    }

    /// Endpoints and webhooks of which ended deliveries are kept.
    pub fn referred(&self) -> (HashSet<EndpointId>, HashSet<WebhookId>) {
        let (mut endpoints, mut webhooks) = (HashSet::default(), HashSet::default());
        for counters in [&self.counters, &self.tests] {
            for (endpoint, of) in counters.lock().iter() {
                for ((webhook, _), _) in of.iter().filter(|(_, n)| **n > 0) {
                    endpoints.insert(*endpoint);
                    webhooks.insert(*webhook);
                }
            }
        }
        (endpoints, webhooks)
    }

    /// An endpoint is gone from the definitions, and nothing of it is left.
    pub fn forget_endpoint(&self, endpoint: EndpointId) {
        self.ledgers.write().remove(&endpoint);
        self.counters.lock().remove(&endpoint);
        self.tests.lock().remove(&endpoint);
    }

    /// Deliveries of one endpoint in this state.
    pub fn counted_at(&self, endpoint: EndpointId, state: DeliveryState) -> u64 {
        let counters = self.counters.lock();
        let of = counters.get(&endpoint).into_iter().flatten();
        of.filter(|((_, s), _)| *s == state).map(|(_, n)| n).sum()
    }

    pub fn backlog_change(&self, change: i64) {
        if change >= 0 {
            self.backlog.fetch_add(change as u64, Ordering::Relaxed);
        } else {
            self.backlog.fetch_sub(change.unsigned_abs(), Ordering::Relaxed);
        }
    }
}

fn sum(counters: &Counters, mut pick: impl FnMut(EndpointId, WebhookId, DeliveryState) -> bool) -> u64 {
    let all = counters.iter().flat_map(|(e, of)| of.iter().map(move |((w, s), n)| (*e, *w, *s, *n)));
    all.filter(|(e, w, s, _)| pick(*e, *w, *s)).map(|(.., n)| n).sum()
}

/// What a refused change wrote is undone, alone; operations, which are applied in memory already, stay.
///
/// When the disk is full SQLite may have undone the whole transaction, and would commit each further statement by itself:
/// then, as when undoing fails, the transaction is lost.
fn savepoint<T>(tx: &mut Tx<'_>, change: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError>) -> Result<T, StoreError> {
    let mark = tx.mark();
    let (defined, told) = (tx.defined.clone(), tx.changes.len());
    let result = tx.db.execute_batch("SAVEPOINT change").map_err(|e| tx.error(e)).and_then(|()| change(tx));
    if result.is_err() {
        tx.defined = defined;
        tx.changes.truncate(told);
    }
    let settled = match &result {
        _ if tx.db.is_autocommit() => Err(given_up()),
        Ok(_) => tx.db.execute_batch("RELEASE change"),
        Err(_) => tx
            .db
            .execute_batch("ROLLBACK TO change")
            .and_then(|()| tx.replay(mark))
            .and_then(|()| tx.db.execute_batch("RELEASE change")),
    };
    if let Err(error) = settled {
        // What went wrong first says more than that it could not be undone.
        tx.lost = Some(result.as_ref().err().cloned().unwrap_or_else(|| tx.error(error)));
    }
    result
}

fn given_up() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_ABORT_ROLLBACK);
    rusqlite::Error::SqliteFailure(code, Some("the transaction was given up".to_owned()))
}
