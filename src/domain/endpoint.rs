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

impl LiveState {
    /// Holds in a row before the one in force, if one is: requests that ran side by side speak of the same one.
    pub fn holds_before(&self, now: Timestamp) -> u32 {
        self.consecutive_holds.saturating_sub(u32::from(self.is_held(now)))
    }

    /// The endpoint is held, or longer than it was.
    pub fn hold(&mut self, until: Timestamp, now: Timestamp) {
        if !self.is_held(now) {
            self.consecutive_holds = self.consecutive_holds.saturating_add(1);
        }
        self.hold_until = self.hold_until.max(Some(until));
    }

    fn is_held(&self, now: Timestamp) -> bool {
        self.hold_until.is_some_and(|until| until > now)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn holds_of_one_burst_are_one_hold() {
        let now = Timestamp::from_secs(1_000);
        let mut live = LiveState::default();
        for _ in 0..16 {
            assert_eq!(live.holds_before(now), 0, "each doubles nothing");
            live.hold(now + Duration::from_secs(1), now);
        }
        let later = now + Duration::from_secs(1);
        assert_eq!((live.consecutive_holds, live.holds_before(later)), (1, 1));
        live.hold(later + Duration::from_secs(2), later);
        assert_eq!((live.consecutive_holds, live.holds_before(later)), (2, 1));
    }
}
