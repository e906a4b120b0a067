//! State changes as they are told to those who look on.

use serde::Serialize;

use super::delivery::DeliveryState;
use super::ids::{EndpointId, PublicId, WebhookId};

/// Something changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum StateChange {
    Delivery {
        id: PublicId,
        endpoint_id: EndpointId,
        webhook_id: WebhookId,
        state: DeliveryState,
        attempts: u32,
        status_code: Option<u16>,
    },
    Endpoint {
        id: EndpointId,
        state: EndpointActivity,
    },
}

/// Live state of an endpoint, first that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EndpointActivity {
    Quarantined,
    Paused,
    Open,
    HalfOpen,
    BackingOff,
    Throttled,
    Sending,
    Waiting,
    Idle,
}
