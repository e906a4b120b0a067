//! Cold start: from the start of the process to the first connection taken, on an empty folder; size of the binary.

use std::net::TcpStream;
use std::time::Duration;

use anyhow::ensure;
use serde_json::{Value, json};

use super::Mode;
use super::child::binary_sizes;
use super::histogram::Histogram;
use super::support::{Options, TestServer, now, try_until};

pub fn run(mode: &Mode) -> anyhow::Result<Value> {
    let starts = if mode.short { 5 } else { 30 };
    let times = Histogram::default();
    for _ in 0..starts {
        let mut server = TestServer::prepare(Options::default());
        let began = now();
        server.spawn();
        let listening = || TcpStream::connect(server.address()).is_ok();
        ensure!(try_until(Duration::from_secs(10), listening), "the server does not listen");
        times.record_duration(began.elapsed());
    }
    let (size, stripped) = binary_sizes()?;
    let mib = |bytes: u64| super::measure::rounded(bytes as f64 / f64::from(1 << 20));
    Ok(json!({
        "listening_ms": times.milliseconds(),
        "binary_mib": mib(size),
        "binary_stripped_mib": stripped.map(mib),
        "wanted": {"listening_ms": 100, "binary_mib": 25},
        "failures": [],
    }))
}
