//! The yardsticks run as processes of their own, from this very program: what they use is then told apart from what
//! feeding and receiving use.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::support::{Client, ports, server, try_until};
use super::{bare, least};

pub const LEAST: &str = "--as-least";
pub const BARE: &str = "--as-bare";

/// What the child does with its arguments: numbers and paths first, then URLs.
pub fn main(role: &str, arguments: &[String]) -> anyhow::Result<()> {
    match (role, arguments) {
        (LEAST, [listen, log, in_flight, lanes, urls @ ..]) => least::main(&least::Settings {
            listen: listen.parse()?,
            log: Path::new(log),
            in_flight: in_flight.parse()?,
            lanes: lanes.parse()?,
            urls,
        }),
        (BARE, [count, lanes, urls @ ..]) => bare::main(count.parse()?, lanes.parse()?, urls),
        _ => bail!("{role}: wrong arguments"),
    }
}

/// A yardstick's process; killed on drop.
pub struct Yardstick {
    child: Child,
    pub address: SocketAddr,
    _folder: tempfile::TempDir,
}

impl Yardstick {
    /// The least dispatcher, listening.
    pub fn least(in_flight: usize, lanes: usize, urls: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        let log = folder.path().join("log");
        let mut arguments = vec![LEAST.to_owned(), address.to_string(), log.display().to_string()];
        arguments.extend([in_flight.to_string(), lanes.to_string()]);
        arguments.extend_from_slice(urls);
        let least = Self { child: spawn(&arguments)?, address, _folder: folder };
        let listening = || Client::new(address).request("GET", "/health/ready", &[], b"").is_ok();
        ensure!(try_until(Duration::from_secs(10), listening), "the least dispatcher does not listen");
        Ok(least)
    }

    /// The bare loop; ends by itself after `count` requests.
    pub fn bare(count: u64, lanes: usize, urls: &[String]) -> anyhow::Result<Self> {
        let mut arguments = vec![BARE.to_owned(), count.to_string(), lanes.to_string()];
        arguments.extend_from_slice(urls);
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        Ok(Self { child: spawn(&arguments)?, address, _folder: tempfile::tempdir()? })
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Yardstick {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(arguments: &[String]) -> anyhow::Result<Child> {
    let program = std::env::current_exe()?;
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    command.spawn().context("the yardstick does not start")
}

/// The size of the binary under test in bytes, as built and without debug information.
pub fn binary_sizes() -> anyhow::Result<(u64, Option<u64>)> {
    let folder = tempfile::tempdir()?;
    let stripped = folder.path().join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&stripped).arg(server::BINARY).stderr(Stdio::null()).status();
    let without = strip.is_ok_and(|s| s.success()).then(|| std::fs::metadata(&stripped).map(|m| m.len()));
    Ok((std::fs::metadata(server::BINARY)?.len(), without.transpose()?))
}
