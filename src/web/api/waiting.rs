//! What a waiting delivery waits for, and until when. Pure.

use serde::Serialize;

use crate::dispatch::Inspection;
use crate::domain::delivery::DeliveryState;
use crate::domain::endpoint::Control;
use crate::domain::ids::PublicId;
use crate::domain::time::Timestamp;
use crate::domain::webhook::Webhook;
use crate::store::Health;
use crate::store::archive::DeliveryRow;

/// `waiting_for` of a delivery.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaitingFor {
    pub reason: &'static str,
    /// `null`: nobody can say.
    pub until: Option<Timestamp>,
    /// The delivery before it, with reason `behind`.
    pub behind: Option<PublicId>,
}

impl WaitingFor {
    fn new(reason: &'static str, until: Option<Timestamp>) -> Self {
        Self { reason, until, behind: None }
    }
}

/// All that bears on a delivery besides itself.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// `webhooks.enabled` of the configuration.
    pub service_enabled: bool,
    pub health: &'a Health,
    /// `None`: deleted.
    pub webhook: Option<&'a Webhook>,
    pub control: &'a Control,
    pub inspection: Option<&'a Inspection>,
    pub now: Timestamp,
}

/// The first thing that must change before the delivery can be sent; `None`: it is in flight, finished or about to go.
///
/// What only a person can change comes first, then the delivery before it, then its own backoff or the endpoint's
/// throttle, whichever ends later.
pub fn waiting_for(row: &DeliveryRow, c: Circumstances<'_>) -> Option<WaitingFor> {
    if !matches!(row.state, DeliveryState::Pending | DeliveryState::Retrying) {
        return None;
    }
    if let Some(reason) = ordered(c) {
        return Some(WaitingFor::new(reason, None));
    }
    if let Some(before) = row.behind {
        return Some(WaitingFor { reason: "behind", until: None, behind: Some(before) });
    }
    let blocked = c.inspection.and_then(|i| i.blocked_by).map(|w| WaitingFor::new(w.reason, w.until));
    let backoff = row.next_attempt_at.filter(|at| *at > c.now);
    match (backoff, blocked) {
        (Some(at), Some(blocked)) if blocked.until.is_some_and(|until| until >= at) => Some(blocked),
        (Some(at), _) => Some(WaitingFor::new("backoff", Some(at))),
        (None, blocked) => blocked,
    }
}

/// What somebody ordered, or must repair.
fn ordered(c: Circumstances<'_>) -> Option<&'static str> {
    if !c.service_enabled {
        return Some("service_disabled");
    }
    if matches!(c.health, Health::Failed(_)) {
        return Some("store");
    }
    match c.webhook {
        Some(webhook) if webhook.moving => return Some("moving"),
        Some(webhook) if !webhook.active() => return Some("disabled"),
        _ => {}
    }
    match c.control {
        Control::Active => None,
        Control::Paused { .. } => Some("paused"),
        Control::Quarantined { .. } => Some("quarantined"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::config::policy::Resolved;
    use crate::dispatch::Waiting;
    use crate::domain::change::EndpointActivity;
    use crate::domain::event::EventType;
    use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
    use crate::domain::policy::Policy;
    use crate::store::archive::EventRow;

    fn row(state: DeliveryState, next_attempt_at: Option<Timestamp>, behind: Option<PublicId>) -> DeliveryRow {
        let seq = EventSeq(1);
        let event = EventRow {
            seq,
            id: seq.public(Timestamp(0)),
            received_at: Timestamp(0),
            event_type: EventType::Created,
            model: "dcim.site".into(),
            object_id: Some("1".into()),
            request_id: None,
            deliveries: 1,
        };
        DeliveryRow {
            id: DeliveryId::new(seq, 0),
            public_id: DeliveryId::new(seq, 0).public(Timestamp(0)),
            event,
            webhook: WebhookId(1),
            endpoint: EndpointId(1),
            state,
            attempts: 0,
            next_attempt_at,
            finished_at: None,
            status_code: None,
            error: None,
            latency: None,
            created_at: Timestamp(0),
            superseded_by: None,
            resend_of: None,
            test: false,
            folded_from: None,
            behind,
        }
    }

    fn inspection(blocked_by: Option<Waiting>) -> Inspection {
        Inspection {
            activity: EndpointActivity::Idle,
            blocked_by,
            in_flight: 0,
            consecutive_failures: 0,
            last_success_at: None,
            last_error: None,
            rate: 0.0,
            latency_ms: None,
            policy: Resolved { policy: Policy::default(), origins: BTreeMap::new() },
        }
    }

    fn reason(
        row: &DeliveryRow,
        control: &Control,
        blocked_by: Option<Waiting>,
    ) -> Option<(&'static str, Option<i64>)> {
        let inspection = inspection(blocked_by);
        let c = Circumstances {
            service_enabled: true,
            health: &Health::Ok,
            webhook: None,
            control,
            inspection: Some(&inspection),
            now: Timestamp(100),
        };
        waiting_for(row, c).map(|w| (w.reason, w.until.map(Timestamp::as_micros)))
    }

    #[test]
    fn what_is_finished_or_on_its_way_waits_for_nothing() {
        let paused = Control::Paused { by: "x".into(), since: Timestamp(0) };
        for state in DeliveryState::ALL {
            let waits = matches!(state, DeliveryState::Pending | DeliveryState::Retrying);
            assert_eq!(reason(&row(state, None, None), &paused, None).is_some(), waits, "{state:?}");
        }
    }

    #[test]
    fn the_later_of_backoff_and_throttle_is_named() {
        let retrying = row(DeliveryState::Retrying, Some(Timestamp(200)), None);
        let hold = |until| Some(Waiting { reason: "retry_after", until: Some(Timestamp(until)) });
        assert_eq!(reason(&retrying, &Control::Active, None), Some(("backoff", Some(200))));
        assert_eq!(reason(&retrying, &Control::Active, hold(150)), Some(("backoff", Some(200))));
        assert_eq!(reason(&retrying, &Control::Active, hold(300)), Some(("retry_after", Some(300))));
        let due = row(DeliveryState::Retrying, Some(Timestamp(50)), None);
        assert_eq!(reason(&due, &Control::Active, None), None);
        assert_eq!(reason(&due, &Control::Active, hold(150)), Some(("retry_after", Some(150))));
    }

    #[test]
    fn orders_come_before_order() {
        let before = DeliveryId::new(EventSeq(1), 7).public(Timestamp(0));
        let second = row(DeliveryState::Pending, None, Some(before));
        let paused = Control::Paused { by: "x".into(), since: Timestamp(0) };
        assert_eq!(reason(&second, &paused, None), Some(("paused", None)));
        assert_eq!(reason(&second, &Control::Active, None), Some(("behind", None)));
    }
}
