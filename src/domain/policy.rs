//! Delivery policy: how an endpoint is sent to. The keys of `[delivery]`, `[[endpoint]]` and
//! `PATCH /api/endpoints/{id}/`.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Who waits when a delivery fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ordering {
    /// Its object.
    #[default]
    Object,
    /// Everyone at this endpoint: strict first in, first out.
    Endpoint,
    /// Nobody.
    None,
}

/// `count` requests in each `per`, evenly spaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub count: u32,
    pub per: Duration,
}

/// The policy in force at one endpoint. Each field is the configuration key of the same name.
#[derive(Clone, Debug, PartialEq)]
pub struct Policy {
    pub timeout: Duration,
    pub connect_timeout: Duration,
    pub ordering: Ordering,
    pub concurrency: u32,
    pub rate_limit: Option<Rate>,
    pub burst: u32,
    pub coalesce: bool,
    pub max_attempts: u32,
    pub backoff_initial: Duration,
    pub backoff_max: Duration,
    pub breaker_threshold: u32,
    pub breaker_cooldown: Duration,
    pub breaker_cooldown_max: Duration,
    pub retry_after_max: Duration,
    /// `None`: a delivery may wait for ever.
    pub max_age: Option<Duration>,
    /// Shared by all endpoints of the origin; set by `[delivery]` or an `[[endpoint]]` of a whole origin only.
    pub origin_rate_limit: Option<Rate>,
    pub origin_burst: u32,
    pub origin_concurrency: u32,
}

impl Default for Policy {
    fn default() -> Self {
        let secs = Duration::from_secs;
        Self {
            timeout: secs(30),
            connect_timeout: secs(5),
            ordering: Ordering::Object,
            concurrency: 1,
            rate_limit: None,
            burst: 1,
            coalesce: false,
            max_attempts: 25,
            backoff_initial: secs(1),
            backoff_max: secs(3_600),
            breaker_threshold: 10,
            breaker_cooldown: secs(30),
            breaker_cooldown_max: secs(300),
            retry_after_max: secs(3_600),
            max_age: Some(secs(72 * 3_600)),
            origin_rate_limit: None,
            origin_burst: 1,
            origin_concurrency: 64,
        }
    }
}
