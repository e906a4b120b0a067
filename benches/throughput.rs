//! The cases of the table in `docs/performance.md`, each beside the two yardsticks in the same run.

use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::{Map, Value, json};

use super::Mode;
use super::child::Yardstick;
use super::feeder::{Ahead, Feed};
use super::measure::{self, Measured, complete, rounded};
use super::process;
use super::receiver::Receiver;
use super::support::wall_micros;

const BASELINE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/baseline.json");
/// Share of the committed ratio that a run must reach.
const TOLERATED: f64 = 0.5;
/// Rounds of a long run; the median counts.
const ROUNDS: usize = 3;
/// A case that is too slow may have shared the machine with something else: it fails when it is so every time.
const TRIES: usize = 3;

struct Case {
    name: &'static str,
    endpoints: usize,
    /// Requests in flight per endpoint.
    in_flight: usize,
    config: &'static str,
    /// Events per feeding request.
    batch: u64,
    /// Deliveries of a short run; a long one has five times as many.
    deliveries: u64,
}

impl Case {
    fn deliveries(&self, mode: &Mode) -> u64 {
        if mode.short { self.deliveries } else { self.deliveries * 5 }
    }
}

const CONCURRENT: &str = "[delivery]\nordering = \"object\"\nconcurrency = 16\n";

const CASES: [Case; 5] = [
    Case { name: "1 endpoint, 1 in flight", endpoints: 1, in_flight: 1, config: "", batch: 1, deliveries: 20_000 },
    Case {
        name: "1 endpoint, ordering object, 16 in flight, 64 objects",
        endpoints: 1,
        in_flight: 16,
        config: CONCURRENT,
        batch: 1,
        deliveries: 40_000,
    },
    // One request per event costs more than all the rest; what NetBox does in bulk comes in arrays.
    Case {
        name: "the same, fed in arrays of 16",
        endpoints: 1,
        in_flight: 16,
        config: CONCURRENT,
        batch: 16,
        deliveries: 80_000,
    },
    Case { name: "10 endpoints, fan-out 10", endpoints: 10, in_flight: 1, config: "", batch: 1, deliveries: 80_000 },
    Case {
        name: "100 endpoints, fan-out 100",
        endpoints: 100,
        in_flight: 1,
        config: "",
        batch: 1,
        deliveries: 100_000,
    },
];

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let baseline = read_baseline()?;
    let mut failures = Vec::new();
    let mut cases = Map::new();
    let mut ratios = Map::new();
    for case in CASES.iter().filter(|case| case.name.contains(&mode.case)) {
        eprintln!("  {}", case.name);
        let mut result = median(case, mode, &mut failures)?;
        if !mode.update {
            let mut slow = too_slow(case, &result, &baseline);
            for _ in 1..TRIES {
                if slow.is_none() {
                    break;
                }
                result = median(case, mode, &mut failures)?;
                slow = too_slow(case, &result, &baseline);
            }
            failures.extend(slow);
        }
        ratios.insert(
            case.name.to_owned(),
            json!({"to_least": rounded(result.ratio_to_least), "to_bare": rounded(result.ratio_to_bare)}),
        );
        cases.insert(case.name.to_owned(), result.report);
    }
    if mode.update {
        std::fs::write(BASELINE, format!("{:#}\n", Value::Object(ratios))).context(BASELINE)?;
    }
    Ok(json!({"cases": cases, "failures": failures}))
}

/// The yardsticks alone: what this machine can do now.
pub fn yardsticks(mode: &Mode) -> anyhow::Result<Value> {
    let mut cases = Map::new();
    for case in CASES.iter().filter(|case| case.name.contains(&mode.case)) {
        let deliveries = case.deliveries(mode);
        let (bare, bare_cpu) = bare(case, deliveries)?;
        let least = least(case, deliveries)?;
        let bare = json!({"deliveries_per_second": bare.round(), "cpu_us_per_delivery": rounded(bare_cpu)});
        cases.insert(case.name.to_owned(), json!({"least": least.report, "bare": bare}));
    }
    Ok(json!({"cases": cases, "failures": []}))
}

struct CaseResult {
    ratio_to_least: f64,
    ratio_to_bare: f64,
    report: Value,
}

/// One round of a short run, the middle one of a long run.
fn median(case: &Case, mode: &Mode, failures: &mut Vec<String>) -> anyhow::Result<CaseResult> {
    let rounds = if mode.short { 1 } else { ROUNDS };
    let mut results = (0..rounds).map(|_| one(case, mode, failures)).collect::<anyhow::Result<Vec<_>>>()?;
    results.sort_by(|a, b| a.ratio_to_least.total_cmp(&b.ratio_to_least));
    Ok(results.swap_remove(results.len() / 2))
}

fn one(case: &Case, mode: &Mode, failures: &mut Vec<String>) -> anyhow::Result<CaseResult> {
    let deliveries = case.deliveries(mode);
    let (bare, bare_cpu) = bare(case, deliveries)?;
    let least = least(case, deliveries)?;
    complete(&least, &format!("{}, least dispatcher", case.name), failures);
    let ours = ours(case, deliveries);
    complete(&ours, case.name, failures);

    let (ratio_to_least, ratio_to_bare) = (ours.per_second / least.per_second, ours.per_second / bare);
    let report = json!({
        "dispatcher": ours.report,
        "least": least.report,
        "bare": {"deliveries_per_second": bare.round(), "cpu_us_per_delivery": rounded(bare_cpu)},
        "ratio_to_least": rounded(ratio_to_least),
        "ratio_to_bare": rounded(ratio_to_bare),
        "cpu_ratio_to_least": rounded(ours.cpu_micros / least.cpu_micros),
    });
    Ok(CaseResult { ratio_to_least, ratio_to_bare, report })
}

/// Requests per second and CPU time per request in microseconds.
fn bare(case: &Case, deliveries: u64) -> anyhow::Result<(f64, f64)> {
    let receiver = Receiver::start(case.endpoints, case.endpoints);
    let lanes = case.endpoints * case.in_flight;
    let yardstick = Yardstick::bare(deliveries, lanes, &receiver.urls())?;
    ensure!(receiver.tally.wait_for(1, Duration::from_secs(10)), "the bare loop does not begin");
    let (cpu_before, seen, began) = (process::cpu(yardstick.pid()), receiver.tally.total(), wall_micros());
    // The last tenth is left out: when it arrived, the process may be gone and its CPU time with it.
    let mut cpu = cpu_before;
    let enough = super::support::try_until(measure::PATIENCE, || {
        cpu = process::cpu(yardstick.pid()).max(cpu);
        receiver.tally.total() >= deliveries * 9 / 10
    });
    ensure!(enough, "the bare loop stands still");
    let counted = (receiver.tally.total() - seen) as f64;
    let seconds = (wall_micros() - began) as f64 / 1e6;
    Ok((counted / seconds, (cpu - cpu_before).as_secs_f64() * 1e6 / counted))
}

fn least(case: &Case, deliveries: u64) -> anyhow::Result<Measured> {
    let receiver = Receiver::start(case.endpoints, case.endpoints);
    let lanes = if case.in_flight == 1 { 1 } else { 64 };
    let least = Yardstick::least(case.in_flight, lanes, &receiver.urls())?;
    let feed = feed(case, least.address, &receiver, deliveries);
    Ok(measure::run(least.pid(), &receiver, &feed, case.endpoints as u64))
}

fn ours(case: &Case, deliveries: u64) -> Measured {
    let receiver = Receiver::start(case.endpoints, case.endpoints);
    let server = measure::server_for(&receiver.urls(), case.config);
    let feed = feed(case, server.address(), &receiver, deliveries);
    measure::run(server.pid(), &receiver, &feed, case.endpoints as u64)
}

/// Feeding waits when it is far ahead: what is measured is a steady flow, not a burst and then a backlog.
fn feed(case: &Case, to: std::net::SocketAddr, receiver: &Receiver, deliveries: u64) -> Feed {
    let fan_out = case.endpoints as u64;
    let ahead = Ahead { tally: receiver.tally.clone(), fan_out, deliveries: 2_000.max(32 * fan_out) };
    Feed { ahead: Some(ahead), batch: case.batch, ..Feed::new(to, deliveries / fan_out) }
}

fn read_baseline() -> anyhow::Result<Value> {
    let text = std::fs::read_to_string(BASELINE).context(BASELINE)?;
    serde_json::from_str(&text).context(BASELINE)
}

/// A complaint when both ratios fall below the share of the committed ones that is tolerated.
///
/// Both, because each yardstick has moods of its own: on one machine the bare loop of ten connections does twice as
/// much in a run as in the one before, while dispatchers stay what they were. A slower dispatcher lowers both.
fn too_slow(case: &Case, result: &CaseResult, baseline: &Value) -> Option<String> {
    let committed = |name: &str| baseline[case.name][name].as_f64();
    let (Some(least), Some(bare)) = (committed("to_least"), committed("to_bare")) else {
        return Some(format!("{}: {BASELINE} lacks it; write it with --update", case.name));
    };
    let slow = result.ratio_to_least < least * TOLERATED && result.ratio_to_bare < bare * TOLERATED;
    slow.then(|| {
        format!(
            "{}: to_least {} and to_bare {} are below {TOLERATED} × the committed {least} and {bare}",
            case.name,
            rounded(result.ratio_to_least),
            rounded(result.ratio_to_bare)
        )
    })
}
