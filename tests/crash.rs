//! The promise under `kill -9`: an event answered 202 reaches every endpoint, each object's events in order, and a
//! receiver sees a request twice only where its outcome could not be known.
//!
//! 10 random instants by default, 100 with `NBWD_LONG=1`; named points with the feature `crash-points`.

mod support;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rand::Rng;
use serde_json::json;
use support::server::TOKEN;
use support::{
    Client, Options, Pacer, Received, Receiver, TestServer, now, reply, site_event, try_until, wait_until, webhook,
};

const ENDPOINTS: usize = 5;
const OBJECTS: u64 = 64;
/// Each posts for its own objects, so the order of intake of every object is known.
const FEEDERS: u64 = 8;
/// Of all feeders together.
const EVENTS_PER_SECOND: u64 = 1_000;
/// One request in this many is answered 500.
const FAILS: u64 = 7;
/// Outcomes are on disk 20 ms after they are known (and one commit later); a younger one may be repeated after a
/// crash. The rest is for a busy machine, where the commit itself takes its time.
const UNDECIDED: Duration = Duration::from_millis(400);

const CONFIG: &str = r#"
[delivery]
concurrency = 8
timeout = "5s"
backoff_initial = "50ms"
backoff_max = "200ms"
max_attempts = 100

[log]
level = "warn"
"#;

#[test]
fn nothing_is_lost_doubled_or_overtaken_when_killed_at_random_under_load() {
    #[expect(clippy::disallowed_methods, reason = "how long to test is said from outside")]
    let rounds = if std::env::var("NBWD_LONG").is_ok_and(|v| v == "1") { 100 } else { 10 };
    let mut bed = Bed::start(Options::config(CONFIG));
    for _ in 0..rounds {
        let accepted = bed.accepted();
        wait_until("events are taken again", PATIENCE, || bed.accepted() > accepted + 50);
        // The random instant: this many more events.
        let more = rand::rng().random_range(0..1_000);
        try_until(Duration::from_millis(1_500), || bed.accepted() > accepted + 50 + more);
        bed.kill();
        bed.server.start_again();
    }
    bed.finish();
}

#[cfg(feature = "crash-points")]
mod at_named_points {
    use super::*;

    fn survives(point: &str) {
        survives_with(point, [1, 37, 400], Bed::start(Options::config(CONFIG)));
    }

    fn survives_with(point: &str, passes: [u32; 3], mut bed: Bed) {
        for passes in passes {
            let accepted = bed.accepted();
            wait_until("events are taken", PATIENCE, || bed.accepted() > accepted + 20);
            bed.kill();
            bed.server.set_options(Options::config(CONFIG).env("NBWD_CRASH_AT", format!("{point}:{passes}")));
            // It may be gone before it is ready.
            bed.server.spawn();
            bed.wait_for_crash(point);
            bed.server.set_options(Options::config(CONFIG));
            bed.server.start_again();
        }
        bed.finish();
    }

    #[test]
    fn before_an_event_is_committed() {
        survives("before_commit");
    }

    #[test]
    fn after_an_event_is_committed() {
        survives("after_commit");
    }

    #[test]
    fn before_a_request_is_sent() {
        survives("before_send");
    }

    #[test]
    fn after_a_request_was_sent() {
        survives("after_send");
    }

    /// Receivers answer just when deliveries have been open long enough to get their rows.
    #[test]
    fn after_open_deliveries_got_their_rows() {
        let answers = || Duration::from_millis(rand::rng().random_range(350..650));
        let bed = Bed::with(Options::config(CONFIG), answers);
        survives_with("after_spill_commit", [1, 3, 9], bed);
    }

    #[test]
    fn before_an_outcome_is_committed() {
        survives("before_record_commit");
    }
}

const PATIENCE: Duration = Duration::from_secs(60);

/// An event as its feeder knows it: the object, and its number among the events of that object.
type Event = (u64, u64);

/// Server, receiver and feeders, running.
struct Bed {
    server: TestServer,
    receiver: Receiver,
    feeders: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    // A mutex: every feeder writes, the test reads.
    accepted: Arc<Mutex<Vec<Event>>>,
    began: Instant,
    /// When the process was gone, in order.
    kills: Vec<Instant>,
    /// How many requests had been read when each next process started.
    lives: Vec<usize>,
    /// Each of these tests wants the machine for itself.
    _alone: MutexGuard<'static, ()>,
}

impl Bed {
    fn start(options: Options) -> Self {
        Self::with(options, || Duration::ZERO)
    }

    /// `takes`: how long the receiver takes for an answer while events are fed; what is left then is answered at once.
    fn with(options: Options, takes: impl Fn() -> Duration + Send + 'static) -> Self {
        static ALONE: Mutex<()> = Mutex::new(());
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let (stop, accepted) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (mut count, fed) = (0_u64, Arc::clone(&stop));
        let receiver = Receiver::with(move |_| {
            count += 1;
            let takes = if fed.load(Ordering::SeqCst) { Duration::ZERO } else { takes() };
            reply(if count.is_multiple_of(FAILS) { 500 } else { 200 }).after(takes)
        });
        let server = TestServer::with(options);
        for endpoint in 0..ENDPOINTS {
            server.create_webhook(&webhook(&format!("to {endpoint}"), &receiver.url(&format!("/{endpoint}"))));
        }
        let feeders = (0..FEEDERS)
            .map(|feeder| {
                let (address, stop, accepted) = (server.address(), Arc::clone(&stop), Arc::clone(&accepted));
                std::thread::spawn(move || feed(feeder, address, &stop, &accepted))
            })
            .collect();
        let began = now();
        Self { server, receiver, feeders, stop, accepted, began, kills: Vec::new(), lives: vec![0], _alone: alone }
    }

    fn accepted(&self) -> usize {
        self.accepted.lock().expect("no feeder panics with it").len()
    }

    fn kill(&mut self) {
        self.server.kill();
        self.gone();
    }

    #[cfg(feature = "crash-points")]
    #[track_caller]
    fn wait_for_crash(&mut self, point: &str) {
        use std::os::unix::process::ExitStatusExt;

        wait_until(&format!("the process passed {point}"), PATIENCE, || self.server.exited().is_some());
        let status = self.server.wait_for_exit();
        assert_eq!(status.signal(), Some(libc::SIGKILL), "at {point} it ended in another way: {status}");
        self.gone();
    }

    /// The process is gone: what it sent is still read before the next one starts, so each request belongs to one life.
    fn gone(&mut self) {
        self.kills.push(now());
        self.receiver.settle();
        self.lives.push(self.receiver.count());
    }

    /// Deliveries not delivered, as the server counts them.
    fn unfinished(&self) -> u64 {
        let count = |endpoint: &serde_json::Value, state: &str| {
            endpoint[state].as_u64().unwrap_or_else(|| panic!("no {state} in {endpoint}"))
        };
        let states = ["pending", "in_flight", "retrying", "failed"];
        let endpoints = self.server.list("/api/endpoints/");
        assert_eq!(endpoints.len(), ENDPOINTS, "every endpoint is listed");
        endpoints.iter().flat_map(|e| states.map(|state| count(e, state))).sum()
    }

    /// What ended is counted as often by hour as in all.
    fn check_hours(&self) {
        let endpoints = self.server.list("/api/endpoints/");
        for webhook in self.server.list("/api/webhooks/") {
            let endpoint = endpoints.iter().find(|e| e["id"] == webhook["endpoint_id"]).expect("its endpoint");
            let expected = json!({"delivered": endpoint["delivered"], "failed": 0});
            assert_eq!(webhook["last_24h"], expected, "{}", webhook["name"]);
        }
    }

    /// Ends feeding, lets everything be delivered, and looks at what the receiver saw.
    fn finish(mut self) {
        self.stop.store(true, Ordering::SeqCst);
        for feeder in self.feeders.drain(..) {
            feeder.join().expect("a feeder does not panic");
        }
        let fed = self.began.elapsed();
        let accepted = self.accepted.lock().expect("no feeder panics with it").clone();
        let settled = try_until(PATIENCE, || self.unfinished() == 0);
        assert!(settled, "{} deliveries are unfinished or failed long after the last event", self.unfinished());
        let delivered = delivered(&self.receiver.requests());
        let missing: Vec<_> = (0..ENDPOINTS)
            .flat_map(|endpoint| accepted.iter().map(move |event| (endpoint, *event)))
            .filter(|delivery| !delivered.contains_key(delivery))
            .collect();
        assert!(
            missing.is_empty(),
            "of {} events answered 202, {} deliveries never arrived: {:?}",
            accepted.len(),
            missing.len(),
            &missing[..missing.len().min(10)]
        );
        let requests = self.receiver.requests();
        let wrong = violations(&requests, &self.lives, &self.kills);
        let few = &wrong[..wrong.len().min(20)];
        assert!(wrong.is_empty(), "{} violations, the first:\n{}", wrong.len(), few.join("\n"));
        self.check_hours();
        let repeats = requests.iter().filter(|r| r.answered == Some(200)).count() - delivered.len();
        eprintln!(
            "{} events at {:.0}/s with stops, {} requests, {repeats} repeats, {} crashes",
            accepted.len(),
            accepted.len() as f64 / fed.as_secs_f64(),
            requests.len(),
            self.kills.len()
        );
    }
}

/// Posts numbered events of this feeder's objects, each again until it is answered 202; the key makes that harmless.
fn feed(feeder: u64, address: SocketAddr, stop: &AtomicBool, accepted: &Mutex<Vec<Event>>) {
    let objects = OBJECTS / FEEDERS;
    let mut pacer = Pacer::per_second(u32::try_from(EVENTS_PER_SECOND / FEEDERS).expect("a small number"));
    let mut client = Client::with_timeout(address, Duration::from_secs(10));
    for number in 0_u64.. {
        let (object, sequence) = (feeder * objects + number % objects, number / objects);
        let body = site_event("updated", object, json!({"sequence": sequence})).to_string();
        let key = format!("{object}-{sequence}");
        let headers = [
            ("Authorization", &*format!("Token {TOKEN}")),
            ("Content-Type", "application/json"),
            ("Idempotency-Key", &*key),
        ];
        loop {
            // Also between repeats: the server may be down.
            pacer.wait();
            match client.request("POST", "/api/events/", &headers, body.as_bytes()) {
                Ok(answer) if answer.status == 202 => break,
                Ok(answer) => assert_eq!(answer.status, 503, "{}", answer.text()),
                Err(_) if stop.load(Ordering::SeqCst) => return,
                Err(_) => {}
            }
        }
        accepted.lock().expect("no feeder panics with it").push((object, sequence));
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// Where a request belongs: its endpoint and its event.
fn place(request: &Received) -> (usize, Event) {
    let body = request.json();
    let number = |name: &str| body["data"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {body}"));
    let endpoint = request.path.trim_start_matches('/').parse().expect("paths are numbers");
    (endpoint, (number("id"), number("sequence")))
}

/// Index of the first request answered 200, for every delivery.
fn delivered(requests: &[Received]) -> HashMap<(usize, Event), usize> {
    let mut first = HashMap::new();
    for (index, request) in requests.iter().enumerate().filter(|(_, r)| r.answered == Some(200)) {
        first.entry(place(request)).or_insert(index);
    }
    first
}

/// What was seen of one delivery so far.
struct Seen<'a> {
    webhook_id: &'a str,
    /// When it was first answered 200.
    succeeded: Option<Instant>,
}

/// Whatever broke the promise: order of each object at each endpoint, identity, and repeats.
///
/// `lives` are the indexes at which a new process began to send.
fn violations(requests: &[Received], lives: &[usize], kills: &[Instant]) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut seen: HashMap<(usize, Event), Seen<'_>> = HashMap::new();
    // Per endpoint and object: the latest event that first succeeded, and the event last sent in this life.
    let mut newest: HashMap<(usize, u64), u64> = HashMap::new();
    let mut in_life: HashMap<(usize, u64), u64> = HashMap::new();
    for (index, request) in requests.iter().enumerate() {
        if lives.contains(&index) {
            in_life.clear();
        }
        let delivery = place(request);
        let (endpoint, (object, sequence)) = delivery;
        let what = format!("request {index}: event {sequence} of object {object} at endpoint {endpoint}");

        let webhook_id = request.header("webhook-id").unwrap_or_default();
        let before = seen.entry(delivery).or_insert(Seen { webhook_id, succeeded: None });
        if before.webhook_id != webhook_id || webhook_id.is_empty() {
            wrong.push(format!("{what} has webhook-id {webhook_id:?}, first it was {:?}", before.webhook_id));
        }
        if let Some(last) = in_life.insert((endpoint, object), sequence).filter(|last| *last > sequence) {
            wrong.push(format!("{what} came after event {last} in one life"));
        }
        match before.succeeded {
            Some(when) if !undecided(when, request.at, kills) => {
                wrong.push(format!("{what} was sent again though it had succeeded and its outcome was on disk"));
            }
            None if request.answered == Some(200) => {
                before.succeeded = Some(request.at);
                if let Some(last) = newest.insert((endpoint, object), sequence).filter(|last| *last > sequence) {
                    wrong.push(format!("{what} first succeeded after event {last}"));
                }
            }
            Some(_) | None => {}
        }
    }
    wrong
}

/// Whether a crash between a success and its repeat came so soon that the outcome need not have been on disk.
fn undecided(success: Instant, repeat: Instant, kills: &[Instant]) -> bool {
    kills.iter().any(|kill| *kill < repeat && success + UNDECIDED >= *kill)
}

mod what_counts_as_a_violation {
    use super::*;

    /// A request for an event of object 1 at endpoint 0, so many milliseconds after the start.
    fn request(start: Instant, at: u64, sequence: u64, webhook_id: &str, answered: u16) -> Received {
        Received {
            method: "POST".to_owned(),
            path: "/0".to_owned(),
            headers: vec![("webhook-id".to_owned(), webhook_id.to_owned())],
            body: site_event("updated", 1, json!({"sequence": sequence})).to_string().into_bytes(),
            at: start + Duration::from_millis(at),
            wall_micros: 0,
            answered: Some(answered),
            connection: 0,
        }
    }

    /// Requests as (milliseconds, sequence, status); a crash at so many milliseconds before the request of this index.
    fn found(requests: &[(u64, u64, u16)], crash: Option<(u64, usize)>) -> Vec<String> {
        let start = now();
        let requests: Vec<_> =
            requests.iter().map(|(at, n, status)| request(start, *at, *n, &n.to_string(), *status)).collect();
        let kills: Vec<_> = crash.iter().map(|(at, _)| start + Duration::from_millis(*at)).collect();
        let lives: Vec<_> = [0].into_iter().chain(crash.map(|(_, index)| index)).collect();
        violations(&requests, &lives, &kills)
    }

    #[test]
    fn retries_in_order_are_none() {
        assert_eq!(found(&[(0, 1, 500), (10, 1, 200), (20, 2, 200)], None), [""; 0]);
    }

    #[test]
    fn an_overtaken_retry_is_one() {
        assert!(!found(&[(0, 1, 500), (10, 2, 200), (20, 1, 200)], None).is_empty());
    }

    #[test]
    fn a_repeat_without_a_crash_is_one() {
        assert!(!found(&[(0, 1, 200), (10, 1, 200)], None).is_empty());
    }

    #[test]
    fn a_repeat_of_a_young_outcome_after_a_crash_is_none() {
        assert_eq!(found(&[(0, 1, 200), (5, 2, 200), (50, 1, 200), (60, 2, 200)], Some((10, 2))), [""; 0]);
    }

    #[test]
    fn a_repeat_of_an_old_outcome_after_a_crash_is_one() {
        assert!(!found(&[(0, 1, 200), (5_010, 1, 200)], Some((5_000, 1))).is_empty());
    }

    #[test]
    fn repeats_in_the_wrong_order_are_one() {
        assert!(!found(&[(0, 1, 200), (5, 2, 200), (50, 2, 200), (60, 1, 200)], Some((10, 2))).is_empty());
    }

    #[test]
    fn another_webhook_id_is_one() {
        let start = now();
        let requests = [request(start, 0, 1, "a", 500), request(start, 10, 1, "b", 200)];
        assert_eq!(violations(&requests, &[0], &[]).len(), 1);
    }
}
