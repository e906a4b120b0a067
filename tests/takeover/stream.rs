//! Events that the plugin wrote into a stream.

use std::time::Duration;

use serde_json::{Value, json};

use super::redis::Redis;
use super::support::{Options, Receiver, TestServer, site_event, wait_until, webhook};

pub const STREAM: &str = "netbox-webhookd:events";
const GROUP: &str = "netbox-webhookd";
const PATIENCE: Duration = Duration::from_secs(30);

pub fn config(redis: &Redis) -> String {
    format!("[redis]\nhost = \"127.0.0.1\"\nport = {}\n[intake.redis_stream]\nenabled = true\n", redis.port())
}

pub fn add(redis: &Redis, id: &str, event: &Value) {
    let _: String = redis.ask(&["XADD", STREAM, "*", "id", id, "event", &event.to_string()]);
}

fn length(redis: &Redis, stream: &str) -> u64 {
    redis.ask(&["XLEN", stream])
}

#[test]
fn entries_are_delivered_in_order_and_let_go_of() {
    let (redis, receiver) = (Redis::start(), Receiver::start());
    let server = TestServer::with_config(config(&redis));
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    for n in 0..50 {
        add(&redis, &format!("a/{n}"), &site_event("updated", n % 5, json!({"n": n})));
    }
    // Sent once more by a plugin that did not know whether it had been.
    add(&redis, "a/49", &site_event("updated", 4, json!({"n": 49})));
    add(&redis, "a/50", &site_event("updated", 0, json!({"n": 50})));
    let requests = receiver.wait_for(51);
    let order: Vec<_> = requests.iter().map(|r| r.json()["data"]["n"].as_u64().expect("a number")).collect();
    assert_eq!(order, (0..51).collect::<Vec<_>>());
    wait_until("the stream is empty", PATIENCE, || length(&redis, STREAM) == 0);
    let pending: ::redis::Value = redis.ask(&["XPENDING", STREAM, GROUP, "-", "+", "10"]);
    assert_eq!(pending, ::redis::Value::Array(Vec::new()));
    let status = server.get("/api/status/").json();
    assert_eq!(status["intake"]["redis_stream"]["problem"], json!(null));
}

#[test]
fn what_is_no_event_is_set_aside_with_its_reason() {
    let (redis, receiver) = (Redis::start(), Receiver::start());
    let server = TestServer::with_config(config(&redis));
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    let _: String = redis.ask(&["XADD", STREAM, "*", "event", "{\"event\": \"created\"}"]);
    let _: String = redis.ask(&["XADD", STREAM, "*", "nothing", "of use"]);
    add(&redis, "b/1", &site_event("created", 1, json!({})));
    add(&redis, "b/1", &site_event("created", 2, json!({})));
    receiver.wait_for(1);
    let aside = format!("{STREAM}:refused");
    wait_until("all are let go of", PATIENCE, || length(&redis, STREAM) == 0 && length(&redis, &aside) == 3);
    let entries: Vec<(String, Vec<String>)> = redis.ask(&["XRANGE", &aside, "-", "+"]);
    let reasons: Vec<_> = entries.iter().map(|(_, fields)| fields[1].as_str()).collect();
    assert!(reasons[0].contains("\"data\" is missing") || reasons[0].contains("\"model\" is missing"), "{reasons:?}");
    assert!(reasons[1].contains("no field \"event\""), "{reasons:?}");
    assert!(reasons[2].contains("used before with another body"), "{reasons:?}");
    assert_eq!(receiver.count(), 1);
}

#[test]
fn entries_of_a_dead_consumer_are_taken_over() {
    let (redis, receiver) = (Redis::start(), Receiver::start());
    let _: String = redis.ask(&["XGROUP", "CREATE", STREAM, GROUP, "0", "MKSTREAM"]);
    add(&redis, "c/1", &site_event("created", 1, json!({})));
    let read: ::redis::Value =
        redis.ask(&["XREADGROUP", "GROUP", GROUP, "another", "COUNT", "10", "STREAMS", STREAM, ">"]);
    assert_ne!(read, ::redis::Value::Nil);
    let entries: Vec<(String, ::redis::Value)> = redis.ask(&["XRANGE", STREAM, "-", "+"]);
    // As if it had been silent for two minutes.
    let _: ::redis::Value = redis.ask(&["XCLAIM", STREAM, GROUP, "another", "0", &entries[0].0, "IDLE", "120000"]);
    let mut server = TestServer::prepare(Options::config(config(&redis)));
    server.start_again();
    server.wait_for("/api/events/", |events| events["count"] == 1 || events["results"][0].is_object());
    wait_until("it is let go of", PATIENCE, || length(&redis, STREAM) == 0);
    drop(receiver);
}

#[test]
fn a_redis_that_forgot_everything_is_no_end() {
    let (mut redis, receiver) = (Redis::start(), Receiver::start());
    let server = TestServer::with_config(config(&redis));
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    add(&redis, "d/1", &site_event("created", 1, json!({})));
    receiver.wait_for(1);
    let _: String = redis.ask(&["FLUSHALL"]);
    redis.down();
    redis.up();
    add(&redis, "d/2", &site_event("created", 2, json!({})));
    receiver.wait_for(2);
}
