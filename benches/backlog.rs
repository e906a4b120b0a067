//! A million undelivered deliveries: restart, first request, and what a delivery costs while they drain. Then many
//! deliveries of one object.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Mode;
use super::feeder::{Ahead, Feed, feed};
use super::measure::{self, PATIENCE, order_endpoints, rounded};
use super::process;
use super::receiver::Receiver;
use super::support::{TestServer, now};

const ENDPOINTS: usize = 10;
/// Events per request while the backlog is made.
const BATCH: u64 = 50;

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let backlog: u64 = if mode.short { 50_000 } else { 1_000_000 };
    let one_object: u64 = if mode.short { 10_000 } else { 100_000 };
    let mut failures = Vec::new();
    let empty = empty_cost(backlog.min(100_000));
    let restart = restart(backlog, empty, &mut failures)?;
    let few = one_object_cost(one_object / 10)?;
    let many = one_object_cost(one_object)?;
    Ok(json!({
        "restart": restart,
        "one_object": {
            "deliveries": one_object,
            "cpu_us_per_delivery": rounded(many),
            "cpu_us_per_delivery_of_a_tenth": rounded(few),
            "ratio": rounded(many / few),
        },
        "wanted": {"ready_s": 5, "first_request_s": 2, "rss_mib": 200, "cost_to_empty": 1.5},
        "failures": failures,
    }))
}

/// CPU microseconds per delivery without a backlog.
fn empty_cost(deliveries: u64) -> f64 {
    let fan_out = ENDPOINTS as u64;
    let receiver = Receiver::start(ENDPOINTS, ENDPOINTS);
    let server = measure::server_for(&receiver.urls(), "");
    let ahead = Ahead { tally: receiver.tally.clone(), fan_out, deliveries: 2_000 };
    let feed = Feed { ahead: Some(ahead), batch: BATCH, ..Feed::new(server.address(), deliveries / fan_out) };
    measure::run(server.pid(), &receiver, &feed, fan_out).cpu_micros
}

fn restart(backlog: u64, empty_cost: f64, failures: &mut Vec<String>) -> anyhow::Result<Value> {
    let receiver = Receiver::start(ENDPOINTS, ENDPOINTS);
    let mut server = measure::server_for(&receiver.urls(), "");
    let fill_cost = fill(&server, backlog / ENDPOINTS as u64, ENDPOINTS as u64)?;

    server.kill();
    let began = now();
    server.start_again();
    let ready = began.elapsed();
    let (rss_ready, _) = process::memory(server.pid());

    let began = now();
    let cpu_before = process::cpu(server.pid());
    order_endpoints(&server, "resume");
    ensure!(receiver.tally.wait_for(1, PATIENCE), "nothing is sent after the restart");
    let first_request = began.elapsed();
    // Bounded by what a slow machine needs at 2,000 deliveries/s.
    if !receiver.tally.wait_for(backlog, Duration::from_secs(60 + backlog / 2_000)) {
        failures.push(format!("{} of {backlog} deliveries arrived after the restart", receiver.tally.total()));
    }
    let seconds = began.elapsed().as_secs_f64();
    let drained = receiver.tally.total().max(1) as f64;
    let drain_cost = (process::cpu(server.pid()) - cpu_before).as_secs_f64() * 1e6 / drained;
    let (_, peak) = process::memory(server.pid());
    Ok(json!({
        "undelivered": backlog,
        "ready_s": rounded(ready.as_secs_f64()),
        "first_request_s": rounded(first_request.as_secs_f64()),
        "rss_ready_mib": rounded(rss_ready),
        "rss_peak_mib": rounded(peak),
        "drained_per_second": (drained / seconds).round(),
        "fill_cpu_us_per_delivery": rounded(fill_cost),
        "drain_cpu_us_per_delivery": rounded(drain_cost),
        "empty_cpu_us_per_delivery": rounded(empty_cost),
        "cost_to_empty": rounded((fill_cost + drain_cost) / empty_cost),
    }))
}

/// Takes events while everything is paused; CPU microseconds per delivery made.
fn fill(server: &TestServer, events: u64, fan_out: u64) -> anyhow::Result<f64> {
    order_endpoints(server, "pause");
    let cpu_before = process::cpu(server.pid());
    let fed = feed(&Feed { batch: BATCH, ..Feed::new(server.address(), events) });
    ensure!(fed.refused.is_empty(), "an event was refused: {}", fed.refused[0]);
    Ok((process::cpu(server.pid()) - cpu_before).as_secs_f64() * 1e6 / (events * fan_out) as f64)
}

/// CPU microseconds per delivery, all of one object at one endpoint, taken first and sent then.
fn one_object_cost(deliveries: u64) -> anyhow::Result<f64> {
    let receiver = Receiver::start(1, 1);
    let server = measure::server_for(&receiver.urls(), "");
    order_endpoints(&server, "pause");
    let cpu_before = process::cpu(server.pid());
    let fed = feed(&Feed { batch: BATCH, objects: 1, ..Feed::new(server.address(), deliveries) });
    ensure!(fed.refused.is_empty(), "an event was refused: {}", fed.refused[0]);
    order_endpoints(&server, "resume");
    ensure!(receiver.tally.wait_for(deliveries, PATIENCE), "{} of {deliveries} arrived", receiver.tally.total());
    Ok((process::cpu(server.pid()) - cpu_before).as_secs_f64() * 1e6 / deliveries as f64)
}
