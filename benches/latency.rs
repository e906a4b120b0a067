//! Light load: how long an event takes through the house when nothing else goes on, beside what the disk takes.

use std::io::Write;

use serde_json::{Value, json};

use super::Mode;
use super::feeder::Feed;
use super::histogram::Histogram;
use super::measure::{self, complete};
use super::receiver::Receiver;
use super::support::now;

const ENDPOINTS: usize = 10;
const EVENTS_PER_SECOND: f64 = 50.0;

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let seconds = if mode.short { 4 } else { 60 };
    let disk = fsync()?;
    let receiver = Receiver::start(ENDPOINTS, ENDPOINTS);
    let server = measure::server_for(&receiver.urls(), "");
    let feed =
        Feed { rate: Some(EVENTS_PER_SECOND), ..Feed::new(server.address(), seconds * EVENTS_PER_SECOND as u64) };
    let measured = measure::run(server.pid(), &receiver, &feed, ENDPOINTS as u64);
    let mut failures = Vec::new();
    complete(&measured, "light load", &mut failures);
    Ok(json!({
        "load": "50 events/s, 10 endpoints",
        "dispatcher": measured.report,
        "fsync_ms": disk.milliseconds(),
        "wanted_ms": {"p50": 1.5, "p99": "5 + one slow fsync"},
        "failures": failures,
    }))
}

/// How long appending 4 KB and syncing takes on the disk that the servers write to.
fn fsync() -> anyhow::Result<Histogram> {
    let mut file = tempfile::NamedTempFile::new()?;
    let times = Histogram::default();
    for _ in 0..300 {
        file.write_all(&[7; 4096])?;
        let began = now();
        file.as_file().sync_data()?;
        times.record_duration(began.elapsed());
    }
    Ok(times)
}
