use std::hint::black_box;

use super::super::WebhookJob;
use super::jobs_in;

/// `cargo test --release -- --ignored --nocapture speed`
#[test]
#[ignore = "a measurement"]
#[allow(clippy::disallowed_methods, reason = "measures time")]
fn speed() {
    const ROUNDS: u32 = 2_000;
    for (name, packed) in jobs_in("") {
        let start = std::time::Instant::now();
        for _ in 0..ROUNDS {
            let job = WebhookJob::decode(black_box(&packed)).expect("a job");
            black_box(job.event_json());
        }
        let each = start.elapsed() / ROUNDS;
        println!("{name}: {} bytes, {:.1} µs", packed.len(), each.as_secs_f64() * 1e6);
    }
}
