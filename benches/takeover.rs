//! NetBox's queue taken over: 20,000 jobs that wait in a real Redis, against RQ's own worker with 300 of the same jobs on
//! the same machine, one after the other.

use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Mode;
use super::measure::{self, rounded};
use super::netbox::{self, Netbox};
use super::process;
use super::receiver::Receiver;
use super::redis::Redis;
use super::rq::{self, QUEUE};
use super::support::{now, try_until, wall_micros};

/// How much faster than RQ's worker it is to be.
const WANTED: f64 = 200.0;
const PATIENCE: Duration = Duration::from_secs(300);

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let jobs = if mode.short { 2_000 } else { 20_000 };
    let mut failures = Vec::new();
    let ours = ours(jobs, &mut failures)?;
    if mode.short {
        return Ok(json!({"jobs": jobs, "ours": ours, "failures": failures}));
    }
    let theirs = theirs(300);
    let ratio =
        ours["jobs_per_second"].as_f64().unwrap_or(0.0) / theirs["jobs_per_second"].as_f64().unwrap_or(f64::NAN);
    Ok(json!({
        "jobs": jobs,
        "ours": ours,
        "rq_worker": theirs,
        "ratio": rounded(ratio),
        "wanted": WANTED,
        "failures": failures,
    }))
}

/// From the start of the service to the last arrival; its own CPU time, and that until NetBox's books are right.
fn ours(jobs: usize, failures: &mut Vec<String>) -> anyhow::Result<Value> {
    let (redis, netbox, receiver) = (Redis::start(), Netbox::start(), Receiver::start(1, 1));
    netbox.webhook(7, &json!({"payload_url": receiver.urls()[0], "secret": "s3cret"}));
    rq::enqueue(&redis, 7, jobs, &["--objects", "500", "--event", "object_updated"]);
    let config = format!(
        "[redis]\nhost = \"127.0.0.1\"\nport = {}\n[netbox]\nurl = \"{}\"\ntoken = \"{}\"\n\
         [intake.netbox_queue]\nenabled = true\n[log]\nlevel = \"warn\"\n",
        redis.port(),
        netbox.url(),
        netbox::TOKEN
    );
    let (began, wall) = (now(), wall_micros());
    let server = measure::server(&config);
    if !receiver.tally.wait_for(jobs as u64, PATIENCE) {
        failures.push(format!("{} of {jobs} jobs were delivered", receiver.tally.total()));
    }
    let delivered = (receiver.tally.last_micros().saturating_sub(wall)) as f64 / 1e6;
    let finished = || redis.ask::<usize>(&["ZCARD", &format!("rq:finished:{QUEUE}")]);
    let entered = try_until(PATIENCE, || finished() >= jobs);
    ensure!(entered, "{} of {jobs} jobs are entered as finished", finished());
    let books = began.elapsed().as_secs_f64();
    let cpu = process::cpu(server.pid()).as_secs_f64() * 1e6 / jobs as f64;
    Ok(json!({
        "jobs_per_second": rounded(jobs as f64 / delivered),
        "delivered_s": rounded(delivered),
        "books_right_s": rounded(books),
        "cpu_us_per_job": rounded(cpu),
    }))
}

fn theirs(jobs: usize) -> Value {
    let (redis, receiver) = (Redis::start(), Receiver::start(1, 1));
    let (url, count) = (receiver.urls()[0].clone(), jobs.to_string());
    let arguments = ["bench", "--queue", "default", "--url", &url, "--count", &count, "--event", "object_updated"];
    let mut measured = rq::rq(&redis, &[&arguments[..], &["--secret", "s3cret", "--objects", "500"]].concat());
    measured["arrived"] = json!(receiver.tally.total());
    measured
}
