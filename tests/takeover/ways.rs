//! The ways to a Redis: TLS, a password, Sentinel.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;

use super::redis::Redis;
use super::stream::{STREAM, add};
use super::support::{Receiver, TestServer, ports, site_event, wait_until, webhook};

const PATIENCE: Duration = Duration::from_secs(30);

fn one_event_comes_through(redis: &Redis, way: &str) {
    let receiver = Receiver::start();
    let config = format!("[intake.redis_stream]\nenabled = true\n[redis]\n{way}");
    let server = TestServer::with_config(config);
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    add(redis, "w/1", &site_event("created", 1, json!({})));
    receiver.wait_for(1);
    wait_until("it is let go of", PATIENCE, || redis.ask::<u64>(&["XLEN", STREAM]) == 0);
}

#[test]
fn with_tls_the_certificate_is_checked() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name).display().to_string();
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).expect("a certificate");
    std::fs::write(file("cert.pem"), made.cert.pem()).expect("written");
    std::fs::write(file("key.pem"), made.signing_key.serialize_pem()).expect("written");
    let port = ports::free();
    let (cert, key, tls) = (file("cert.pem"), file("key.pem"), port.to_string());
    let arguments = ["--tls-port", &tls, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-auth-clients", "no"];
    let redis = Redis::with(&[&arguments[..], &["--tls-ca-cert-file", &cert]].concat());
    let way = format!("host = \"localhost\"\nport = {port}\nssl = true\n");
    one_event_comes_through(&redis, &format!("{way}ca_cert_path = \"{cert}\"\n"));
    one_event_comes_through(&redis, &format!("{way}insecure_skip_tls_verify = true\n"));
    let server = TestServer::with_config(format!("[intake.redis_stream]\nenabled = true\n[redis]\n{way}"));
    let problem = |status: &serde_json::Value| status["intake"]["redis_stream"]["problem"].as_str().map(str::to_owned);
    let status = server.wait_for("/api/status/", |status| problem(status).is_some());
    assert!(problem(&status).is_some_and(|text| text.contains("certificate")), "{status}");
}

/// A Sentinel of one; ends with the test.
struct Sentinel(Child);

impl Drop for Sentinel {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn sentinels_say_where_it_is() {
    let redis = Redis::start();
    let folder = tempfile::tempdir().expect("a folder");
    let port = ports::free();
    let file = folder.path().join("sentinel.conf");
    let text = format!("port {port}\nbind 127.0.0.1\nsentinel monitor netbox 127.0.0.1 {} 1\n", redis.port());
    std::fs::write(&file, text).expect("written");
    let child =
        Command::new("redis-server").arg(&file).arg("--sentinel").stdin(Stdio::null()).stdout(Stdio::null()).spawn();
    let _sentinel = Sentinel(child.expect("redis-server is installed"));
    let way =
        format!("host = \"nowhere.invalid\"\nsentinels = [\"127.0.0.1:{port}\"]\nsentinel_service = \"netbox\"\n");
    one_event_comes_through(&redis, &way);
}
