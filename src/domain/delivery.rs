//! A delivery and the life it leads.

use serde::{Deserialize, Serialize};

/// Where a delivery stands.
///
/// ```text
/// pending -> in_flight -> delivered | retrying | failed        retrying -> in_flight
/// pending | retrying -> canceled        pending, never attempted -> superseded
/// failed | canceled -> pending (manual retry)
/// ```
/// `in_flight` is never on disk: after a restart it is `pending` or `retrying` again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    Pending,
    InFlight,
    Retrying,
    Delivered,
    Failed,
    Superseded,
    Canceled,
}

impl DeliveryState {
    pub const ALL: [DeliveryState; 7] = [
        Self::Pending,
        Self::InFlight,
        Self::Retrying,
        Self::Delivered,
        Self::Failed,
        Self::Superseded,
        Self::Canceled,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::InFlight => "in_flight",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Superseded => "superseded",
            Self::Canceled => "canceled",
        }
    }

    /// Whether it still holds up what lies behind it.
    pub const fn unfinished(self) -> bool {
        matches!(self, Self::Pending | Self::InFlight | Self::Retrying)
    }

    /// Number on disk. Unfinished ones are below 2, so partial indexes can name them.
    pub const fn code(self) -> i64 {
        match self {
            Self::Pending | Self::InFlight => 0,
            Self::Retrying => 1,
            Self::Delivered => 2,
            Self::Failed => 3,
            Self::Superseded => 4,
            Self::Canceled => 5,
        }
    }

    pub const fn from_code(code: i64) -> Option<Self> {
        Some(match code {
            0 => Self::Pending,
            1 => Self::Retrying,
            2 => Self::Delivered,
            3 => Self::Failed,
            4 => Self::Superseded,
            5 => Self::Canceled,
            _ => return None,
        })
    }
}

impl std::str::FromStr for DeliveryState {
    type Err = String;
    fn from_str(s: &str) -> Result<Self, String> {
        Self::ALL.into_iter().find(|state| state.as_str() == s).ok_or_else(|| {
            let known: Vec<_> = Self::ALL.iter().map(|s| s.as_str()).collect();
            format!("\"{s}\" is not a delivery state; one of {}", known.join(", "))
        })
    }
}
