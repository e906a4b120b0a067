//! 10,000 endpoints with one event each per second, and what a delivery costs as their number grows.
//!
//! Every event goes to 10 endpoints, 1,000 events come per second: the flow is the same at every size, only the
//! number of endpoints it is spread over grows. Models of a made-up plugin tell the events apart.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::Mode;
use super::feeder::Feed;
use super::measure::{self, complete, rounded};
use super::receiver::Receiver;

const FAN_OUT: usize = 10;
const EVENTS_PER_SECOND: u64 = 1_000;
/// Ports that the endpoints are spread over.
const ORIGINS: usize = 100;

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let (sizes, seconds): (&[usize], u64) =
        if mode.short { (&[10, 10_000], 4) } else { (&[10, 100, 1_000, 10_000], 30) };
    let mut failures = Vec::new();
    let mut results = Map::new();
    let mut costs = Vec::new();
    for &endpoints in sizes {
        eprintln!("  {endpoints} endpoints");
        let receiver = Receiver::start(endpoints, ORIGINS.min(endpoints));
        let server = measure::server(&config(&receiver.urls()));
        let feed = Feed {
            rate: Some(EVENTS_PER_SECOND as f64),
            models: Some((endpoints / FAN_OUT) as u64),
            objects: 1,
            ..Feed::new(server.address(), seconds * EVENTS_PER_SECOND)
        };
        let measured = measure::run(server.pid(), &receiver, &feed, FAN_OUT as u64);
        complete(&measured, &format!("{endpoints} endpoints"), &mut failures);
        let (fewest, most) = spread(&receiver, endpoints);
        if fewest != most {
            failures.push(format!("{endpoints} endpoints: one got {fewest} deliveries, another {most}"));
        }
        costs.push(measured.cpu_micros);
        results.insert(endpoints.to_string(), measured.report);
    }
    let flat = costs.last().copied().unwrap_or(0.0) / costs.first().copied().unwrap_or(1.0).max(0.01);
    Ok(json!({
        "load": "1,000 events/s, fan-out 10",
        "by_endpoints": results,
        "cost_of_most_to_fewest": rounded(flat),
        "wanted": {"cost_of_most_to_fewest": 1.15, "rss_mib": 250, "p99_ms": 100},
        "failures": failures,
    }))
}

/// Webhooks in the file, ten for each model.
fn config(urls: &[String]) -> String {
    let models: Vec<_> = (0..urls.len() / FAN_OUT).map(|m| format!("\"bench.Model{m}\"")).collect();
    let mut text = format!("[webhooks]\nmodels = [{}]\n", models.join(", "));
    for (i, url) in urls.iter().enumerate() {
        let model = i / FAN_OUT;
        let _ = write!(
            text,
            "\n[[webhook]]\nname = \"bench {i}\"\nmodels = [\"bench.Model{model}\"]\ntype_update = true\n\
             payload_url = \"{url}\"\n"
        );
    }
    text
}

/// Deliveries of the endpoint that got fewest and of the one that got most.
fn spread(receiver: &Receiver, endpoints: usize) -> (u64, u64) {
    let counts = || (0..endpoints).map(|i| receiver.tally.of_endpoint(i));
    (counts().min().unwrap_or(0), counts().max().unwrap_or(0))
}
