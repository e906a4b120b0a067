//! End-to-end benchmarks: the real binary between a feeder and a receiver on one machine. Each prints JSON.
//!
//! `cargo bench --bench end_to_end -- [throughput|latency|endpoints|backlog|isolation|startup|takeover]… [--short]`
//!
//! Without a name all of them run. `yardsticks` runs those of `throughput` alone: is the machine itself in order?
//! `--short` takes a few seconds each and fails when the throughput, as a ratio to the yardsticks of the same run, falls
//! below half of `benches/baseline.json`; `--update` writes that file. `--case TEXT` runs only the cases of `throughput`
//! whose name contains the text.
//! See `docs/performance.md`.

use std::process::ExitCode;

use anyhow::bail;
use serde_json::{Value, json};

mod backlog;
mod bare;
mod child;
mod endpoints;
mod event;
mod feeder;
mod histogram;
mod isolation;
mod latency;
mod least;
mod measure;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/takeover/netbox.rs"]
mod netbox;
mod process;
mod receiver;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/takeover/redis.rs"]
mod redis;
#[allow(dead_code, reason = "tests use more of it")]
#[path = "../tests/takeover/rq.rs"]
mod rq;
mod startup;
#[path = "../tests/support/mod.rs"]
mod support;
mod takeover;
mod throughput;

/// How a benchmark is to run.
#[derive(Clone, Default)]
struct Mode {
    /// A few seconds, for every change; else minutes, for figures to quote.
    short: bool,
    /// Write the ratios measured to `benches/baseline.json`.
    update: bool,
    /// Part of the names of the cases to run; empty: all.
    case: String,
}

type Benchmark = fn(&Mode) -> anyhow::Result<Value>;

const YARDSTICKS: &str = "yardsticks";

const BENCHMARKS: [(&str, Benchmark); 8] = [
    (YARDSTICKS, throughput::yardsticks),
    ("throughput", throughput::run),
    ("latency", latency::run),
    ("endpoints", endpoints::run),
    ("backlog", backlog::run),
    ("isolation", isolation::run),
    ("startup", startup::run),
    ("takeover", takeover::run),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let result = match arguments.split_first() {
        Some((role, rest)) if role == child::LEAST || role == child::BARE => child::main(role, rest).map(|()| true),
        _ => run(&arguments),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("benchmark failed: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs what was asked for; returns whether all of it passed.
fn run(arguments: &[String]) -> anyhow::Result<bool> {
    let mut mode = Mode::default();
    let mut chosen = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--case" => mode.case = arguments.next().cloned().unwrap_or_default(),
            "--short" => mode.short = true,
            "--update" => mode.update = true,
            // Given by cargo.
            "--bench" => {}
            name => match BENCHMARKS.iter().find(|(n, _)| *n == name) {
                Some(benchmark) => chosen.push(*benchmark),
                None => bail!("no benchmark {name:?}; there are {:?}", BENCHMARKS.map(|(n, _)| n)),
            },
        }
    }
    if chosen.is_empty() {
        chosen.extend(BENCHMARKS.iter().filter(|(name, _)| *name != YARDSTICKS));
    }
    let mut passed = true;
    for (name, benchmark) in chosen {
        eprintln!("{name} …");
        let began = support::now();
        // One that cannot run takes nothing from the others.
        let mut result = match std::panic::catch_unwind(|| benchmark(&mode)) {
            Ok(Ok(result)) => result,
            Ok(Err(error)) => json!({"failures": [format!("{error:#}")]}),
            Err(_) => json!({"failures": ["it panicked, see standard error"]}),
        };
        passed &= result["failures"].as_array().is_some_and(Vec::is_empty);
        result["benchmark"] = json!(name);
        result["seconds"] = json!(began.elapsed().as_secs());
        println!("{result:#}");
    }
    Ok(passed)
}
