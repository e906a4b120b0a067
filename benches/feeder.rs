//! Feeds events over keep-alive connections, as fast as they are taken or at a fixed rate.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, sleep_until};

use super::event;
use super::histogram::Histogram;
use super::receiver::Tally;
use super::support::server::TOKEN;
use super::support::wall_micros;

/// Connections that feed, as the issue of speed defines it.
pub const CONNECTIONS: usize = 16;

/// What is fed, and how.
#[derive(Clone)]
pub struct Feed {
    pub to: SocketAddr,
    pub events: u64,
    /// Objects that the events are spread over.
    pub objects: u64,
    /// Events per request; more than one makes a JSON array.
    pub batch: u64,
    /// Requests per second; `None`: as fast as they are taken.
    pub rate: Option<f64>,
    /// `None`: the model is `Site`; else it is the number of the event modulo this, `bench.Model<n>`.
    pub models: Option<u64>,
    /// Waits while more deliveries than this are under way.
    pub ahead: Option<Ahead>,
}

/// How far feeding may run ahead of receiving.
#[derive(Clone)]
pub struct Ahead {
    pub tally: Arc<Tally>,
    pub fan_out: u64,
    pub deliveries: u64,
}

impl Feed {
    pub fn new(to: SocketAddr, events: u64) -> Self {
        Self { to, events, objects: 64, batch: 1, rate: None, models: None, ahead: None }
    }
}

/// What came of it.
pub struct Fed {
    /// Wall clock of the first request, in microseconds.
    pub first_micros: u64,
    pub seconds: f64,
    /// From the first byte of a request to its answer.
    pub accept: Histogram,
    /// Answers other than 202, each with what it said.
    pub refused: Vec<String>,
}

/// Feeds to the end, on the thread that calls it.
pub fn feed(feed: &Feed) -> Fed {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let local = tokio::task::LocalSet::new();
    let state = Rc::new(State {
        feed: feed.clone(),
        next: Cell::new(0),
        start: Instant::now(),
        accept: Histogram::default(),
        refused: RefCell::default(),
    });
    let first_micros = wall_micros();
    let seconds = local.block_on(&runtime, async {
        let tasks: Vec<_> = (0..CONNECTIONS).map(|_| tokio::task::spawn_local(connection(state.clone()))).collect();
        for task in tasks {
            if let Err(error) = task.await.expect("a feeding task does not panic") {
                state.refused.borrow_mut().push(error.to_string());
            }
        }
        state.start.elapsed().as_secs_f64()
    });
    drop(local);
    let state = Rc::into_inner(state).expect("all feeding tasks have ended");
    Fed { first_micros, seconds, accept: state.accept, refused: state.refused.into_inner() }
}

struct State {
    feed: Feed,
    /// Number of the next event.
    next: Cell<u64>,
    start: Instant,
    accept: Histogram,
    refused: RefCell<Vec<String>>,
}

async fn connection(state: Rc<State>) -> std::io::Result<()> {
    let feed = &state.feed;
    let mut stream = TcpStream::connect(feed.to).await?;
    stream.set_nodelay(true)?;
    let (mut body, mut request) = (Vec::new(), Vec::new());
    loop {
        let first = state.next.get();
        if first >= feed.events {
            return Ok(());
        }
        let count = feed.batch.min(feed.events - first);
        state.next.set(first + count);
        until_due(&state, first).await;

        body.clear();
        write_body(&mut body, feed, first, count);
        request.clear();
        request.extend_from_slice(
            format!(
                "POST /api/events/ HTTP/1.1\r\nHost: {}\r\nAuthorization: Token {TOKEN}\r\n\
                 Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                feed.to,
                body.len()
            )
            .as_bytes(),
        );
        request.extend_from_slice(&body);
        let began = Instant::now();
        stream.write_all(&request).await?;
        let (status, text) = read_answer(&mut stream).await?;
        state.accept.record_duration(began.elapsed());
        if status != 202 {
            state.refused.borrow_mut().push(format!("{status}: {text}"));
        }
    }
}

/// Waits for the event's turn under the fixed rate, and until receiving has caught up.
async fn until_due(state: &State, event: u64) {
    if let Some(rate) = state.feed.rate {
        let due = state.start + Duration::from_secs_f64((event / state.feed.batch) as f64 / rate);
        sleep_until(due).await;
    }
    if let Some(ahead) = &state.feed.ahead {
        while (event * ahead.fan_out).saturating_sub(ahead.tally.total()) > ahead.deliveries {
            sleep(Duration::from_millis(1)).await;
        }
    }
}

fn write_body(body: &mut Vec<u8>, feed: &Feed, first: u64, count: u64) {
    let one = |body: &mut Vec<u8>, number: u64| match feed.models {
        None => event::write(body, "Site", number % feed.objects),
        Some(models) => {
            let model = number % models;
            event::write(body, &format!("bench.Model{model}"), number / models % feed.objects);
        }
    };
    if feed.batch == 1 {
        return one(body, first);
    }
    for number in first..first + count {
        body.push(if number == first { b'[' } else { b',' });
        one(body, number);
    }
    body.push(b']');
}

/// Status and body of an answer that states its length.
async fn read_answer(stream: &mut TcpStream) -> std::io::Result<(u16, String)> {
    let mut buffer = Vec::with_capacity(1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = buffer.windows(4).position(|w| w == b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let status = text.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
        let length = text.lines().find_map(|l| l.strip_prefix("content-length:")).and_then(|v| v.trim().parse().ok());
        let Some(length) = length.map(|l: usize| l + head + 4) else {
            return Err(std::io::Error::other("the answer does not state its length"));
        };
        if buffer.len() >= length {
            return Ok((status, String::from_utf8_lossy(&buffer[head + 4..length]).into_owned()));
        }
    }
}
