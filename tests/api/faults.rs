//! What users meet when the disk, another process or we ourselves fail.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support::server::TOKEN;
use super::support::{Options, Receiver, TestServer, now, site_event, wait_until, webhook};

const PATIENCE: Duration = Duration::from_secs(40);
const FILE: &str = "webhookd.sqlite3";

fn open_database(server: &TestServer) -> rusqlite::Connection {
    rusqlite::Connection::open(server.data().join(FILE)).expect("the store's file opens")
}

#[test]
fn a_second_process_on_one_data_folder_is_refused_and_harms_nothing() {
    let server = TestServer::start();
    let mut second = server.command(&["serve"]);
    second.env("NETBOX_WEBHOOKD__SERVER__LISTEN", "127.0.0.1:0");
    let refused = second.output().expect("it runs");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(1), "{text}");
    let expected = format!("is in use by another process (pid {})", server.pid());
    assert!(text.contains(&expected) && text.contains("set another store.path"), "{text}");
    server.emit(&site_event("created", 1, json!({})));
    assert!(!server.data().join("clean").exists(), "the first one still runs");
}

#[test]
fn a_damaged_file_is_named_left_alone_and_recovered_elsewhere() {
    let mut server = TestServer::with(Options::default().expect_error("the store is damaged"));
    server.create_webhook(&webhook("sites", "http://127.0.0.1:1/"));
    for n in 1..=20 {
        server.emit(&site_event("created", n, json!({})));
    }
    server.wait_for("/api/deliveries/", |list| list["results"].as_array().is_some_and(|rows| rows.len() == 20));
    assert!(server.terminate().success());
    let find = "SELECT rootpage FROM sqlite_schema WHERE name = 'event_key'";
    let root: u32 = open_database(&server).query_row(find, [], |r| r.get(0)).expect("a table");
    let path = server.data().join(FILE);
    let mut bytes = fs::read(&path).expect("readable");
    let page = (root as usize - 1) * 4_096;
    bytes[page..page + 2_000].fill(0xff);
    fs::write(&path, &bytes).expect("writable");
    fs::remove_file(server.data().join("clean")).expect("it ended in order");

    server.spawn();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let log = server.log().join("\n");
    assert!(log.contains(FILE) && log.contains("netbox-webhookd recover DIR"), "{log}");
    assert!(fs::read(&path).expect("readable") == bytes, "the damaged file is left as it is");

    let saved = server.folder().join("saved");
    let recovered = server.command(&["recover"]).arg(&saved).output().expect("it runs");
    let text = String::from_utf8_lossy(&recovered.stdout).into_owned();
    assert!(recovered.status.success() && text.contains("20 events, 20 deliveries and 1 webhooks"), "{text}");
    let path = saved.to_str().expect("a plain path");
    server.set_options(Options::default().env("NETBOX_WEBHOOKD__STORE__PATH", path).expect_error("damaged"));
    server.start_again();
    assert_eq!(server.list("/api/deliveries/").len(), 20);
}

/// A small file system of its own; `None` where it cannot be made.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, options: &str) -> Option<Self> {
        fs::create_dir_all(at).expect("a writable folder");
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(at).stderr(Stdio::null());
        mount.status().is_ok_and(|status| status.success()).then(|| Self(at.to_owned()))
    }

    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = fs::File::create(&path).expect("there is space");
        for size in [1 << 20, 4_096] {
            while file.write_all(&vec![1; size]).is_ok() {}
        }
        path
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// `with_ballast`: outcomes are still recorded while the disk is full.
fn a_full_disk(mebibytes: u32, with_ballast: bool) {
    let receiver = Receiver::start();
    let mut server = TestServer::prepare(Options::default().expect_error("the disk is full"));
    let Some(disk) = SmallDisk::mount(&server.data(), &format!("size={mebibytes}m")) else {
        return eprintln!("not tested: a file system can only be mounted as root");
    };
    server.start_again();
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    server.emit(&site_event("created", 1, json!({})));
    let filler = disk.fill();
    let mut taken = 1;
    let refused = loop {
        // Hardly compressible.
        let text: String = (0..20_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
        let answer = server.post("/api/events/", &site_event("updated", taken + 1, json!({ "name": text })));
        if answer.status != 202 {
            break answer;
        }
        taken += 1;
        assert!(taken < 20_000, "the disk is never full");
    };
    assert!(refused.status == 503 && refused.text().contains("full"), "{}", refused.text());
    assert!(refused.header("retry-after").is_some());
    let state = if with_ballast { "store full" } else { "store unusable" };
    let ready = server.request_as(None, "GET", "/health/ready", None).expect(503).json();
    assert_eq!(ready, json!({ "status": state }));
    if with_ballast {
        server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(taken));
        server.request_as(None, "GET", "/health/ready", None).expect(503);
    }
    fs::remove_file(filler).expect("removable");
    wait_until("there is space again", PATIENCE, || server.is_ready());
    let event = site_event("updated", 1, json!({}));
    wait_until("events are taken again", PATIENCE, || server.post("/api/events/", &event).status == 202);
    server.wait_for("/api/status/", |s| s["deliveries"]["delivered"] == json!(taken + 1));
    server.kill();
    server.start_again();
    let status = server.get("/api/status/").expect(200).json();
    assert_eq!(status["events"], json!(taken + 1), "nothing lost, and nothing kept that was refused");
}

#[test]
fn a_read_only_data_folder_is_named() {
    let mut server = TestServer::prepare(Options::default().expect_error("cannot open the store"));
    let Some(_disk) = SmallDisk::mount(&server.data(), "ro,size=1m") else {
        return eprintln!("not tested: a file system can only be mounted as root");
    };
    server.spawn();
    assert_eq!(server.wait_for_exit().code(), Some(1));
    let log = server.log().join("\n");
    let expected = format!("the data folder {} cannot be written: Read-only file system", server.data().display());
    assert!(log.contains(&expected), "{log}");
}

#[test]
fn a_full_disk_refuses_events_records_outcomes_and_passes() {
    a_full_disk(160, true);
}

#[test]
fn a_small_full_disk_stops_deliveries_too_and_passes() {
    a_full_disk(40, false);
}

#[cfg(feature = "crash-points")]
#[test]
fn a_dead_writer_is_said_and_ends_the_process() {
    let receiver = Receiver::start();
    let options = Options::default().expect_error("broke off").expect_error("src/crash.rs");
    let dying = options.clone().env("NBWD_CRASH_AT", "before_commit:4").env("NBWD_CRASH_BY", "panic");
    let mut server = TestServer::with(dying);
    server.create_webhook(&webhook("sites", &receiver.url("/")));
    for n in 1..=3 {
        server.emit(&site_event("created", n, json!({})));
    }
    let refused = server.post("/api/events/", &site_event("created", 4, json!({}))).expect(503);
    let detail = refused.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("the thread that writes the store broke off: ordered to panic"), "{detail}");
    assert_eq!(server.wait_for_exit().code(), Some(1));
    server.set_options(options);
    server.start_again();
    server.wait_for("/api/status/", |s| (&s["events"], &s["deliveries"]["delivered"]) == (&json!(3), &json!(3)));
}

/// Deliveries in the store, half of them still waiting.
const MANY: u32 = 1_000_000;

#[test]
fn a_large_store_is_ready_within_seconds_of_an_unclean_end() {
    let mut server = TestServer::start();
    server.create_webhook(&webhook("sites", "http://127.0.0.1:1/"));
    let endpoint = server.endpoint("http://127.0.0.1:1/")["id"].clone();
    server.post(&format!("/api/endpoints/{endpoint}/pause/"), &json!({})).expect(200);
    assert!(server.terminate().success());
    let db = open_database(&server);
    db.execute_batch(&format!(
        "PRAGMA synchronous = OFF; BEGIN;
         CREATE TEMP TABLE n AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {MANY})
           SELECT i FROM n;
         INSERT INTO event(seq, received, type, label, class, object_key, object_id, request_id, places, plan, body)
           SELECT i, 1764000000000000 + i, 1, 'dcim.site', 'Site', i * 7919, i, 'a-request-id', 0, x'0101', randomblob(250)
           FROM n;
         INSERT INTO delivery(id, endpoint, webhook, state, attempts, finished, code, latency, revision, position, key,
           received, counted, flags)
           SELECT i << 16, {endpoint}, 1, i % 2 * 2, i % 2, 1764000000000000 + i, 200, 900, 1, i << 16, i * 7919,
           1764000000000000 + i, 0, 0 FROM n;
         INSERT INTO event_key SELECT i * 7919, i FROM n;
         INSERT INTO placed SELECT {endpoint}, i << 16 FROM n;
         INSERT INTO idempotency SELECT i, randomblob(16), randomblob(16), 1, 1764000000000000 + i FROM n;
         INSERT OR REPLACE INTO meta VALUES('spilled_upto', {MANY}), ('indexed_upto', {MANY}),
           ('placed_upto', {MANY});
         INSERT INTO counter VALUES({endpoint}, 1, 2, {MANY} / 2), (0, 0, 100, {MANY});
         COMMIT; PRAGMA wal_checkpoint(TRUNCATE);"
    ))
    .expect("written");
    drop(db);
    fs::remove_file(server.data().join("clean")).expect("it ended in order");
    let begun = now();
    server.start_again();
    let took = begun.elapsed();
    let size = fs::metadata(server.data().join(FILE)).expect("a file").len() >> 20;
    eprintln!("ready {took:?} after an unclean end, with {MANY} deliveries in {size} MiB");
    assert!(took < Duration::from_secs(5), "it took {took:?}");
    let status = server.get("/api/status/").expect(200).json();
    assert_eq!(status["deliveries"]["pending"], json!(MANY / 2));
}

/// The head of a request, and as much of its body.
fn begin_post(server: &TestServer, length: usize, sent: usize) -> TcpStream {
    let mut stream = TcpStream::connect(server.address()).expect("it listens");
    let head = format!(
        "POST /api/events/ HTTP/1.1\r\nHost: x\r\nAuthorization: Token {TOKEN}\r\nContent-Type: application/json\r\n\
         Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&vec![b' '; sent])).expect("it reads");
    stream
}

fn answer_of(mut stream: TcpStream) -> String {
    let mut text = Vec::new();
    // One that is not refused is waited for by the server, and not by us.
    stream.set_read_timeout(Some(Duration::from_millis(500))).expect("a timeout");
    // A refused body may be answered with a reset after the answer.
    let _ = stream.read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

#[test]
fn bodies_in_progress_share_a_budget_of_bytes() {
    let server = TestServer::with_config("[server]\nmax_body = \"1MiB\"\n\n[intake]\nmax_bytes = \"1MiB\"\n");
    let half = begin_post(&server, 900_000, 800_000);
    let mut refused = String::new();
    wait_until("the first one holds its part", PATIENCE, || {
        refused = answer_of(begin_post(&server, 600_000, 0));
        refused.starts_with("HTTP/1.1 503")
    });
    assert!(refused.to_ascii_lowercase().contains("retry-after: 1"), "{refused}");
    assert!(refused.contains("intake.max_bytes"), "{refused}");
    server.emit(&site_event("created", 1, json!({})));
    drop(half);
    let large: Value = site_event("created", 2, json!({ "name": "x".repeat(600_000) }));
    wait_until("its part is free again", PATIENCE, || server.post("/api/events/", &large).status == 202);
}
