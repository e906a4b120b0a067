//! The built-in defaults: what the shipped `config.toml` says, word for word (a test compares them).

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;

use super::sections::{DAY, HOUR};
use super::*;
use crate::domain::credentials::MASK;

impl Default for Webhooks {
    fn default() -> Self {
        Self { enabled: true, models: Vec::new() }
    }
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8900)),
            shutdown_timeout: Duration::from_secs(30),
            max_body: 64 << 20,
            max_batch: 10_000,
            base_path: String::new(),
            trusted_proxies: Vec::new(),
            intake_threads: 1,
        }
    }
}

impl Default for Store {
    fn default() -> Self {
        Self {
            backend: Backend::Embedded,
            path: PathBuf::from("./data"),
            durability: Durability::Fsync,
            retention_delivered: 14 * DAY,
            retention_failed: 90 * DAY,
            retention_unmatched: DAY,
            max_size: 20 << 30,
            max_history: 10_000_000,
            max_backlog: 5_000_000,
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            host: "localhost".to_owned(),
            port: 6379,
            username: String::new(),
            password: String::new(),
            database: 0,
            ssl: false,
            ca_cert_path: String::new(),
            insecure_skip_tls_verify: false,
            sentinels: Vec::new(),
            sentinel_service: "default".to_owned(),
        }
    }
}

impl Default for Delivery {
    fn default() -> Self {
        Self { policy: Policy::default(), max_in_flight: 4_096, max_template_origins: 1_000, threads: 0 }
    }
}

impl Default for Security {
    fn default() -> Self {
        let link_local = [
            IpNet::new_assert(IpAddr::V4(Ipv4Addr::new(169, 254, 0, 0)), 16),
            IpNet::new_assert(IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0)), 10),
        ];
        Self { allow_networks: Vec::new(), deny_networks: link_local.to_vec() }
    }
}

impl Default for Intake {
    fn default() -> Self {
        Self {
            max_bytes: 256 << 20,
            idempotency_window: 24 * HOUR,
            netbox_queue: NetboxQueue::default(),
            redis_stream: RedisStream::default(),
        }
    }
}

impl Default for NetboxQueue {
    fn default() -> Self {
        Self { enabled: false, queue: "netbox-webhookd".to_owned(), redis: Redis::default() }
    }
}

impl Default for RedisStream {
    fn default() -> Self {
        Self { enabled: false, stream: "netbox-webhookd:events".to_owned() }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Pretty }
    }
}

/// Secrets stay out of logs, however a configuration gets there.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth")
            .field("bootstrap_token", &MASK)
            .field("remote_user_header", &self.remote_user_header)
            .finish()
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, database, .. } = self;
        write!(f, "Redis({host}:{port}/{database})")
    }
}

impl fmt::Debug for Netbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Netbox").field("url", &self.url).field("version", &self.version).finish_non_exhaustive()
    }
}
