//! Points at which a test may stop the process dead, as a power cut would. Nothing without the feature
//! `crash-points`.
//!
//! `NBWD_CRASH_AT=after_commit:20` kills the process with SIGKILL when it passes `after_commit` for the 20th time;
//! without a number, the first time. With `NBWD_CRASH_BY=panic` the thread that passes panics instead.
//! `NBWD_FAULT_AT=outcome:1-3` panics when it passes `outcome` for the first three times, as a fault of ours would.

/// Marks a point. The names that `tests/crash.rs` uses: `before_commit`, `after_commit` (the writer's transaction with
/// events in it), `before_send`, `after_send` (one request), `before_record_commit` (the transaction with outcomes),
/// `after_spill_commit` (the transaction that gives open deliveries their rows).
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn point(_name: &'static str) {}

/// Marks a point. The names that `tests/crash.rs` uses: `before_commit`, `after_commit` (the writer's transaction with
/// events in it), `before_send`, `after_send` (one request), `before_record_commit` (the transaction with outcomes),
/// `after_spill_commit` (the transaction that gives open deliveries their rows).
#[cfg(feature = "crash-points")]
pub fn point(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    struct Wanted {
        name: String,
        passes: u64,
        panic: bool,
    }
    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    #[expect(clippy::disallowed_methods, reason = "an order of the test program, not configuration")]
    let read = |name| std::env::var(name).ok();
    let wanted = WANTED.get_or_init(|| {
        let order = read("NBWD_CRASH_AT")?;
        let (name, passes) = order.split_once(':').unwrap_or((&order, "1"));
        let panic = read("NBWD_CRASH_BY").as_deref() == Some("panic");
        Some(Wanted { name: name.to_owned(), passes: passes.parse().unwrap_or(1), panic })
    });
    let Some(wanted) = wanted else { return };
    if wanted.name == name && PASSED.fetch_add(1, Ordering::SeqCst) + 1 == wanted.passes {
        assert!(!wanted.panic, "ordered to panic at {name}");
        // SAFETY: neither call touches memory; the signal ends this process at once, destructors and all.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}

/// Marks a place where a test may ask for a fault of ours: `attempt` (rendering and sending one request), `started`,
/// `outcome` (the endpoint's actor at work).
#[cfg(not(feature = "crash-points"))]
#[inline(always)]
pub fn fault(_name: &'static str) {}

/// Marks a place where a test may ask for a fault of ours: `attempt` (rendering and sending one request), `started`,
/// `outcome` (the endpoint's actor at work).
#[cfg(feature = "crash-points")]
pub fn fault(name: &'static str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    static WANTED: OnceLock<Option<(String, u64, u64)>> = OnceLock::new();
    static PASSED: AtomicU64 = AtomicU64::new(0);

    let wanted = WANTED.get_or_init(|| {
        #[expect(clippy::disallowed_methods, reason = "an order of the test program, not configuration")]
        let order = std::env::var("NBWD_FAULT_AT").ok()?;
        let (name, passes) = order.split_once(':').unwrap_or((&order, "1-1"));
        let (first, last) = passes.split_once('-').unwrap_or((passes, passes));
        Some((name.to_owned(), first.parse().ok()?, last.parse().ok()?))
    });
    let Some((wanted, first, last)) = wanted else { return };
    if wanted == name {
        let pass = PASSED.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(pass < *first || pass > *last, "a fault was asked for at {name}");
    }
}
