//! Exponential backoff with jitter that only ever adds.

use std::time::Duration;

use rand::Rng;

use super::policy::Policy;

/// Share of the wait that jitter may add.
const JITTER: f64 = 0.1;

/// The wait before attempt `attempts + 1`, without jitter: `backoff_initial × 2^(attempts - 1)`, at most `backoff_max`.
pub fn base(policy: &Policy, attempts: u32) -> Duration {
    doubled(policy.backoff_initial, attempts.saturating_sub(1), policy.backoff_max)
}

/// [`base`] plus up to 10 %, so that what failed together does not come back together.
pub fn delay(policy: &Policy, attempts: u32, rng: &mut impl Rng) -> Duration {
    let base = base(policy, attempts);
    base + base.mul_f64(rng.random_range(0.0..JITTER))
}

/// `initial × 2^times`, at most `max`; never overflows.
pub fn doubled(initial: Duration, times: u32, max: Duration) -> Duration {
    let factor = 1u32.checked_shl(times.min(31)).unwrap_or(u32::MAX);
    initial.checked_mul(factor).map_or(max, |d| d.min(max))
}

/// The whole schedule of waits between attempts, as `check` prints it.
pub fn schedule(policy: &Policy) -> Vec<Duration> {
    (1..policy.max_attempts).map(|n| base(policy, n)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_shipped_schedule_lasts_about_thirteen_hours() {
        let schedule = schedule(&Policy::default());
        assert_eq!(schedule.len(), 24);
        assert_eq!(schedule[..4].iter().map(Duration::as_secs).collect::<Vec<_>>(), [1, 2, 4, 8]);
        assert_eq!(schedule[11].as_secs(), 2_048, "34 minutes before it turns hourly");
        assert!(schedule[12..].iter().all(|wait| wait.as_secs() == 3_600));
        assert_eq!(schedule.iter().sum::<Duration>().as_secs() / 3_600, 13);
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_at_most_a_tenth(attempts in 0u32..u32::MAX, initial_ms in 1u64..1_000_000, max_ms in 1u64..100_000_000) {
            let policy = Policy {
                backoff_initial: Duration::from_millis(initial_ms),
                backoff_max: Duration::from_millis(max_ms),
                ..Policy::default()
            };
            let base = base(&policy, attempts);
            let with_jitter = delay(&policy, attempts, &mut rand::rng());
            prop_assert!(base <= policy.backoff_max);
            prop_assert!(with_jitter >= base && with_jitter <= base.mul_f64(1.0 + JITTER));
        }

        #[test]
        fn a_later_attempt_never_waits_less(attempts in 0u32..1_000) {
            let policy = Policy::default();
            prop_assert!(base(&policy, attempts) <= base(&policy, attempts + 1));
        }
    }
}
