//! One measurement: feed, wait until everything arrived, see what it took.

use std::time::Duration;

use serde_json::{Value, json};

use super::feeder::{self, Fed, Feed};
use super::process;
use super::receiver::Receiver;
use super::support::{Options, TestServer, now, try_until, webhook};

/// The longest a measurement waits for deliveries after feeding has ended.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// What a dispatcher did with one feed.
pub struct Measured {
    pub deliveries: u64,
    pub expected: u64,
    pub per_second: f64,
    pub cpu_micros: f64,
    pub report: Value,
}

/// Feeds `feed` to the dispatcher with this process id, each event making `fan_out` deliveries at `receiver`.
pub fn run(pid: u32, receiver: &Receiver, feed: &Feed, fan_out: u64) -> Measured {
    let (tally, before) = (&receiver.tally, receiver.tally.total());
    let expected = feed.events * fan_out;
    let cpu_before = process::cpu(pid);
    let fed = feeder::feed(feed);
    tally.wait_for(before + expected, PATIENCE);
    let cpu = settled_cpu(pid) - cpu_before;

    let deliveries = tally.total() - before;
    let seconds = tally.last_micros().saturating_sub(fed.first_micros) as f64 / 1e6;
    let per_second = deliveries as f64 / seconds.max(1e-6);
    let cpu_micros = cpu.as_secs_f64() * 1e6 / deliveries.max(1) as f64;
    let report = report(pid, receiver, &fed, feed, (per_second, cpu_micros));
    Measured { deliveries, expected, per_second, cpu_micros, report }
}

fn report(pid: u32, receiver: &Receiver, fed: &Fed, feed: &Feed, (per_second, cpu_micros): (f64, f64)) -> Value {
    let (rss, peak) = process::memory(pid);
    json!({
        "deliveries_per_second": per_second.round(),
        "cpu_us_per_delivery": rounded(cpu_micros),
        "rss_mib": rounded(rss),
        "rss_peak_mib": rounded(peak),
        "events_per_second": (feed.events as f64 / fed.seconds).round(),
        "accept_ms": fed.accept.milliseconds(),
        "send_to_arrival_ms": receiver.tally.latency.milliseconds(),
        "refused": fed.refused.first(),
    })
}

/// CPU time once the outcomes of the last deliveries are recorded: nothing more was used for a tenth of a second.
fn settled_cpu(pid: u32) -> Duration {
    let mut last = (now(), process::cpu(pid));
    try_until(Duration::from_secs(3), || {
        let cpu = process::cpu(pid);
        if cpu != last.1 {
            last = (now(), cpu);
        }
        last.0.elapsed() > Duration::from_millis(100)
    });
    last.1
}

/// Two decimals are more than the clock is worth.
pub fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Adds a line to the failures when something did not arrive or was refused.
pub fn complete(measured: &Measured, what: &str, failures: &mut Vec<String>) {
    if measured.deliveries != measured.expected {
        failures.push(format!("{what}: {} of {} deliveries arrived", measured.deliveries, measured.expected));
    }
    if let Some(refused) = measured.report["refused"].as_str() {
        failures.push(format!("{what}: an event was refused: {refused}"));
    }
}

/// A server that logs warnings only, with further configuration.
pub fn server(config: &str) -> TestServer {
    TestServer::with(Options::config(config).env("NETBOX_WEBHOOKD__LOG__LEVEL", "warn"))
}

/// A server with a webhook for every URL, each for every change of a site.
pub fn server_for(urls: &[String], config: &str) -> TestServer {
    let server = server(config);
    for (i, url) in urls.iter().enumerate() {
        server.create_webhook(&webhook(&format!("bench {i}"), url));
    }
    server
}

/// Pauses or resumes (`order`) every endpoint.
pub fn order_endpoints(server: &TestServer, order: &str) {
    for endpoint in server.list("/api/endpoints/") {
        let answer = server.post(&format!("/api/endpoints/{}/{order}/", endpoint["id"]), &json!({}));
        assert!((200..300).contains(&answer.status), "{order}: {} {}", answer.status, answer.text());
    }
}
