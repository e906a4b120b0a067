//! 50 endpoints, four of them bad: one hangs, one answers a byte per second, one refuses connections, one answers 500
//! to everything. What the other 46 get, beside a run in which all are good.

use std::time::Duration;

use serde_json::{Value, json};

use super::Mode;
use super::feeder::{self, Feed};
use super::measure::{self, rounded};
use super::receiver::Receiver;
use super::support::{self, drip, hang, ports, reply, server::TestServer};

const ENDPOINTS: usize = 50;
const BAD: usize = 4;
/// About a third of what two cores deliver: delays are the bad ones' doing, not the queue's.
const EVENTS_PER_SECOND: f64 = 200.0;
/// Short enough that hanging requests end, and are tried again, within the run.
const CONFIG: &str = "[delivery]\ntimeout = \"2s\"\nconnect_timeout = \"1s\"\nbackoff_initial = \"100ms\"\n";

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let seconds = if mode.short { 5 } else { 30 };
    let good = one(seconds, false);
    let bad = one(seconds, true);
    let mut failures = Vec::new();
    for (what, run) in [("all good", &good), ("four bad", &bad)] {
        if run.arrived != run.expected {
            failures.push(format!("{what}: {} of {} deliveries to good endpoints arrived", run.arrived, run.expected));
        }
    }
    Ok(json!({
        "load": "200 events/s, fan-out 50",
        "all_good": good.report,
        "four_bad": bad.report,
        "p99_ratio": rounded(bad.p99 / good.p99.max(0.001)),
        "throughput_ratio": rounded(bad.per_second / good.per_second.max(0.001)),
        "wanted": {"p99_ratio": 1.5, "throughput_ratio": "1 / 1.5"},
        "failures": failures,
    }))
}

struct Run {
    arrived: u64,
    expected: u64,
    per_second: f64,
    p99: f64,
    report: Value,
}

fn one(seconds: u64, with_bad: bool) -> Run {
    let healthy = Receiver::start(ENDPOINTS - BAD, ENDPOINTS - BAD);
    // In the good run these four take what they get; only the others are compared.
    let others = Receiver::start(BAD, BAD);
    let bad = support::Receiver::start();
    bad.on("/hang", hang());
    bad.on("/drip", drip(Duration::from_secs(1)));
    bad.on("/500", reply(500));
    let mut urls = healthy.urls();
    if with_bad {
        urls.extend(["/hang", "/drip", "/500"].map(|path| bad.url(path)));
        urls.push(format!("http://127.0.0.1:{}/refused", ports::free()));
    } else {
        urls.extend(others.urls());
    }
    let server: TestServer = measure::server_for(&urls, CONFIG);
    let events = seconds * EVENTS_PER_SECOND as u64;
    let fed = feeder::feed(&Feed { rate: Some(EVENTS_PER_SECOND), ..Feed::new(server.address(), events) });
    let expected = events * (ENDPOINTS - BAD) as u64;
    healthy.tally.wait_for(expected, Duration::from_secs(60));
    let arrived = healthy.tally.total();
    let took = healthy.tally.last_micros().saturating_sub(fed.first_micros) as f64 / 1e6;
    let per_second = arrived as f64 / took.max(1e-6);
    let latency = healthy.tally.latency.milliseconds();
    let (rss, _) = super::process::memory(server.pid());
    let report = json!({
        "deliveries_per_second": per_second.round(),
        "send_to_arrival_ms": latency,
        "rss_mib": rounded(rss),
        "requests_to_bad": bad.count(),
    });
    Run { arrived, expected, per_second, p99: latency["p99"].as_f64().unwrap_or(0.0), report }
}
