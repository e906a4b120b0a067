//! The second yardstick: the least program that still takes an event, has it on disk before it answers, and sends it
//! to every endpoint in order. No matching, signing, limits, retries or recovery: what those cost is the difference.
//!
//! One intake worker, one thread for the log, one thread that delivers.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};

use actix_web::{App, HttpResponse, HttpServer, web};
use bytes::Bytes;
use serde_json::value::RawValue;
use tokio::sync::{Notify, Semaphore, mpsc, oneshot};

use super::{bare, event};

/// How it is started.
pub struct Settings<'a> {
    pub listen: SocketAddr,
    pub log: &'a Path,
    /// Requests in flight per endpoint.
    pub in_flight: usize,
    /// Queues per endpoint, each in order: 1, or one per object.
    pub lanes: usize,
    pub urls: &'a [String],
}

/// Runs until the process is killed.
pub fn main(settings: &Settings<'_>) -> anyhow::Result<()> {
    let log = Log::open(settings.log, delivering(settings))?;
    actix_rt::System::new().block_on(async {
        let app = move || {
            App::new()
                .app_data(web::Data::new(log.clone()))
                .app_data(web::PayloadConfig::new(64 << 20))
                .route("/api/events/", web::post().to(intake))
                .route("/health/ready", web::get().to(HttpResponse::Ok))
        };
        HttpServer::new(app).workers(1).bind(settings.listen)?.run().await?;
        Ok(())
    })
}

async fn intake(log: web::Data<Log>, body: Bytes) -> HttpResponse {
    let (done, durable) = oneshot::channel();
    log.append(Entry { body, done });
    match durable.await {
        Ok(()) => HttpResponse::Accepted().finish(),
        Err(_) => HttpResponse::ServiceUnavailable().finish(),
    }
}

struct Entry {
    body: Bytes,
    done: oneshot::Sender<()>,
}

/// The write-ahead log: what arrives while one commit runs is the next commit.
#[derive(Clone)]
struct Log {
    waiting: Arc<(Mutex<Vec<Entry>>, Condvar)>,
}

impl Log {
    fn open(path: &Path, delivery: mpsc::UnboundedSender<Vec<Bytes>>) -> anyhow::Result<Self> {
        let file = File::create(path)?;
        let log = Self { waiting: Arc::default() };
        let writer = log.clone();
        std::thread::spawn(move || writer.write(file, &delivery).expect("the log can be written"));
        Ok(log)
    }

    fn append(&self, entry: Entry) {
        let (waiting, arrived) = &*self.waiting;
        waiting.lock().expect("no holder panics").push(entry);
        arrived.notify_one();
    }

    fn write(&self, mut file: File, delivery: &mpsc::UnboundedSender<Vec<Bytes>>) -> std::io::Result<()> {
        let (waiting, arrived) = &*self.waiting;
        let mut bytes = Vec::new();
        loop {
            let mut guard = waiting.lock().expect("no holder panics");
            while guard.is_empty() {
                guard = arrived.wait(guard).expect("no holder panics");
            }
            let entries = std::mem::take(&mut *guard);
            drop(guard);

            bytes.clear();
            for entry in &entries {
                let length = u32::try_from(entry.body.len()).expect("a body below 4 GiB");
                bytes.extend_from_slice(&length.to_le_bytes());
                bytes.extend_from_slice(&entry.body);
            }
            file.write_all(&bytes)?;
            file.sync_data()?;

            // In the order of the log; the sender is told after.
            let _ = delivery.send(entries.iter().flat_map(|e| events(&e.body)).collect());
            for entry in entries {
                let _ = entry.done.send(());
            }
        }
    }
}

/// The events of a request: itself, or the members of an array.
fn events(body: &Bytes) -> Vec<Bytes> {
    if body.first() != Some(&b'[') {
        return vec![body.clone()];
    }
    let members: Vec<&RawValue> = serde_json::from_slice(body).expect("the feeder writes JSON");
    members.iter().map(|member| body.slice_ref(member.get().as_bytes())).collect()
}

/// Starts the delivering thread; what is sent here goes to every endpoint.
fn delivering(settings: &Settings<'_>) -> mpsc::UnboundedSender<Vec<Bytes>> {
    let (sender, receiver) = mpsc::unbounded_channel();
    let (urls, lanes, in_flight) = (settings.urls.to_vec(), settings.lanes, settings.in_flight);
    std::thread::spawn(move || actix_rt::System::new().block_on(deliver(receiver, &urls, lanes, in_flight)));
    sender
}

async fn deliver(mut committed: mpsc::UnboundedReceiver<Vec<Bytes>>, urls: &[String], lanes: usize, in_flight: usize) {
    let client = bare::client();
    let endpoints: Vec<Vec<Rc<Lane>>> = urls
        .iter()
        .map(|url| {
            let free = Rc::new(Semaphore::new(in_flight));
            (0..lanes).map(|_| Lane::start(&client, url, free.clone())).collect()
        })
        .collect();
    while let Some(bodies) = committed.recv().await {
        for body in bodies {
            let lane = if lanes == 1 { 0 } else { event::object(&body).unwrap_or(0) as usize % lanes };
            for endpoint in &endpoints {
                endpoint[lane].push(body.clone());
            }
        }
    }
}

/// A queue whose bodies are sent one after the other.
struct Lane {
    queue: RefCell<VecDeque<Bytes>>,
    filled: Notify,
}

impl Lane {
    fn start(client: &awc::Client, url: &str, free: Rc<Semaphore>) -> Rc<Self> {
        let lane = Rc::new(Self { queue: RefCell::default(), filled: Notify::new() });
        let request = client.post(url).content_type("application/json").freeze().expect("a valid payload URL");
        let own = lane.clone();
        actix_rt::spawn(async move {
            loop {
                let body = own.next().await;
                let Ok(_permit) = free.acquire().await else { return };
                // A failed request is not this program's business.
                if let Ok(mut response) = request.send_body(body).await {
                    let _ = response.body().await;
                }
            }
        });
        lane
    }

    fn push(&self, body: Bytes) {
        self.queue.borrow_mut().push_back(body);
        self.filled.notify_one();
    }

    async fn next(&self) -> Bytes {
        loop {
            if let Some(body) = self.queue.borrow_mut().pop_front() {
                return body;
            }
            self.filled.notified().await;
        }
    }
}
