//! The dispatch threads and what each has once: HTTP clients, limits of its origins, and the way to everything shared.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use actix::{Addr, Arbiter};
use parking_lot::RwLock;

use super::Deps;
use super::figures::Figures;
use super::limits::{NodeGate, OriginGates};
use super::router::Router;
use crate::catalog::Catalog;
use crate::config::{Config, ConfigWatch, NetboxVersion};
use crate::domain::payload_url::Origin;
use crate::render::DEFAULT_VERSION;
use crate::sender::{Egress, Sender};
use crate::store::{Changes, Store};

/// Partitions of the origins; endpoints of one origin share one, and so a thread.
const PARTITIONS: u64 = 256;

/// What all threads share.
pub struct Common {
    pub store: Arc<dyn Store>,
    pub config: ConfigWatch,
    /// Replaced as a whole; the lock is held to copy the pointer.
    pub catalog: RwLock<Arc<Catalog>>,
    pub node: NodeGate,
    pub changes: Changes,
    pub figures: Figures,
    /// Rises when definitions or configuration changed, so that endpoints look at theirs again.
    pub epoch: std::sync::atomic::AtomicU64,
}

impl Common {
    pub fn new(deps: &Deps) -> Self {
        let catalog = Arc::new(Catalog::new(deps.store.definitions()));
        let max_in_flight = deps.config.borrow().delivery.max_in_flight;
        Self {
            store: deps.store.clone(),
            config: deps.config.clone(),
            catalog: RwLock::new(catalog),
            node: NodeGate::new(max_in_flight),
            changes: deps.store.changes().clone(),
            figures: Figures::default(),
            epoch: std::sync::atomic::AtomicU64::new(0),
        }
    }

    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// Whose bodies `payload_format = "netbox"` writes.
    pub fn netbox_version(&self) -> NetboxVersion {
        self.config
            .borrow()
            .netbox
            .version
            .or_else(|| self.catalog().definitions().netbox_version)
            .unwrap_or(DEFAULT_VERSION)
    }

    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.read().clone()
    }
}

/// What one dispatch thread has.
pub struct ThreadState {
    pub common: Arc<Common>,
    pub sender: Sender,
    pub origins: RefCell<OriginGates>,
}

thread_local! {
    static STATE: RefCell<Option<Rc<ThreadState>>> = const { RefCell::new(None) };
}

impl ThreadState {
    /// This thread's, made on first use.
    pub fn here(common: &Arc<Common>) -> Rc<Self> {
        STATE.with_borrow_mut(|slot| slot.get_or_insert_with(|| Rc::new(Self::new(common.clone()))).clone())
    }

    fn new(common: Arc<Common>) -> Self {
        let egress = egress(&common.config());
        Self { common, sender: Sender::new(egress), origins: RefCell::default() }
    }

    /// The configuration changed.
    pub fn refresh(&self) {
        self.sender.set_egress(egress(&self.common.config()));
    }

    pub fn netbox_version(&self) -> NetboxVersion {
        self.common.netbox_version()
    }
}

fn egress(config: &Config) -> Arc<Egress> {
    let security = &config.security;
    Arc::new(Egress { allow: security.allow_networks.clone(), deny: security.deny_networks.clone() })
}

/// The dispatch threads.
pub struct Arbiters {
    arbiters: Vec<Arbiter>,
}

impl Arbiters {
    pub fn start(threads: usize) -> Self {
        Self { arbiters: (0..threads.max(1)).map(|_| Arbiter::new()).collect() }
    }

    /// The thread that owns an origin.
    pub fn of(&self, origin: &Origin) -> &Arbiter {
        let partition = xxhash_rust::xxh3::xxh3_64(origin.0.as_bytes()) % PARTITIONS;
        &self.arbiters[partition as usize % self.arbiters.len()]
    }

    /// Runs `work` once on each thread.
    pub fn each(&self, work: impl Fn() + Clone + Send + 'static) {
        for arbiter in &self.arbiters {
            let work = work.clone();
            // A thread that has ended needs no telling.
            let _ = arbiter.spawn_fn(work);
        }
    }

    pub fn stop(&self) {
        for arbiter in &self.arbiters {
            arbiter.stop();
        }
    }
}

/// What an endpoint is given when it starts on its thread.
#[derive(Clone)]
pub struct Home {
    pub common: Arc<Common>,
    pub router: Addr<Router>,
    /// It ran in this process before and retired in good order: nothing of its limits was spent then.
    pub retired: bool,
}
