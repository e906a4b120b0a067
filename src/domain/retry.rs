//! What follows an attempt: delivered, retried or failed, and what it means for the endpoint.

use std::time::Duration;

use rand::Rng;

use super::attempt::{ErrorKind, Outcome};
use super::backoff::{delay, doubled};
use super::breaker::Signal;
use super::policy::Policy;
use super::time::Timestamp;

/// What becomes of the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    Delivered,
    /// Its next attempt is due at `at`. `counted`: this one used up an attempt.
    Retry {
        at: Timestamp,
        counted: bool,
    },
    Failed,
}

/// Everything an outcome decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    pub disposition: Disposition,
    /// The whole endpoint sends nothing before this.
    pub hold_until: Option<Timestamp>,
    /// 410: the receiver asks never to be called again.
    pub pause: bool,
    pub signal: Signal,
}

/// The attempt as the decision sees it.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances {
    /// Attempts that counted since it was last queued, without this one.
    pub attempts: u32,
    /// Time since its first attempt since it was last queued, without pauses.
    pub age: Duration,
    /// It was the breaker's probe.
    pub probe: bool,
    /// Holds in a row at this endpoint, without this one.
    pub consecutive_holds: u32,
    /// A 410 from a templated URL speaks of one object, not of the endpoint.
    pub templated: bool,
}

/// The kinds of failure that may be retried.
enum Failure {
    /// Nobody is there: counts for the breaker; as a probe it uses up no attempt.
    Unavailable,
    /// Written but not answered: counts for the breaker, uses an attempt.
    Unanswered,
    /// Answered, but not with success: uses an attempt, says nothing against the endpoint.
    Rejected,
    /// A fault of ours: uses an attempt.
    Internal,
}

/// Decides what follows `outcome`.
pub fn decide(outcome: &Outcome, policy: &Policy, c: Circumstances, now: Timestamp, rng: &mut impl Rng) -> Decision {
    let (status, retry_after) = match *outcome {
        Outcome::Answered { status, retry_after } => (status, retry_after),
        Outcome::Unreached { .. } => return retry(Failure::Unavailable, policy, c, now, rng),
        Outcome::Unanswered { .. } => return retry(Failure::Unanswered, policy, c, now, rng),
        Outcome::Internal => return retry(Failure::Internal, policy, c, now, rng),
        Outcome::Refused { kind } => {
            // A refused address says nothing of the endpoint; an answer too large came from a living one.
            let signal = if kind == ErrorKind::TooLarge { Signal::Alive } else { Signal::Neutral };
            return Decision { disposition: Disposition::Failed, hold_until: None, pause: false, signal };
        }
    };
    match status {
        200..=299 => {
            Decision { disposition: Disposition::Delivered, hold_until: None, pause: false, signal: Signal::Alive }
        }
        429 => hold(retry_after, policy, c, now),
        503 if retry_after.is_some() => hold(retry_after, policy, c, now),
        502..=504 => {
            let decision = retry(Failure::Unavailable, policy, c, now, rng);
            let hold_until = (status == 503).then(|| now + hold_wait(None, policy, c.consecutive_holds));
            Decision { hold_until, ..decision }
        }
        408 | 425 | 500..=599 => retry(Failure::Rejected, policy, c, now, rng),
        _ => Decision {
            disposition: Disposition::Failed,
            hold_until: None,
            pause: status == 410 && !c.templated,
            signal: Signal::Alive,
        },
    }
}

fn retry(failure: Failure, policy: &Policy, c: Circumstances, now: Timestamp, rng: &mut impl Rng) -> Decision {
    let signal = match failure {
        Failure::Unavailable | Failure::Unanswered => Signal::Failure,
        Failure::Rejected => Signal::Alive,
        Failure::Internal => Signal::Neutral,
    };
    let counted = !(c.probe && matches!(failure, Failure::Unavailable));
    let attempts = c.attempts + u32::from(counted);
    let at = now + delay(policy, attempts.max(1), rng);
    let used_up = attempts >= policy.max_attempts;
    let disposition =
        if used_up || expired(policy, c.age) { Disposition::Failed } else { Disposition::Retry { at, counted } };
    Decision { disposition, hold_until: None, pause: false, signal }
}

fn hold(retry_after: Option<Duration>, policy: &Policy, c: Circumstances, now: Timestamp) -> Decision {
    let until = now + hold_wait(retry_after, policy, c.consecutive_holds);
    let disposition =
        if expired(policy, c.age) { Disposition::Failed } else { Disposition::Retry { at: until, counted: false } };
    Decision { disposition, hold_until: Some(until), pause: false, signal: Signal::Neutral }
}

fn hold_wait(retry_after: Option<Duration>, policy: &Policy, consecutive_holds: u32) -> Duration {
    match retry_after.filter(|asked| !asked.is_zero()) {
        Some(asked) => asked.min(policy.retry_after_max),
        // "At once" is no wait at all: without one a 429 would be answered by a flood that uses up no attempts.
        None => doubled(policy.backoff_initial, consecutive_holds, policy.breaker_cooldown_max),
    }
}

/// Whether a delivery of this age is given up.
pub fn expired(policy: &Policy, age: Duration) -> bool {
    policy.max_age.is_some_and(|max| age >= max)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Timestamp = Timestamp(1_000_000_000_000);

    fn first() -> Circumstances {
        Circumstances { attempts: 0, age: Duration::ZERO, probe: false, consecutive_holds: 0, templated: false }
    }

    fn decided(outcome: &Outcome, c: Circumstances) -> Decision {
        decide(outcome, &Policy::default(), c, T0, &mut rand::rng())
    }

    fn answered(status: u16, retry_after_secs: Option<u64>) -> Outcome {
        Outcome::Answered { status, retry_after: retry_after_secs.map(Duration::from_secs) }
    }

    /// What an outcome means, in one letter each: what becomes of the delivery (delivered, counted or free retry,
    /// failed), what it says of the endpoint (alive, failure, neutral), whether all wait (hold).
    fn letters(decision: &Decision) -> String {
        let disposition = match decision.disposition {
            Disposition::Delivered => 'D',
            Disposition::Retry { counted: true, .. } => 'C',
            Disposition::Retry { counted: false, .. } => 'F',
            Disposition::Failed => 'X',
        };
        let signal = match decision.signal {
            Signal::Alive => 'A',
            Signal::Failure => 'F',
            Signal::Neutral => 'N',
        };
        let hold = if decision.hold_until.is_some() { "H" } else { "" };
        let pause = if decision.pause { "P" } else { "" };
        format!("{disposition}{signal}{hold}{pause}")
    }

    #[test]
    fn the_table_of_outcomes() {
        let unreached = |kind| Outcome::Unreached { kind };
        let unanswered = |kind| Outcome::Unanswered { kind };
        let refused = |kind| Outcome::Refused { kind };
        #[rustfmt::skip]
        let table = [
            (answered(200, None), "DA", "DA"), (answered(204, None), "DA", "DA"), (answered(299, None), "DA", "DA"),
            (answered(301, None), "XA", "XA"), (answered(302, None), "XA", "XA"), (answered(304, None), "XA", "XA"),
            (answered(400, None), "XA", "XA"), (answered(404, None), "XA", "XA"), (answered(422, None), "XA", "XA"),
            (answered(410, None), "XAP", "XAP"),
            (answered(408, None), "CA", "CA"), (answered(425, None), "CA", "CA"),
            (answered(500, None), "CA", "CA"), (answered(501, None), "CA", "CA"), (answered(599, None), "CA", "CA"),
            // Unavailable: as the breaker's probe it uses up no attempt.
            (answered(502, None), "CF", "FF"), (answered(504, None), "CF", "FF"), (answered(503, None), "CFH", "FFH"),
            (unreached(ErrorKind::Dns), "CF", "FF"), (unreached(ErrorKind::Connect), "CF", "FF"),
            (unreached(ErrorKind::Tls), "CF", "FF"),
            // Unanswered: always uses one, so that a delivery that hangs its receiver ends.
            (unanswered(ErrorKind::Timeout), "CF", "CF"), (unanswered(ErrorKind::Reset), "CF", "CF"),
            // Holds use none and are not counted.
            (answered(429, None), "FNH", "FNH"), (answered(429, Some(7)), "FNH", "FNH"),
            (answered(503, Some(7)), "FNH", "FNH"),
            (refused(ErrorKind::Blocked), "XN", "XN"), (refused(ErrorKind::Template), "XN", "XN"),
            (refused(ErrorKind::Expired), "XN", "XN"), (refused(ErrorKind::TooLarge), "XA", "XA"),
            (Outcome::Internal, "CN", "CN"),
        ];
        for (outcome, plain, as_probe) in table {
            assert_eq!(letters(&decided(&outcome, first())), plain, "{outcome:?}");
            assert_eq!(letters(&decided(&outcome, Circumstances { probe: true, ..first() })), as_probe, "{outcome:?}");
        }
    }

    #[test]
    fn a_410_from_a_template_speaks_of_one_object_only() {
        let c = Circumstances { templated: true, ..first() };
        assert_eq!(letters(&decided(&answered(410, None), c)), "XA");
    }

    #[test]
    fn attempts_are_used_up_by_rejections_but_not_by_holds() {
        let last = Circumstances { attempts: Policy::default().max_attempts - 1, ..first() };
        assert_eq!(decided(&answered(500, None), last).disposition, Disposition::Failed);
        let held = decided(&answered(429, Some(7)), last);
        let at = T0 + Duration::from_secs(7);
        assert_eq!(held.disposition, Disposition::Retry { at, counted: false });
        assert_eq!(held.hold_until, Some(at));
    }

    #[test]
    fn a_dead_host_uses_up_no_attempt_while_it_is_only_probed() {
        let probe = Circumstances { attempts: Policy::default().max_attempts - 1, probe: true, ..first() };
        let decision = decided(&Outcome::Unreached { kind: ErrorKind::Connect }, probe);
        assert!(matches!(decision.disposition, Disposition::Retry { counted: false, .. }));
    }

    #[test]
    fn a_hold_without_retry_after_doubles_up_to_the_cooldown_cap() {
        let wait = |holds| {
            let c = Circumstances { consecutive_holds: holds, ..first() };
            decided(&answered(429, None), c).hold_until.map(|t| t.since(T0).as_secs())
        };
        assert_eq!([0, 1, 2, 8, 9, 400].map(wait), [1, 2, 4, 256, 300, 300].map(Some));
    }

    #[test]
    fn a_retry_after_of_zero_is_none() {
        assert_eq!(decided(&answered(429, Some(0)), first()), decided(&answered(429, None), first()));
    }

    #[test]
    fn age_ends_retries_and_holds() {
        let old = Circumstances { age: Duration::from_secs(72 * 3_600), ..first() };
        for outcome in [answered(500, None), answered(429, Some(7)), Outcome::Unreached { kind: ErrorKind::Dns }] {
            assert_eq!(decided(&outcome, old).disposition, Disposition::Failed, "{outcome:?}");
        }
        let forever = Policy { max_age: None, ..Policy::default() };
        assert!(!expired(&forever, Duration::MAX));
    }

    fn outcome() -> impl Strategy<Value = Outcome> {
        prop_oneof![
            (100u16..=599, prop::option::of(0u64..1_000_000)).prop_map(|(s, r)| answered(s, r)),
            prop_oneof![Just(ErrorKind::Dns), Just(ErrorKind::Connect), Just(ErrorKind::Tls)]
                .prop_map(|kind| Outcome::Unreached { kind }),
            prop_oneof![Just(ErrorKind::Timeout), Just(ErrorKind::Reset)].prop_map(|kind| Outcome::Unanswered { kind }),
            prop_oneof![Just(ErrorKind::Blocked), Just(ErrorKind::Template)].prop_map(|kind| Outcome::Refused { kind }),
            Just(Outcome::Internal),
        ]
    }

    proptest! {
        #[test]
        fn every_wait_is_bounded_and_only_success_delivers(
            outcome in outcome(), attempts in 0u32..100, probe: bool, holds in 0u32..100, age_s in 0u64..400_000,
        ) {
            let policy = Policy::default();
            let c = Circumstances {
                attempts, probe, consecutive_holds: holds, age: Duration::from_secs(age_s), templated: false,
            };
            let decision = decide(&outcome, &policy, c, T0, &mut rand::rng());
            let succeeded = matches!(outcome, Outcome::Answered { status: 200..=299, .. });
            prop_assert_eq!(decision.disposition == Disposition::Delivered, succeeded);
            let longest = policy.backoff_max.max(policy.retry_after_max).mul_f64(1.1);
            if let Disposition::Retry { at, counted } = decision.disposition {
                prop_assert!(at > T0 && at <= T0 + longest);
                prop_assert!(!counted || attempts + 1 < policy.max_attempts);
                prop_assert!(!expired(&policy, c.age));
            }
            if let Some(until) = decision.hold_until {
                prop_assert!(until > T0 && until <= T0 + longest);
            }
        }
    }
}
