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
    /// An event was accepted.
    Event {
        id: PublicId,
        deliveries: u32,
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

impl EndpointActivity {
    pub const ALL: [EndpointActivity; 9] = [
        Self::Quarantined,
        Self::Paused,
        Self::Open,
        Self::HalfOpen,
        Self::BackingOff,
        Self::Throttled,
        Self::Sending,
        Self::Waiting,
        Self::Idle,
    ];

    /// Its name in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Quarantined => "quarantined",
            Self::Paused => "paused",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::BackingOff => "backing_off",
            Self::Throttled => "throttled",
            Self::Sending => "sending",
            Self::Waiting => "waiting",
            Self::Idle => "idle",
        }
    }
}
