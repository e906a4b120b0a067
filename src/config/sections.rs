//! Every key of every table, with its kind and range.

use std::time::Duration;

use super::setting::{Choice, Days, List, Number, Secret, Section, Size, Span, Text, Visitor};
use super::texts::{
    address, any, base_path, filled, header_name, host_and_port, log_filter, model, network, web_address,
};
use super::{
    Auth, Config, Delivery, Durability, Intake, Log, LogFormat, Netbox, NetboxQueue, Redis, RedisStream, Security,
    Server, Store, Webhooks,
};

/// The shortest duration that can be written.
pub const MS: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);
pub const HOUR: Duration = Duration::from_secs(3_600);
pub const DAY: Duration = Duration::from_secs(86_400);
const TEN_YEARS: Duration = Duration::from_secs(3_650 * 86_400);

/// How to reach a table of the configuration.
type Reach = fn(&mut Config) -> &mut dyn Section;

/// The tables in the order they are printed.
pub const SECTIONS: [(&str, Reach); 12] = [
    ("webhooks", |c| &mut c.webhooks),
    ("server", |c| &mut c.server),
    ("auth", |c| &mut c.auth),
    ("store", |c| &mut c.store),
    ("redis", |c| &mut c.redis),
    ("delivery", |c| &mut c.delivery),
    ("security", |c| &mut c.security),
    ("netbox", |c| &mut c.netbox),
    ("intake", |c| &mut c.intake),
    ("intake.netbox_queue", |c| &mut c.intake.netbox_queue),
    ("intake.redis_stream", |c| &mut c.intake.redis_stream),
    ("log", |c| &mut c.log),
];

impl Section for Webhooks {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("enabled", &mut self.enabled);
        v.key("models", &mut List(&mut self.models, model));
    }
}

impl Section for Server {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("listen", &mut Text(&mut self.listen, address));
        v.key("shutdown_timeout", &mut Span(&mut self.shutdown_timeout, Duration::ZERO..=HOUR));
        v.key("max_body", &mut Size(&mut self.max_body, 1 << 10..=1 << 30));
        v.key("max_batch", &mut Number(&mut self.max_batch, 1..=1_000_000));
        v.key("base_path", &mut Text(&mut self.base_path, base_path));
        v.key("trusted_proxies", &mut List(&mut self.trusted_proxies, network));
        v.key("intake_threads", &mut Number(&mut self.intake_threads, 1..=64));
    }
}

impl Section for Auth {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("bootstrap_token", &mut Secret(&mut self.bootstrap_token));
        v.key("remote_user_header", &mut Text(&mut self.remote_user_header, header_name));
    }
}

impl Section for Store {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("backend", &mut self.backend);
        v.key("path", &mut self.path);
        v.key("durability", &mut Choice(&mut self.durability, &DURABILITIES));
        v.key("retention_delivered", &mut Days(Span(&mut self.retention_delivered, SECOND..=TEN_YEARS)));
        v.key("retention_failed", &mut Days(Span(&mut self.retention_failed, SECOND..=TEN_YEARS)));
        v.key("retention_unmatched", &mut Days(Span(&mut self.retention_unmatched, SECOND..=TEN_YEARS)));
        v.key("max_size", &mut Size(&mut self.max_size, 64 << 20..=1 << 50));
        v.key("max_history", &mut Number(&mut self.max_history, 1..=10_000_000_000));
        v.key("max_backlog", &mut Number(&mut self.max_backlog, 1..=1_000_000_000));
    }
}

const DURABILITIES: [(&str, Durability); 2] = [("fsync", Durability::Fsync), ("relaxed", Durability::Relaxed)];

impl Section for Redis {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("host", &mut Text(&mut self.host, filled));
        v.key("port", &mut Number(&mut self.port, 1..=65_535));
        v.key("username", &mut Text(&mut self.username, any));
        v.key("password", &mut Secret(&mut self.password));
        v.key("database", &mut Number(&mut self.database, 0..=65_535));
        v.key("ssl", &mut self.ssl);
        v.key("ca_cert_path", &mut Text(&mut self.ca_cert_path, any));
        v.key("insecure_skip_tls_verify", &mut self.insecure_skip_tls_verify);
        v.key("sentinels", &mut List(&mut self.sentinels, host_and_port));
        v.key("sentinel_service", &mut Text(&mut self.sentinel_service, filled));
    }
}

impl Section for Delivery {
    fn visit(&mut self, v: &mut dyn Visitor) {
        self.policy.visit(v);
        v.key("max_in_flight", &mut Number(&mut self.max_in_flight, 1..=1_000_000));
        v.key("max_template_origins", &mut Number(&mut self.max_template_origins, 1..=100_000));
        v.key("threads", &mut Number(&mut self.threads, 0..=64));
    }
}

impl Section for Security {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("allow_networks", &mut List(&mut self.allow_networks, network));
        v.key("deny_networks", &mut List(&mut self.deny_networks, network));
    }
}

impl Section for Netbox {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("url", &mut Text(&mut self.url, web_address));
        v.key("token", &mut Secret(&mut self.token));
        v.key("version", &mut self.version);
    }
}

impl Section for Intake {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("max_bytes", &mut Size(&mut self.max_bytes, 1 << 20..=1 << 40));
        v.key("idempotency_window", &mut Span(&mut self.idempotency_window, SECOND..=30 * DAY));
    }
}

impl Section for NetboxQueue {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("enabled", &mut self.enabled);
        v.key("queue", &mut Text(&mut self.queue, filled));
        self.redis.visit(v);
    }
}

impl Section for RedisStream {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("enabled", &mut self.enabled);
        v.key("stream", &mut Text(&mut self.stream, filled));
    }
}

impl Section for Log {
    fn visit(&mut self, v: &mut dyn Visitor) {
        v.key("level", &mut Text(&mut self.level, log_filter));
        v.key("format", &mut Choice(&mut self.format, &[("pretty", LogFormat::Pretty), ("json", LogFormat::Json)]));
    }
}
