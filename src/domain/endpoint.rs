//! An endpoint: one payload URL with its live state.

use serde::{Deserialize, Serialize};

use super::breaker::Breaker;
use super::ids::EndpointId;
use super::payload_url::Origin;
use super::time::Timestamp;

/// The unchanging part of an endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoint {
    pub id: EndpointId,
    /// Normalised payload URL, see [`super::payload_url::PayloadUrl::endpoint_key`].
    pub url: std::sync::Arc<str>,
    pub origin: Origin,
}

/// What a person (or a 410) ordered for an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "control")]
pub enum Control {
    #[default]
    Active,
    Paused {
        by: String,
        since: Timestamp,
    },
    /// Its actor crashed three times in ten minutes.
    Quarantined {
        since: Timestamp,
    },
}

/// What must survive retirement, restart and a change of owner. Written with the record that changed it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct LiveState {
    pub breaker: Breaker,
    /// Nothing is sent before this: a `Retry-After` or the backoff of a 429 or 503.
    pub hold_until: Option<Timestamp>,
    /// Holds in a row without a 2xx between them.
    pub consecutive_holds: u32,
    pub consecutive_failures: u32,
    pub last_success_at: Option<Timestamp>,
    pub last_error: Option<String>,
    /// Microseconds it has been paused in all, up to the last resume; age of deliveries stands still meanwhile.
    pub paused_total_us: i64,
    /// When a person last resumed it, which also closes the breaker and ends a hold.
    pub resumed_at: Option<Timestamp>,
}
