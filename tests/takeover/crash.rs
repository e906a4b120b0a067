//! `kill -9` between any two steps: no job and no event is lost, and none is sent twice that did not have to be.

#![cfg(feature = "crash-points")]

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use super::netbox::Netbox;
use super::redis::Redis;
use super::rq::{enqueue, registries};
use super::support::{Options, Received, Receiver, TestServer, site_event, wait_until, webhook};
use super::{queue, stream};

const PATIENCE: Duration = Duration::from_secs(40);

/// Requests by delivery: none is missing, and the few that had just been answered when the process ended came twice, under
/// their old id.
fn all_came(requests: &[Received], expected: usize) {
    let mut seen: HashMap<&str, usize> = HashMap::new();
    requests.iter().for_each(|request| *seen.entry(request.header("webhook-id").expect("an id")).or_default() += 1);
    assert_eq!(seen.len(), expected);
    assert!(seen.values().all(|times| *times <= 2), "{seen:?}");
}

/// Its dispatcher and its books are at work long before NetBox answers and taking begins.
#[test]
fn after_jobs_were_accepted_while_netbox_is_slow() {
    jobs_survive_with("queue_accepted", Duration::from_millis(1_500));
}

fn jobs_survive(point: &str) {
    jobs_survive_with(point, Duration::ZERO);
}

fn jobs_survive_with(point: &str, slow: Duration) {
    let (redis, netbox, receiver) = (Redis::start(), Netbox::start(), Receiver::start());
    netbox.webhook(7, &json!({"payload_url": receiver.url("/hook")}));
    let config = queue::config(&redis, &netbox);
    let mut server = TestServer::prepare(Options::config(config.clone()).env("NBWD_CRASH_AT", point));
    let jobs = enqueue(&redis, 7, 40, &["--objects", "8"]);
    server.spawn();
    assert!(!server.wait_for_exit().success());
    netbox.slow(slow);
    server.set_options(Options::config(config));
    server.start_again();
    wait_until("all jobs are finished", PATIENCE, || {
        registries(&redis)["finished"].as_array().is_some_and(|finished| finished.len() == jobs.len())
    });
    receiver.wait_for(jobs.len());
    all_came(&receiver.requests(), jobs.len());
    let books = registries(&redis);
    for registry in ["queued", "started", "failed", "intermediate"] {
        assert_eq!(books[registry], json!([]), "{registry}");
    }
}

#[test]
fn after_jobs_were_taken() {
    jobs_survive("queue_taken");
}

#[test]
fn after_jobs_were_accepted() {
    jobs_survive("queue_accepted");
}

#[test]
fn after_jobs_were_entered_as_begun() {
    jobs_survive("queue_begun");
}

fn entries_survive(point: &str) {
    let (redis, receiver) = (Redis::start(), Receiver::start());
    let config = stream::config(&redis);
    let mut server = TestServer::prepare(Options::config(config.clone()));
    server.start_again();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.kill();
    for n in 0..40 {
        stream::add(&redis, &format!("x/{n}"), &site_event("updated", n % 8, json!({"n": n})));
    }
    server.set_options(Options::config(config.clone()).env("NBWD_CRASH_AT", point));
    server.spawn();
    assert!(!server.wait_for_exit().success());
    server.set_options(Options::config(config));
    server.start_again();
    receiver.wait_for(40);
    wait_until("the stream is empty", PATIENCE, || redis.ask::<u64>(&["XLEN", stream::STREAM]) == 0);
    all_came(&receiver.requests(), 40);
}

#[test]
fn after_entries_were_read() {
    entries_survive("stream_read");
}

#[test]
fn after_entries_were_accepted() {
    entries_survive("stream_accepted");
}
