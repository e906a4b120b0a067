//! Damaged jobs: whatever is done to a real one, it is read or refused, within the limits, and gives nothing away.

use std::sync::LazyLock;

use proptest::collection::vec;
use proptest::prelude::*;

use super::super::{Limits, WebhookJob, call, pickle};
use super::{jobs_in, packed, unpacked};

const LIMITS: Limits = Limits { inflated: 1 << 20, steps: 1 << 16, memo: 1 << 14, json: 1 << 18 };

static PICKLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let small = |pickle: &Vec<u8>| pickle.len() < 10_000;
    jobs_in("").chain(jobs_in("made")).map(|(_, packed)| unpacked(&packed)).filter(small).collect()
});

/// Reads a pickle as a job; what comes of it must be sound.
fn check(bytes: &[u8]) {
    let read = pickle::load(bytes, &LIMITS).and_then(|pickle| call::read(&pickle, &LIMITS));
    match read {
        Ok(job) => {
            assert!(job.data_json().len() <= LIMITS.json);
            let parsed: Result<serde::de::IgnoredAny, _> = serde_json::from_str(&job.event_json());
            parsed.expect("JSON");
            assert!(!format!("{job:?}").contains("pbkdf2_sha256$"));
        }
        Err(error) => assert!(!format!("{error} {error:?}").contains("pbkdf2_sha256$"), "{error}"),
    }
}

/// One change of a pickle.
#[derive(Clone, Debug)]
enum Change {
    Set(prop::sample::Index, u8),
    Flip(prop::sample::Index, u8),
    Cut(prop::sample::Index),
    Remove(prop::sample::Index, u8),
    Repeat(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        4 => (at(), any::<u8>()).prop_map(|(at, byte)| Change::Set(at, byte)),
        4 => (at(), 0..8_u8).prop_map(|(at, bit)| Change::Flip(at, bit)),
        1 => at().prop_map(Change::Cut),
        2 => (at(), any::<u8>()).prop_map(|(at, n)| Change::Remove(at, n)),
        2 => (at(), any::<u8>()).prop_map(|(at, n)| Change::Repeat(at, n)),
        2 => (at(), vec(any::<u8>(), 0..9)).prop_map(|(at, bytes)| Change::Insert(at, bytes)),
    ]
}

fn apply(pickle: &mut Vec<u8>, change: &Change) {
    if pickle.is_empty() {
        return;
    }
    let length = pickle.len();
    let span = |at: usize, n: u8| at..(at + usize::from(n)).min(length);
    match change {
        Change::Set(at, byte) => pickle[at.index(length)] = *byte,
        Change::Flip(at, bit) => pickle[at.index(length)] ^= 1 << bit,
        Change::Cut(at) => pickle.truncate(at.index(length)),
        Change::Remove(at, n) => drop(pickle.drain(span(at.index(length), *n))),
        Change::Repeat(at, n) => {
            let span = span(at.index(length), *n);
            let copy = pickle[span.clone()].to_vec();
            pickle.splice(span.end..span.end, copy);
        }
        Change::Insert(at, bytes) => drop(pickle.splice(at.index(length)..at.index(length), bytes.iter().copied())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_changed_job_is_read_or_refused(which in any::<prop::sample::Index>(), changes in vec(change(), 1..6)) {
        let mut pickle = PICKLES[which.index(PICKLES.len())].clone();
        changes.iter().for_each(|change| apply(&mut pickle, change));
        check(&pickle);
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        check(&bytes);
        let _ = WebhookJob::decode_within(&bytes, &LIMITS);
        let _ = WebhookJob::decode_within(&packed(&bytes), &LIMITS);
    }
}

/// With `NBWD_LONG=1` as many as fuzzing would try in minutes.
#[test]
fn changed_opcodes_are_read_or_refused() {
    #[expect(clippy::disallowed_methods, reason = "how long to test is said from outside")]
    let rounds = if std::env::var("NBWD_LONG").is_ok_and(|v| v == "1") { 2_000_000 } else { 20_000 };
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state >> 11).expect("64 bit") % below.max(1)
    };
    for _ in 0..rounds {
        let mut pickle = PICKLES[random(PICKLES.len())].clone();
        for _ in 0..=random(6) {
            let (at, from) = (random(pickle.len()), random(pickle.len()));
            match random(5) {
                0 => pickle[at] = u8::try_from(random(256)).expect("a byte"),
                1 => pickle[at] ^= 1 << random(8),
                // Opcodes are exchanged for others of this pickle: what comes of it is mostly well-formed.
                2 => pickle[at] = pickle[from],
                3 => pickle.truncate(at.max(1)),
                _ => {
                    let copy = pickle[from..(from + random(40)).min(pickle.len())].to_vec();
                    pickle.splice(at..at, copy);
                }
            }
        }
        check(&pickle);
    }
}
