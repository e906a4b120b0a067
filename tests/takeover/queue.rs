//! Jobs of NetBox's queue.

use std::time::Duration;

use serde_json::{Value, json};

use super::netbox::{self, Netbox};
use super::redis::Redis;
use super::rq::{QUEUE, enqueue, job, registries, rq};
use super::support::{Options, Received, Receiver, TestServer, reply, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

/// The configuration of a service that takes this queue over.
pub fn config(redis: &Redis, netbox: &Netbox) -> String {
    format!(
        "[redis]\nhost = \"127.0.0.1\"\nport = {}\n[netbox]\nurl = \"{}\"\ntoken = \"{}\"\n\
         [intake.netbox_queue]\nenabled = true\n[delivery]\nmax_attempts = 2\nbackoff_initial = \"10ms\"\n",
        redis.port(),
        netbox.url(),
        netbox::TOKEN
    )
}

struct Bed {
    redis: Redis,
    netbox: Netbox,
    receiver: Receiver,
}

impl Bed {
    fn new() -> Self {
        let bed = Self { redis: Redis::start(), netbox: Netbox::start(), receiver: Receiver::start() };
        bed.netbox.webhook(7, &json!({"payload_url": bed.receiver.url("/hook"), "secret": "s3cret"}));
        bed
    }

    fn serve(&self) -> TestServer {
        TestServer::with_config(config(&self.redis, &self.netbox))
    }

    fn wait_for_books(&self, what: &str, mut condition: impl FnMut(&Value) -> bool) {
        let mut last = Value::Null;
        wait_until(what, PATIENCE, || {
            last = registries(&self.redis);
            condition(&last)
        });
    }
}

fn has(books: &Value, registry: &str, jobs: &[String]) -> bool {
    let listed = books[registry].as_array().expect("a registry");
    jobs.iter().all(|job| listed.iter().any(|listed| listed == job))
}

fn objects(requests: &[Received]) -> Vec<u64> {
    requests.iter().map(|request| request.json()["data"]["id"].as_u64().expect("an id")).collect()
}

#[test]
fn jobs_are_delivered_in_their_order_and_netboxs_books_say_so() {
    let bed = Bed::new();
    let jobs = enqueue(&bed.redis, 7, 300, &["--objects", "7"]);
    let server = bed.serve();
    let requests = bed.receiver.wait_for(300);
    let ids = objects(&requests);
    assert_eq!(ids[..7].iter().collect::<std::collections::HashSet<_>>().len(), 7);
    assert!(ids.iter().enumerate().all(|(at, id)| *id == ids[at % 7]), "they come in turn: {:?}", &ids[..21]);
    let first = &requests[0];
    assert!(first.header("x-hook-signature").is_some() && first.header("content-type") == Some("application/json"));
    let keys: Vec<_> = first.json().as_object().expect("an object").keys().cloned().collect();
    assert!(keys.contains(&"object_type".to_owned()) && keys.contains(&"model".to_owned()), "a body of 4.4: {keys:?}");
    bed.wait_for_books("all jobs are finished", |books| has(books, "finished", &jobs));
    let books = registries(&bed.redis);
    for registry in ["queued", "started", "failed", "intermediate", "started_executions"] {
        assert_eq!(books[registry], json!([]), "{registry}");
    }
    let worker = &books["workers_of_queue"][0];
    let name = worker["name"].as_str().or_else(|| worker.as_str()).unwrap_or_default();
    assert!(name.starts_with("netbox-webhookd-"), "{books}");
    let last = job(&bed.redis, &jobs[299]);
    assert_eq!(last["status"], "finished");
    assert!(last.to_string().contains("delivered by netbox-webhookd: HTTP 200"), "{last}");
    let status = server.get("/api/status/").json();
    assert_eq!((&status["intake"]["netbox_queue"]["taken"], &status["netbox_version"]), (&json!(300), &json!("4.4")));
}

#[test]
fn a_requeue_on_netboxs_page_is_a_manual_retry() {
    let bed = Bed::new();
    bed.receiver.on("/hook", reply(404));
    let jobs = enqueue(&bed.redis, 7, 1, &["--retry", "3"]);
    let server = bed.serve();
    bed.wait_for_books("the job has failed", |books| has(books, "failed", &jobs));
    let failed = job(&bed.redis, &jobs[0]);
    assert!(failed["status"] == "failed" && failed.to_string().contains("HTTP 404"), "{failed}");
    bed.receiver.on("/hook", reply(200));
    rq(&bed.redis, &["requeue", &jobs[0]]);
    bed.wait_for_books("the job has finished", |books| has(books, "finished", &jobs));
    assert_eq!(registries(&bed.redis)["failed"], json!([]));
    let deliveries = server.list("/api/deliveries/");
    assert_eq!((deliveries.len(), &deliveries[0]["status"]), (1, &json!("delivered")), "{deliveries:?}");
    let ids: Vec<_> = bed.receiver.requests().iter().map(|r| r.header("webhook-id").map(str::to_owned)).collect();
    assert!(ids.len() == 2 && ids[0] == ids[1], "the same delivery, once more: {ids:?}");
    // A person who wants a finished job again gets it again.
    rq(&bed.redis, &["enqueue-job", &jobs[0]]);
    bed.receiver.wait_for(3);
    bed.wait_for_books("the job has finished again", |books| has(books, "finished", &jobs));
}

#[test]
fn a_retry_here_is_told_to_netbox() {
    let bed = Bed::new();
    bed.receiver.on("/hook", reply(404));
    let jobs = enqueue(&bed.redis, 7, 1, &[]);
    let server = bed.serve();
    bed.wait_for_books("the job has failed", |books| has(books, "failed", &jobs));
    bed.receiver.on("/hook", reply(200));
    let id = server.list("/api/deliveries/")[0]["id"].as_str().expect("an id").to_owned();
    server.post(&format!("/api/deliveries/{id}/retry/"), &json!({})).expect(202);
    bed.wait_for_books("the job has finished", |books| has(books, "finished", &jobs) && books["failed"] == json!([]));
}

#[test]
fn stop_on_netboxs_page_cancels_the_delivery() {
    let bed = Bed::new();
    bed.receiver.on("/hook", reply(503).header("Retry-After", "3000"));
    let jobs = enqueue(&bed.redis, 7, 1, &[]);
    let server = bed.serve();
    bed.wait_for_books("the job has begun", |books| has(books, "started", &jobs));
    // Until our worker follows its orders nobody hears one.
    wait_until("the order is heard", PATIENCE, || {
        rq(&bed.redis, &["stop", &jobs[0]]);
        server.list("/api/deliveries/?status=canceled").len() == 1
    });
    bed.wait_for_books("the job has stopped", |books| has(books, "failed", &jobs));
    assert_eq!(job(&bed.redis, &jobs[0])["status"], "stopped");
}

#[test]
fn jobs_wait_while_their_webhook_is_unknown_and_netbox_does_not_answer() {
    let mut bed = Bed::new();
    bed.netbox.receiver.down();
    let jobs = enqueue(&bed.redis, 7, 3, &[]);
    let server = bed.serve();
    server.wait_for("/api/status/", |status| {
        status["intake"]["netbox_queue"]["problem"].as_str().is_some_and(|problem| problem.contains("cannot reach"))
    });
    assert_eq!(bed.receiver.count(), 0);
    bed.netbox.receiver.up();
    bed.receiver.wait_for(3);
    bed.wait_for_books("all jobs are finished", |books| has(books, "finished", &jobs));
    // What is known is used when NetBox is gone.
    bed.netbox.receiver.down();
    enqueue(&bed.redis, 7, 2, &["--start", "10"]);
    bed.receiver.wait_for(5);
}

#[test]
fn what_cannot_be_sent_fails_with_its_reason_and_holds_nobody_up() {
    let bed = Bed::new();
    bed.netbox.webhook(8, &json!({"payload_url": "not a url"}));
    let unknown = enqueue(&bed.redis, 99, 1, &[]);
    let broken = enqueue(&bed.redis, 8, 1, &[]);
    let refused = enqueue(&bed.redis, 7, 1, &[]);
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/netbox/rq/made/refused-classes.data.zlib");
    let data = std::fs::read(made).expect("a fixture");
    let mut connection =
        ::redis::Client::open(bed.redis.url()).expect("an address").get_connection().expect("Redis is up");
    let set = ::redis::cmd("HSET").arg(format!("rq:job:{}", refused[0])).arg("data").arg(data).exec(&mut connection);
    set.expect("set");
    let good = enqueue(&bed.redis, 7, 1, &[]);
    let _server = bed.serve();
    bed.wait_for_books("the good one has finished", |books| has(books, "finished", &good));
    for (job_ids, reason) in [
        (&unknown, "NetBox has no webhook 99"),
        (&broken, "webhook 8 of NetBox: payload_url: "),
        (&refused, "classes whose JSON form is not known here"),
    ] {
        bed.wait_for_books("it has failed", |books| has(books, "failed", job_ids));
        let failed = job(&bed.redis, &job_ids[0]);
        assert!(failed.to_string().contains(reason), "{reason}: {failed}");
    }
    assert_eq!(bed.receiver.count(), 1);
}

#[test]
fn secrets_of_jobs_reach_no_file_no_log_and_no_page() {
    let bed = Bed::new();
    let captured =
        concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/netbox/rq/06-all-json-dcim-object_updated.data.zlib");
    let data = std::fs::read(captured).expect("a fixture");
    let jobs = enqueue(&bed.redis, 7, 1, &[]);
    let mut connection =
        ::redis::Client::open(bed.redis.url()).expect("an address").get_connection().expect("Redis is up");
    let set = ::redis::cmd("HSET").arg(format!("rq:job:{}", jobs[0])).arg("data").arg(data).exec(&mut connection);
    set.expect("set");
    bed.netbox.webhook(1, &json!({"payload_url": bed.receiver.url("/hook")}));
    let mut server = TestServer::with(Options::config(config(&bed.redis, &bed.netbox) + "[log]\nlevel = \"trace\"\n"));
    bed.receiver.wait_for(1);
    let pages = ["/api/events/", "/api/deliveries/", "/api/audit/", "/api/status/", "/api/webhooks/"];
    let shown: String = pages.iter().map(|page| server.get(page).text()).collect();
    server.terminate();
    let mut seen =
        vec![("log".to_owned(), server.log().join("\n").into_bytes()), ("API".to_owned(), shown.into_bytes())];
    for entry in std::fs::read_dir(server.data()).expect("the data folder") {
        let path = entry.expect("an entry").path();
        seen.push((path.display().to_string(), std::fs::read(path).unwrap_or_default()));
    }
    assert!(seen.len() > 3);
    for (place, bytes) in seen {
        for secret in [&b"pbkdf2_sha256$"[..], b"sessionid"] {
            assert!(!bytes.windows(secret.len()).any(|part| part == secret), "{place}");
        }
    }
}

#[test]
fn nothing_is_lost_or_doubled_when_redis_restarts() {
    let mut bed = Bed::new();
    let server = bed.serve();
    let mut jobs = enqueue(&bed.redis, 7, 500, &["--objects", "50"]);
    wait_until("some are delivered", PATIENCE, || bed.receiver.count() > 20);
    bed.redis.down();
    bed.redis.up();
    jobs.extend(enqueue(&bed.redis, 7, 20, &["--start", "500"]));
    bed.wait_for_books("all jobs are finished", |books| has(books, "finished", &jobs));
    assert_eq!(bed.receiver.count(), 520);
    let books = registries(&bed.redis);
    assert_eq!((&books["started"], &books["intermediate"]), (&json!([]), &json!([])));
    assert_eq!(server.list("/api/deliveries/").len(), 520);
}

#[test]
fn a_stop_under_load_leaves_nothing_behind() {
    let bed = Bed::new();
    let jobs = enqueue(&bed.redis, 7, 600, &["--objects", "50"]);
    let mut server = bed.serve();
    wait_until("some are delivered", PATIENCE, || bed.receiver.count() > 5);
    assert!(server.terminate().success());
    let books = registries(&bed.redis);
    assert_eq!(books["intermediate"], json!([]), "what was taken and not begun is back on the queue");
    server.start_again();
    bed.wait_for_books("all jobs are finished", |books| has(books, "finished", &jobs));
    let books = registries(&bed.redis);
    for registry in ["queued", "started", "intermediate", "failed"] {
        assert_eq!(books[registry], json!([]), "{registry}");
    }
}

#[test]
fn enqueue_on_a_job_that_has_begun_changes_nothing() {
    let bed = Bed::new();
    bed.receiver.on("/hook", reply(503).header("Retry-After", "3000"));
    let jobs = enqueue(&bed.redis, 7, 1, &[]);
    let server = bed.serve();
    bed.wait_for_books("the job has begun", |books| has(books, "started", &jobs));
    rq(&bed.redis, &["enqueue-job", &jobs[0]]);
    bed.wait_for_books("it is taken again", |books| books["queued"] == json!([]) && books["intermediate"] == json!([]));
    bed.receiver.on("/hook", reply(200));
    let endpoint = server.list("/api/endpoints/")[0]["id"].clone();
    server.post(&format!("/api/endpoints/{endpoint}/resume/"), &json!({})).expect(200);
    let id = server.list("/api/deliveries/")[0]["id"].as_str().expect("an id").to_owned();
    server.post(&format!("/api/deliveries/{id}/retry/"), &json!({})).expect(202);
    bed.wait_for_books("the job has finished", |books| has(books, "finished", &jobs));
    assert_eq!(server.list("/api/deliveries/").len(), 1);
}

#[test]
fn a_page_of_a_proxy_is_not_taken_for_a_netbox_without_webhooks() {
    let bed = Bed::new();
    let first = enqueue(&bed.redis, 7, 1, &[]);
    let mut server = bed.serve();
    bed.wait_for_books("it has finished", |books| has(books, "finished", &first));
    server.terminate();
    bed.netbox.version("");
    server.start_again();
    let unknown = enqueue(&bed.redis, 8, 1, &[]);
    server.wait_for("/api/status/", |status| !status["intake"]["netbox_queue"]["problem"].is_null());
    assert_eq!(server.list("/api/webhooks/")[0]["orphaned"], json!(false));
    bed.netbox.webhook(8, &json!({"payload_url": bed.receiver.url("/hook")}));
    bed.netbox.version("4.4.10");
    bed.wait_for_books("it has finished", |books| has(books, "finished", &unknown));
}

#[test]
fn switched_off_it_leaves_jobs_where_they_are() {
    let bed = Bed::new();
    let jobs = enqueue(&bed.redis, 7, 2, &[]);
    let off = config(&bed.redis, &bed.netbox) + "[webhooks]\nenabled = false\n";
    let mut server = TestServer::with_config(off);
    bed.wait_for_books("our worker is there", |books| books["workers_of_queue"] != json!([]));
    assert_eq!(registries(&bed.redis)["queued"], json!(jobs));
    server.kill();
    server.set_options(Options::config(config(&bed.redis, &bed.netbox)));
    server.start_again();
    bed.receiver.wait_for(2);
    let last: i64 = bed.redis.ask(&["LLEN", &format!("rq:queue:{QUEUE}")]);
    assert_eq!(last, 0);
}

#[test]
fn the_body_is_that_of_netboxs_release() {
    let bed = Bed::new();
    bed.netbox.version("4.7.0-beta1");
    enqueue(&bed.redis, 7, 1, &[]);
    let _server = bed.serve();
    let body = bed.receiver.wait_for(1)[0].json();
    let keys: Vec<_> = body.as_object().expect("an object").keys().map(String::as_str).collect();
    assert!(keys.contains(&"request") && !keys.contains(&"username") && !keys.contains(&"model"), "{keys:?}");
}

#[test]
fn a_webhook_that_left_netbox_holds_its_deliveries() {
    let bed = Bed::new();
    let jobs = enqueue(&bed.redis, 7, 1, &[]);
    let server = bed.serve();
    bed.wait_for_books("it has finished", |books| has(books, "finished", &jobs));
    let shown = &server.list("/api/webhooks/")[0];
    assert_eq!((&shown["source"], &shown["orphaned"]), (&json!("netbox"), &json!(false)));
    bed.netbox.remove_webhook(7);
    // A job that says a webhook changed has the definitions read again; here the next job asks for the one it names.
    let gone = enqueue(&bed.redis, 98, 1, &[]);
    bed.wait_for_books("it has failed", |books| has(books, "failed", &gone));
}
