//! The circuit breaker of an endpoint, as a plain state machine.

use serde::{Deserialize, Serialize};

use super::backoff::doubled;
use super::policy::Policy;
use super::time::Timestamp;

/// `closed` sends, `open` sends nothing, `half_open` waits for one probe's outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Breaker {
    #[default]
    Closed,
    Open {
        until: Timestamp,
        openings: u32,
    },
    HalfOpen {
        openings: u32,
    },
}

/// What an outcome says about the endpoint as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// It answered, so it is alive: any answer that does not count against it.
    Alive,
    /// Unavailable or unanswered.
    Failure,
    /// Says nothing: a 429, a fault of ours, a test request.
    Neutral,
}

/// What may be started now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// As much as the other limits allow.
    All,
    /// One request, to find out.
    Probe,
    /// Nothing before the instant; `None`: until the probe in flight has ended.
    Nothing { until: Option<Timestamp> },
}

impl Breaker {
    pub fn allowed(self, now: Timestamp) -> Allowed {
        match self {
            Self::Closed => Allowed::All,
            Self::Open { until, .. } if now >= until => Allowed::Probe,
            Self::Open { until, .. } => Allowed::Nothing { until: Some(until) },
            Self::HalfOpen { .. } => Allowed::Nothing { until: None },
        }
    }

    /// A probe was started.
    pub fn probing(self) -> Self {
        match self {
            Self::Open { openings, .. } | Self::HalfOpen { openings } => Self::HalfOpen { openings },
            Self::Closed => Self::Closed,
        }
    }

    /// An attempt ended. `failures` is the count of consecutive failures including this one; `probe`: it was the one
    /// request that a half-open breaker waits for.
    ///
    /// A neutral outcome of the probe opens the breaker again at once due, so that the next head probes. Requests that
    /// were already in flight when it opened say nothing more, unless one of them shows the endpoint to be alive.
    pub fn after(self, signal: Signal, probe: bool, failures: u32, policy: &Policy, now: Timestamp) -> Self {
        match (self, signal) {
            (_, Signal::Alive) => Self::Closed,
            (Self::HalfOpen { openings }, Signal::Failure) if probe => {
                Self::open(openings.saturating_add(1), policy, now)
            }
            (Self::HalfOpen { openings }, Signal::Neutral) if probe => Self::Open { until: now, openings },
            (Self::Closed, Signal::Failure) if failures >= policy.breaker_threshold => Self::open(1, policy, now),
            (state, _) => state,
        }
    }

    /// A restart forgets the probe in flight: it is due again.
    pub fn restored(self, now: Timestamp) -> Self {
        match self {
            Self::HalfOpen { openings } => Self::Open { until: now, openings },
            state => state,
        }
    }

    fn open(openings: u32, policy: &Policy, now: Timestamp) -> Self {
        let cooldown = doubled(policy.breaker_cooldown, openings.saturating_sub(1), policy.breaker_cooldown_max);
        Self::Open { until: now + cooldown, openings }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Timestamp = Timestamp(1_000_000_000);

    fn after_failures(n: u32, policy: &Policy) -> Breaker {
        (1..=n).fold(Breaker::Closed, |b, failures| b.after(Signal::Failure, false, failures, policy, T0))
    }

    #[test]
    fn it_opens_at_the_threshold_and_not_before() {
        let policy = Policy::default();
        assert_eq!(after_failures(9, &policy), Breaker::Closed);
        let open = after_failures(10, &policy);
        assert_eq!(open, Breaker::Open { until: T0 + policy.breaker_cooldown, openings: 1 });
        assert_eq!(open.allowed(T0), Allowed::Nothing { until: Some(T0 + policy.breaker_cooldown) });
        assert_eq!(open.allowed(T0 + policy.breaker_cooldown), Allowed::Probe);
    }

    #[test]
    fn the_cooldown_doubles_with_each_failed_probe_up_to_its_cap() {
        let policy = Policy::default();
        let mut breaker = after_failures(10, &policy);
        let mut waits = Vec::new();
        for _ in 0..6 {
            let Breaker::Open { until, .. } = breaker else { panic!("a failed probe opens again") };
            waits.push(until.since(T0).as_secs());
            breaker = breaker.probing().after(Signal::Failure, true, 11, &policy, T0);
        }
        assert_eq!(waits, [30, 60, 120, 240, 300, 300]);
    }

    #[test]
    fn while_half_open_nothing_more_is_started() {
        let probing = after_failures(10, &Policy::default()).probing();
        assert_eq!(probing.allowed(T0 + std::time::Duration::from_secs(9_999)), Allowed::Nothing { until: None });
    }

    #[test]
    fn a_straggler_does_not_decide_for_the_probe() {
        let policy = Policy::default();
        let probing = after_failures(10, &policy).probing();
        assert_eq!(probing.after(Signal::Failure, false, 11, &policy, T0), probing);
        assert_eq!(probing.after(Signal::Neutral, false, 11, &policy, T0), probing);
        assert_eq!(probing.after(Signal::Alive, false, 0, &policy, T0), Breaker::Closed);
    }

    #[test]
    fn a_neutral_probe_leaves_the_next_head_to_probe_at_once() {
        let policy = Policy::default();
        let next = after_failures(10, &policy).probing().after(Signal::Neutral, true, 10, &policy, T0);
        assert_eq!(next.allowed(T0), Allowed::Probe);
    }

    #[test]
    fn a_restart_forgets_the_probe_in_flight() {
        let probing = after_failures(10, &Policy::default()).probing();
        assert_eq!(probing.restored(T0).allowed(T0), Allowed::Probe);
    }

    fn signal() -> impl Strategy<Value = Signal> {
        prop_oneof![Just(Signal::Alive), Just(Signal::Failure), Just(Signal::Neutral)]
    }

    proptest! {
        #[test]
        fn it_never_stays_shut_for_longer_than_the_longest_cooldown(
            steps in prop::collection::vec((signal(), any::<bool>(), 0u64..400), 0..200),
        ) {
            let policy = Policy::default();
            let (mut breaker, mut now, mut failures) = (Breaker::Closed, T0, 0u32);
            for (signal, probe, wait) in steps {
                now = now + std::time::Duration::from_secs(wait);
                // Only what the breaker allows is started.
                let probe = match breaker.allowed(now) {
                    Allowed::Probe if probe => { breaker = breaker.probing(); true }
                    _ => matches!(breaker, Breaker::HalfOpen { .. }) && probe,
                };
                failures = if signal == Signal::Failure { failures + 1 } else { failures };
                if signal == Signal::Alive { failures = 0; }
                breaker = breaker.after(signal, probe, failures, &policy, now);
                match breaker {
                    Breaker::Closed => prop_assert!(failures < policy.breaker_threshold || signal != Signal::Failure),
                    Breaker::Open { until, .. } => prop_assert!(until <= now + policy.breaker_cooldown_max),
                    Breaker::HalfOpen { .. } => prop_assert!(!probe),
                }
            }
        }
    }
}
