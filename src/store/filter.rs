//! Which deliveries or events an operation by filter means.

use std::time::Duration;

use crate::domain::attempt::ErrorKind;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::{EndpointId, EventSeq, WebhookId};
use crate::domain::time::Timestamp;

/// Empty lists mean "any".
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    pub states: Vec<DeliveryState>,
    pub webhooks: Vec<WebhookId>,
    pub endpoints: Vec<EndpointId>,
    pub events: Vec<EventSeq>,
    /// Labels, `dcim.site`.
    pub models: Vec<String>,
    pub object_ids: Vec<String>,
    pub event_types: Vec<EventType>,
    pub request_ids: Vec<String>,
    /// What came of the last attempt.
    pub errors: Vec<ErrorKind>,
    pub status_codes: Vec<u16>,
    /// Requests made by `test/` alone, or all but them.
    pub test: Option<bool>,
    pub created: Between<Timestamp>,
    /// Attempts ever recorded.
    pub attempts: Between<u32>,
    /// Of the last attempt.
    pub latency: Between<Duration>,
    /// Only what is retrying has a next attempt.
    pub next_attempt: Between<Timestamp>,
    /// Of events: whether some webhook wanted them.
    pub matched: Option<bool>,
    /// Text, case-insensitive: part of an event's model, object id or request id; of deliveries also part of the
    /// webhook's name, the payload URL, the kind of error or its detail, or the whole status code.
    pub q: Option<String>,
}

impl Filter {
    /// The states that can match; `None`: any. What has a next attempt is retrying.
    pub fn wanted_states(&self) -> Option<Vec<DeliveryState>> {
        let any = self.states.is_empty();
        match self.next_attempt.is_any() {
            true => (!any).then(|| self.states.clone()),
            false if any || self.states.contains(&DeliveryState::Retrying) => Some(vec![DeliveryState::Retrying]),
            false => Some(Vec::new()),
        }
    }
}

/// From `gte` on, up to and without `lt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between<T> {
    pub gte: Option<T>,
    pub lt: Option<T>,
}

impl<T> Default for Between<T> {
    fn default() -> Self {
        Self { gte: None, lt: None }
    }
}

impl<T> Between<T> {
    pub const fn is_any(&self) -> bool {
        self.gte.is_none() && self.lt.is_none()
    }
}
