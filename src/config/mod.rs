//! The configuration: a file, overridden by the environment, checked as a whole.
//!
//! A new key is a field here, its default below, one line in `sections`, and a line in `config.toml`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::domain::policy::Policy;

mod defaults;
mod document;
mod effective;
mod error;
mod load;
pub mod policy;
mod reload;
mod sections;
mod setting;
#[cfg(test)]
mod tests;
mod texts;
mod units;

pub use effective::effective;
pub use error::{ConfigError, Place, Problem};
pub use load::Loaded;
pub use reload::keep_fixed;
pub use units::parse_duration;

/// The configuration in force; replaced as a whole on SIGHUP.
pub type ConfigWatch = tokio::sync::watch::Receiver<Arc<Config>>;

/// Everything that can be configured, with the defaults of the shipped `config.toml`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Config {
    pub webhooks: Webhooks,
    pub server: Server,
    pub auth: Auth,
    pub store: Store,
    pub redis: Redis,
    pub delivery: Delivery,
    /// `[[endpoint]]` in file order; of several that match, the last wins per key.
    pub endpoints: Vec<policy::EndpointRule>,
    /// `[[webhook]]`: definitions kept in files, unchecked; the catalog validates them.
    pub file_webhooks: Vec<FileWebhook>,
    pub security: Security,
    pub netbox: Netbox,
    pub intake: Intake,
    pub log: Log,
}

/// One `[[webhook]]`.
#[derive(Clone, Debug, PartialEq)]
pub struct FileWebhook {
    /// Line of the file, for messages.
    pub line: usize,
    /// The fields of the REST API, as JSON.
    pub value: serde_json::Value,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Webhooks {
    /// Off: intake answers 503 and nothing is sent; the queue is kept.
    pub enabled: bool,
    /// Extra models in class spelling, `my_plugin.MyModel`.
    pub models: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    pub listen: SocketAddr,
    pub shutdown_timeout: Duration,
    pub max_body: u64,
    pub max_batch: usize,
    /// "" or "/prefix" without a trailing slash.
    pub base_path: String,
    pub trusted_proxies: Vec<IpNet>,
    /// HTTP threads.
    pub intake_threads: usize,
}

#[derive(Clone, Default, PartialEq)]
pub struct Auth {
    /// Empty: one is made at first start.
    pub bootstrap_token: String,
    /// Empty: users log in here.
    pub remote_user_header: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Store {
    pub backend: Backend,
    pub path: PathBuf,
    pub durability: Durability,
    pub retention_delivered: Duration,
    pub retention_failed: Duration,
    pub retention_unmatched: Duration,
    pub max_size: u64,
    pub max_history: u64,
    pub max_backlog: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    Embedded,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    Fsync,
    Relaxed,
}

/// A Redis, in the words of NetBox's own `REDIS` setting.
#[derive(Clone, PartialEq)]
pub struct Redis {
    pub host: String,
    pub port: u16,
    pub username: String,
    pub password: String,
    pub database: u32,
    pub ssl: bool,
    /// Empty: the system's authorities.
    pub ca_cert_path: String,
    pub insecure_skip_tls_verify: bool,
    /// `host:port` of each Sentinel; if there are any, they say where the Redis is.
    pub sentinels: Vec<String>,
    pub sentinel_service: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// The default policy of every endpoint.
    pub policy: Policy,
    pub max_in_flight: usize,
    pub max_template_origins: usize,
    /// Dispatch threads; 0: one per core, at most 4.
    pub threads: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Security {
    /// If not empty, only these destinations.
    pub allow_networks: Vec<IpNet>,
    /// Never these; wins over `allow_networks`.
    pub deny_networks: Vec<IpNet>,
}

#[derive(Clone, Default, PartialEq)]
pub struct Netbox {
    pub url: String,
    pub token: String,
    /// `None`: ask NetBox; without a NetBox, 4.4.
    pub version: Option<NetboxVersion>,
}

/// Major and minor release of NetBox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NetboxVersion(pub u16, pub u16);

#[derive(Clone, Debug, PartialEq)]
pub struct Intake {
    /// Bytes of all request bodies that are on their way to the disk.
    pub max_bytes: u64,
    /// How long an idempotency key is remembered.
    pub idempotency_window: Duration,
    pub netbox_queue: NetboxQueue,
    pub redis_stream: RedisStream,
}

/// Webhook jobs taken over from NetBox's own queue.
#[derive(Clone, Debug, PartialEq)]
pub struct NetboxQueue {
    pub enabled: bool,
    pub queue: String,
    /// `[redis]` with the keys overridden in this table.
    pub redis: Redis,
}

/// Events written by the NetBox plugin.
#[derive(Clone, Debug, PartialEq)]
pub struct RedisStream {
    pub enabled: bool,
    pub stream: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Log {
    /// A `tracing` filter: `info`, `netbox_webhookd=debug`, …
    pub level: String,
    pub format: LogFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    Pretty,
    Json,
}
