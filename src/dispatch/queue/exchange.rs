//! What the queue is told and what it asks for.

use crate::domain::ids::DeliveryId;
use crate::domain::time::Timestamp;
use crate::store::{Head, Ready};

/// Whether anything may be started now, as the endpoint's limits say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    /// So many, besides the queue's own concurrency.
    Open(usize),
    /// One, to find out whether the endpoint lives: the due head with the fewest attempts.
    Probe,
    /// Nothing before `until`; `None`: until an event says otherwise.
    Closed { until: Option<Timestamp> },
    /// The breaker is open: nothing before `until` but the head that a person asked for, as a probe.
    Broken { until: Option<Timestamp>, asked: Option<Head> },
    /// Nothing until a person resumes it; nothing is loaded meanwhile.
    Stopped,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum Input {
    /// The store may have new heads.
    Wake,
    /// People changed what waits: nothing held is to be trusted.
    Recall,
    /// The answer to [`Effect::Load`].
    Loaded(Ready),
    /// The answer to [`Effect::Start`]: these of the started were refused.
    Started { gone: Vec<DeliveryId> },
    /// An attempt's outcome was recorded (or its delivery given back).
    Finished(Finished),
    /// The store did not do what an effect asked.
    StoreFailed(Asked),
    /// Start nothing more.
    Drain,
}

#[derive(Clone, Copy, Debug)]
pub struct Finished {
    pub id: DeliveryId,
    /// The key's next head; one that is not due yet is waited for.
    pub successor: Option<Head>,
    /// When the delivery itself is due again.
    pub retry_at: Option<Timestamp>,
}

/// What was asked of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Load,
    Start,
    Record(DeliveryId),
}

/// What to do now. The last three end a turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    Load {
        limit: usize,
        held: Vec<DeliveryId>,
    },
    Start(Vec<DeliveryId>),
    /// Their outcomes are not recorded yet: try again.
    Record(Vec<DeliveryId>),
    /// Nothing until an input or, if given, that instant.
    Wait(Option<Timestamp>),
    /// Nothing is left to do here.
    ReportIdle,
    /// After [`Input::Drain`]: nothing is in flight any more.
    Drained,
}
