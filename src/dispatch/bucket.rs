//! Rate limits: governor's GCRA on our own clock, with a state that can be carried from one rate to the next.
//!
//! In any window of time at most `rate × window + burst` tokens are taken: also across a restart, after which the
//! bucket starts empty, and across a change of the policy, which keeps the spent part. What was taken and not used is
//! given back.

use std::cell::Cell;
use std::num::NonZeroU32;
use std::ops::Add;
use std::rc::Rc;
use std::time::Duration;

use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{NotKeyed, StateStore};
use governor::{Quota, RateLimiter};

use crate::domain::policy::Rate;
use crate::domain::time::Timestamp;

/// Longest time in which a bucket fills up: ten years, so that no sum overflows.
const LONGEST_FILL: u64 = 315_360_000 * 1_000_000_000;

/// The tokens of one limit.
pub struct Bucket {
    limiter: RateLimiter<NotKeyed, Arrival, PaceClock, NoOpMiddleware<Moment>>,
    quota: Quota,
    arrival: Arrival,
    /// The arrival time if a shrunken burst had not cut what was spent: what a later, larger burst must remember.
    owed: Cell<u64>,
}

impl Bucket {
    /// One that was empty at `emptied`: when that is long ago it is full.
    pub fn emptied_at(rate: Rate, burst: u32, emptied: Timestamp) -> Self {
        let quota = quota(rate, burst);
        let spent = interval(&quota).saturating_mul(u64::from(quota.burst_size().get()));
        Self::with_arrival(quota, nanos(emptied).saturating_add(spent))
    }

    /// The same bucket under another limit: what is spent stays spent, in tokens.
    pub fn changed(&self, rate: Rate, burst: u32, now: Timestamp) -> Self {
        let new = quota(rate, burst);
        if new == self.quota {
            return Self { owed: self.owed.clone(), ..Self::with_arrival(new, self.arrival.0.get()) };
        }
        let spent = self.owed.get().saturating_sub(nanos(now)) as f64 / interval(&self.quota) as f64;
        let wait = |tokens: f64| nanos(now).saturating_add((tokens * interval(&new) as f64).ceil() as u64);
        let arrival = wait(spent.min(f64::from(new.burst_size().get())));
        Self { owed: Cell::new(wait(spent)), ..Self::with_arrival(new, arrival) }
    }

    /// Takes a token.
    ///
    /// # Errors
    /// When there is none: the instant of the next one, later than `now`.
    pub fn take(&self, now: Timestamp) -> Result<(), Timestamp> {
        self.limiter.clock().0.set(now);
        let next = |not: governor::NotUntil<Moment>| not.earliest_possible().0.max(now + Duration::from_micros(1));
        self.limiter.check().map_err(next)?;
        self.owed.set(self.owed.get().max(nanos(now)).saturating_add(interval(&self.quota)));
        Ok(())
    }

    /// Gives back a token that was taken and not used.
    pub fn give_back(&self) {
        // The state is the arrival time after all that was taken: one token less is one interval earlier.
        for arrival in [&*self.arrival.0, &self.owed] {
            arrival.set(arrival.get().saturating_sub(interval(&self.quota)));
        }
    }

    /// When it will be full if nothing more is taken.
    pub fn full_at(&self) -> Timestamp {
        let later = self.arrival.0.get().max(self.owed.get());
        Timestamp(i64::try_from(later.div_ceil(1_000)).unwrap_or(i64::MAX))
    }

    fn with_arrival(quota: Quota, arrival: u64) -> Self {
        let owed = Cell::new(arrival);
        let arrival = Arrival(Rc::new(Cell::new(arrival)));
        // Made at instant zero, so that all its instants are plain timestamps.
        let clock = PaceClock(Cell::new(Timestamp(0)));
        Self { limiter: RateLimiter::new(quota, arrival.clone(), clock), quota, arrival, owed }
    }
}

/// `count` tokens in each `per`, evenly spaced, rounded so that it is never faster.
fn quota(rate: Rate, burst: u32) -> Quota {
    let count = u128::from(rate.count.max(1));
    let interval = rate.per.as_nanos().div_ceil(count).clamp(1, u128::from(LONGEST_FILL)) as u64;
    let most = u32::try_from(LONGEST_FILL / interval).unwrap_or(u32::MAX);
    let burst = NonZeroU32::new(burst.min(most)).unwrap_or(NonZeroU32::MIN);
    Quota::with_period(Duration::from_nanos(interval))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MIN))
        .allow_burst(burst)
}

fn interval(quota: &Quota) -> u64 {
    u64::try_from(quota.replenish_interval().as_nanos()).unwrap_or(u64::MAX).max(1)
}

fn nanos(t: Timestamp) -> u64 {
    u64::try_from(t.as_micros()).unwrap_or(0).saturating_mul(1_000)
}

/// GCRA's only state, the theoretical arrival time in nanoseconds, where we can read and move it.
#[derive(Clone)]
struct Arrival(Rc<Cell<u64>>);

impl StateStore for Arrival {
    type Key = NotKeyed;

    fn measure_and_replace<T, F, E>(&self, _: &NotKeyed, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let (answer, next) = decide(Some(self.0.get().into()))?;
        self.0.set(next.into());
        Ok(answer)
    }
}

/// The instant that [`Bucket::take`] was told.
struct PaceClock(Cell<Timestamp>);

impl Clock for PaceClock {
    type Instant = Moment;

    fn now(&self) -> Moment {
        Moment(self.0.get())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Timestamp);

impl Add<Nanos> for Moment {
    type Output = Moment;

    /// Rounded up: never before the token is there.
    fn add(self, wait: Nanos) -> Moment {
        let micros = wait.as_u64().div_ceil(1_000);
        Moment(Timestamp(self.0.0.saturating_add(i64::try_from(micros).unwrap_or(i64::MAX))))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        Nanos::from(nanos(self.0).saturating_sub(nanos(earlier.0)))
    }

    fn saturating_sub(&self, duration: Nanos) -> Self {
        Moment(Timestamp(self.0.0.saturating_sub(i64::try_from(duration.as_u64() / 1_000).unwrap_or(0))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T0: Timestamp = Timestamp(1_764_000_000_000_000);

    fn rate(count: u32, secs: u64) -> Rate {
        Rate { count, per: Duration::from_secs(secs) }
    }

    fn full(rate: Rate, burst: u32) -> Bucket {
        Bucket::emptied_at(rate, burst, Timestamp(0))
    }

    fn taken(bucket: &Bucket, now: Timestamp) -> usize {
        (0..10_000).take_while(|_| bucket.take(now).is_ok()).count()
    }

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_token_per_interval() {
        let bucket = full(rate(2, 1), 3);
        assert_eq!(taken(&bucket, T0), 3);
        assert_eq!(bucket.take(T0), Err(T0 + Duration::from_millis(500)));
        assert_eq!(bucket.take(T0 + Duration::from_millis(500)), Ok(()));
        assert_eq!(bucket.full_at(), T0 + Duration::from_secs(2));
    }

    #[test]
    fn after_a_restart_it_is_empty() {
        let bucket = Bucket::emptied_at(rate(1, 60), 5, T0);
        assert_eq!(bucket.take(T0), Err(T0 + Duration::from_secs(60)));
        assert_eq!(taken(&bucket, T0 + Duration::from_secs(180)), 3);
    }

    #[test]
    fn a_changed_rate_keeps_the_spent_part() {
        let bucket = full(rate(1, 60), 4);
        assert_eq!(taken(&bucket, T0), 4);
        let faster = bucket.changed(rate(1, 1), 4, T0);
        assert_eq!(faster.take(T0), Err(T0 + Duration::from_secs(1)));
        let smaller = bucket.changed(rate(1, 60), 2, T0);
        assert_eq!(smaller.take(T0), Err(T0 + Duration::from_secs(60)));
    }

    #[test]
    fn what_was_not_used_comes_back() {
        let bucket = full(rate(1, 60), 1);
        assert_eq!(bucket.take(T0), Ok(()));
        bucket.give_back();
        assert_eq!(bucket.take(T0), Ok(()));
        assert!(bucket.take(T0).is_err());
    }

    #[test]
    fn extremes_do_not_overflow() {
        let slow = full(rate(1, u64::MAX / 1_000_000_000), u32::MAX);
        assert!(slow.take(T0).is_ok() && slow.take(T0).is_err());
        assert_eq!(taken(&full(rate(u32::MAX, 1), u32::MAX), T0), 10_000);
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// Microseconds; then as many as there are.
        Take {
            after: u64,
            most: usize,
            unused: bool,
        },
        Change {
            count: u32,
            per_ms: u64,
            burst: u32,
        },
        Restart,
        /// The endpoint retires, which it does only when the bucket is full, and comes back.
        Retire,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            12 => (0u64..3_000_000, 0usize..20, any::<bool>())
                .prop_map(|(after, most, unused)| Step::Take { after, most, unused }),
            1 => (1u32..50, 100u64..60_000, 1u32..20)
                .prop_map(|(count, per_ms, burst)| Step::Change { count, per_ms, burst }),
            1 => Just(Step::Restart),
            2 => Just(Step::Retire),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]
        #[test]
        fn in_no_window_more_than_rate_times_window_plus_burst(steps in prop::collection::vec(step(), 1..80)) {
            let (mut limit, mut burst) = (rate(5, 1), 3);
            let mut bucket = full(limit, burst);
            let (mut now, mut restarted) = (T0, false);
            // Uses so far; and for each period of one limit: until when, tokens per microsecond, burst.
            let mut uses: Vec<Timestamp> = Vec::new();
            let mut periods: Vec<(Timestamp, f64, u32)> = Vec::new();
            let per_micro = |r: Rate| f64::from(r.count) / r.per.as_micros() as f64;
            for step in steps {
                match step {
                    Step::Take { after, most, unused } => {
                        now = now + Duration::from_micros(after);
                        for _ in 0..most {
                            match bucket.take(now) {
                                Ok(()) if unused => bucket.give_back(),
                                Ok(()) => uses.push(now),
                                Err(next) => { prop_assert!(next > now); break; }
                            }
                        }
                    }
                    Step::Change { count, per_ms, burst: b } => {
                        // How much more than the burst was spent before a restart nobody knows any more.
                        let b = if restarted { b.min(burst) } else { b };
                        periods.push((now, per_micro(limit), burst));
                        (limit, burst) = (Rate { count, per: Duration::from_millis(per_ms) }, b);
                        bucket = bucket.changed(limit, burst, now);
                    }
                    Step::Restart => {
                        restarted = true;
                        bucket = Bucket::emptied_at(limit, burst, now);
                    }
                    Step::Retire if bucket.full_at() <= now => bucket = full(limit, burst),
                    Step::Retire => {}
                }
            }
            periods.push((Timestamp(i64::MAX), per_micro(limit), burst));
            for (i, from) in uses.iter().enumerate() {
                for (j, to) in uses.iter().enumerate().skip(i) {
                    let (mut allowed, mut largest, mut start) = (0.0, 0, *from);
                    for (end, speed, burst) in &periods {
                        if *end < start { continue; }
                        let stop = (*to).min(*end);
                        allowed += speed * stop.since(start).as_micros() as f64;
                        largest = largest.max(*burst);
                        start = stop;
                        if *end >= *to { break; }
                    }
                    let count = (j - i + 1) as f64;
                    prop_assert!(count <= allowed + f64::from(largest) + 1e-3, "{count} in a window for {allowed} + {largest}");
                }
            }
        }
    }
}
