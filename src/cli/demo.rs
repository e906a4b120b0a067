//! `demo`: the whole service on one machine with no set-up, fed with events of a real NetBox.

use std::io::{IsTerminal, stdout};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Value, json};
use tokio::time::{interval, sleep};

use super::output;
use super::receiver::{self, Manner, Options, Receiver};
use super::rest::{ADVICE, Rest};
use crate::config::policy::EndpointRule;
use crate::config::{Config, FileWebhook, Loaded, Log, LogFormat, NetboxVersion};
use crate::domain::time::Timestamp;
use crate::{clock, server, telemetry};

mod summary;
mod traffic;

use summary::Summary;
use traffic::Traffic;

/// What the throttled receiver is given at most.
const THROTTLE: &str = "2/s";

/// Key of the signatures.
const SECRET: &str = "demo-secret";

/// Without `--for`, the length of one round of events and rest.
const ROUND: Duration = Duration::from_secs(15);

/// Time between two events.
const PACE: Duration = Duration::from_millis(100);

/// Time between two progress lines.
const PROGRESS: Duration = Duration::from_secs(1);

/// At the end, how long what was just sent may take to show up in the lists.
const GRACE: Duration = Duration::from_secs(3);

/// `demo`: runs for `length`, or until a signal ends it.
pub async fn run(length: Option<Duration>) -> anyhow::Result<ExitCode> {
    telemetry::init(&Log { level: "error".to_owned(), format: LogFormat::Pretty })?;
    let folder = Folder::new()?;
    let receivers = Receivers::spawn()?;
    let config = configuration(folder.path(), &receivers);
    let running = server::start(Loaded::built(config)).await.context("the service does not start")?;
    let rest = Rest::new(&format!("http://{}", running.addr), running.admin_token.clone(), ADVICE);
    introduce(&rest, &running, &folder, &receivers)?;
    let mut traffic = Traffic::default();
    feed(&rest, &receivers, &mut traffic, length).await?;
    let summary = settled(&rest, &receivers, &traffic).await?;
    running.stop().await;
    receivers.flaky.stop().await;
    receivers.throttled.stop().await;
    output::print(&summary.text())?;
    Ok(if summary.good() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Sends events and shows what becomes of them.
async fn feed(
    rest: &Rest,
    receivers: &Receivers,
    traffic: &mut Traffic,
    length: Option<Duration>,
) -> anyhow::Result<()> {
    let started = clock::now();
    let (mut pace, mut progress) = (interval(PACE), interval(PROGRESS));
    loop {
        tokio::select! {
            _ = pace.tick() => {
                let elapsed = clock::now().since(started);
                if length.is_some_and(|length| elapsed >= length) {
                    break;
                }
                if feeding(elapsed, length.unwrap_or(ROUND)) {
                    traffic.send(rest).await?;
                }
            }
            _ = progress.tick() => show_progress(rest, receivers, traffic, started).await?,
            signal = tokio::signal::ctrl_c() => {
                signal?;
                break;
            }
        }
    }
    if stdout().is_terminal() {
        output::line("")?;
    }
    Ok(())
}

/// Events come in the first six tenths of a round: the rest is for the throttled receiver to catch up.
fn feeding(elapsed: Duration, round: Duration) -> bool {
    let position = elapsed.as_millis() % round.as_millis().max(1);
    position * 10 < round.as_millis() * 6
}

async fn show_progress(
    rest: &Rest,
    receivers: &Receivers,
    traffic: &Traffic,
    started: Timestamp,
) -> anyhow::Result<()> {
    let endpoints = rest.all("/api/endpoints/").await?;
    let sum = |key: &str| endpoints.iter().filter_map(|e| e[key].as_u64()).sum::<u64>();
    let states = endpoints.iter().filter_map(|e| {
        let name = e["url"].as_str()?.rsplit('/').next()?;
        Some(format!("{name} {}", e["state"].as_str()?))
    });
    let line = format!(
        "{:>4}s  events {:>4}  delivered {:>4}  waiting {:>3}  retrying {:>3}  failed {}  requests {:>4}  ({})",
        clock::now().since(started).as_secs(),
        traffic.events,
        sum("delivered"),
        sum("pending"),
        sum("retrying"),
        sum("failed"),
        receivers.requests(),
        states.collect::<Vec<_>>().join(", "),
    );
    // On a terminal the line replaces the one before it.
    if stdout().is_terminal() {
        output::print(&format!("\r\x1b[K{line}"))?;
    } else {
        output::line(&line)?;
    }
    Ok(())
}

/// The summary, once the lists show what has happened.
async fn settled(rest: &Rest, receivers: &Receivers, traffic: &Traffic) -> anyhow::Result<Summary> {
    let deadline = clock::now() + GRACE;
    loop {
        let deliveries = rest.all("/api/deliveries/").await?;
        let summary = Summary::of(&deliveries, traffic, receivers);
        if summary.good() || clock::now() >= deadline {
            return Ok(summary);
        }
        sleep(PACE).await;
    }
}

fn introduce(rest: &Rest, running: &server::Running, folder: &Folder, receivers: &Receivers) -> std::io::Result<()> {
    let (base, token) = (rest.base(), &running.admin_token);
    let login = running.setup.as_deref().unwrap_or(base);
    output::print(&format!(
        "netbox-webhookd demo\n\
         \x20 service      {base}   (its API described: {base}/api/docs/)\n\
         \x20 admin token  {token}\n\
         \x20 data folder  {} (removed at the end)\n\
         \x20 flaky        {}   answers 500 to one request in three\n\
         \x20 throttled    {}   is sent at most {THROTTLE}\n\
         Look at it:    {login}   (makes your account; within ten minutes)\n\
         Look inside:   curl -H \"Authorization: Token {token}\" {base}/api/endpoints/\n\n",
        folder.path().display(),
        receivers.flaky_url(),
        receivers.throttled_url(),
    ))
}

fn configuration(folder: &Path, receivers: &Receivers) -> Config {
    let mut config = Config::default();
    config.server.listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    config.store.path = folder.to_owned();
    config.netbox.version = Some(NetboxVersion(4, 4));
    // Seconds instead of minutes, so that retries can be watched.
    config.delivery.policy.backoff_initial = Duration::from_millis(200);
    config.delivery.policy.backoff_max = Duration::from_secs(2);
    config.endpoints = vec![
        rule(receivers.flaky_url(), json!({ "concurrency": 4 })),
        rule(receivers.throttled_url(), json!({ "rate_limit": THROTTLE })),
    ];
    config.file_webhooks = vec![
        webhook("demo-flaky", receivers.flaky_url(), "backend", &traffic::MODELS),
        webhook("demo-throttled", receivers.throttled_url(), "netbox", &["dcim.device"]),
    ];
    config
}

fn rule(url: String, set: Value) -> EndpointRule {
    let set = set.as_object().cloned().unwrap_or_default();
    EndpointRule { url, line: 0, set }
}

fn webhook(name: &str, url: String, format: &str, models: &[&str]) -> FileWebhook {
    let value = json!({
        "name": name, "payload_url": url, "payload_format": format, "models": models, "secret": SECRET,
        "type_create": true, "type_update": true, "type_delete": true,
    });
    FileWebhook { line: 0, value }
}

/// The receivers of a demo.
struct Receivers {
    flaky: Receiver,
    throttled: Receiver,
}

impl Receivers {
    fn spawn() -> anyhow::Result<Self> {
        let spawn = |manner| {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            receiver::spawn(Options { listen, secret: Some(SECRET.to_owned()), manner, print: false })
        };
        let failed = "a receiver cannot listen on 127.0.0.1";
        Ok(Self { flaky: spawn(Manner::Flaky).context(failed)?, throttled: spawn(Manner::Steady).context(failed)? })
    }

    fn flaky_url(&self) -> String {
        format!("http://{}/flaky", self.flaky.addr)
    }

    fn throttled_url(&self) -> String {
        format!("http://{}/throttled", self.throttled.addr)
    }

    fn requests(&self) -> u64 {
        self.flaky.requests() + self.throttled.requests()
    }

    fn bad_signatures(&self) -> u64 {
        self.flaky.bad_signatures() + self.throttled.bad_signatures()
    }

    fn accepted(&self, webhook_id: &str) -> bool {
        self.flaky.accepted(webhook_id) || self.throttled.accepted(webhook_id)
    }
}

/// A folder that goes when the demo ends.
struct Folder(PathBuf);

impl Folder {
    fn new() -> anyhow::Result<Self> {
        let name = format!("netbox-webhookd-demo-{}-{:08x}", std::process::id(), rand::random::<u32>());
        let path = std::env::temp_dir().join(name);
        // Fails if it exists: nobody else has prepared it.
        std::fs::create_dir(&path).with_context(|| format!("cannot make the folder {}", path.display()))?;
        Ok(Self(path))
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if let Err(e) = std::fs::remove_dir_all(&self.0) {
            eprintln!("the folder {} could not be removed: {e}", self.0.display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_first_part_of_a_round() {
        let round = Duration::from_secs(10);
        assert!(feeding(Duration::ZERO, round) && feeding(Duration::from_millis(5_900), round));
        assert!(!feeding(Duration::from_secs(6), round) && !feeding(Duration::from_millis(9_999), round));
        assert!(feeding(Duration::from_secs(11), round));
    }

    #[test]
    fn the_folder_goes_with_its_owner() {
        let folder = Folder::new().expect("a temporary folder");
        let path = folder.path().to_owned();
        std::fs::write(path.join("x"), "y").expect("it is writable");
        drop(folder);
        assert!(!path.exists());
    }

    #[actix_rt::test]
    async fn the_configuration_of_the_demo_is_valid() {
        let receivers = Receivers::spawn().expect("free ports");
        let config = configuration(Path::new("/tmp/x"), &receivers);
        let text = crate::config::effective(&config).replace("********", SECRET);
        let loaded = Config::parse(&text, &[]).unwrap_or_else(|problems| panic!("{problems:?}"));
        assert_eq!(loaded.delivery, config.delivery);
        assert_eq!(loaded.endpoints.len(), 2);
    }
}
