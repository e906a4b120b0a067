//! The actors: one `Router`, one `EndpointActor` per payload URL with work, and the timers beside
//! them.
//!
//! Messages are hints; the store is the truth. What a person orders is a store write followed by a wake.

use std::sync::Arc;

use crate::config::ConfigWatch;
use crate::config::policy::Resolved;
use crate::domain::change::EndpointActivity;
use crate::domain::time::Timestamp;
use crate::store::Store;

mod arbiters;
mod attempt;
mod bucket;
mod bulk;
mod core;
mod endpoint;
mod expiry;
mod fair;
mod figures;
mod handle;
mod limits;
mod messages;
mod pace;
mod pruner;
mod queue;
mod router;
mod stats;

pub use figures::Lag;
pub use handle::Dispatcher;
pub use stats::{Minute, RecentAttempt};

/// What the dispatcher is made of.
pub struct Deps {
    pub store: Arc<dyn Store>,
    pub config: ConfigWatch,
    /// Dispatch threads, at least 1.
    pub threads: usize,
}

/// What a waiting head waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    pub reason: &'static str,
    pub until: Option<Timestamp>,
}

/// Live numbers of one endpoint; what the store cannot know.
#[derive(Clone, Debug)]
pub struct Inspection {
    pub activity: EndpointActivity,
    /// What keeps due heads from starting now, if anything.
    pub blocked_by: Option<Waiting>,
    pub in_flight: usize,
    pub consecutive_failures: u32,
    pub last_success_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Deliveries per second over the last minute.
    pub rate: f64,
    /// p50, p95, p99 in milliseconds over recent attempts.
    pub latency_ms: Option<[f64; 3]>,
    pub policy: Resolved,
}
