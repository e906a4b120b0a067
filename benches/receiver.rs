//! The cheapest receiver that is still one: HTTP/1.1 with keep-alive, answers 200 with an empty body, one thread.
//! It counts requests by endpoint and times their arrival.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use super::event;
use super::histogram::Histogram;
use super::support::{ports, try_until, wall_micros};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// What came in; written by the receiving thread alone.
#[derive(Default)]
pub struct Tally {
    total: AtomicU64,
    by_endpoint: Vec<AtomicU64>,
    last: AtomicU64,
    /// From sending of the event to arrival of its delivery.
    pub latency: Histogram,
}

impl Tally {
    pub fn total(&self) -> u64 {
        self.total.load(Ordering::Relaxed)
    }

    pub fn of_endpoint(&self, endpoint: usize) -> u64 {
        self.by_endpoint.get(endpoint).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// Wall clock of the last arrival, in microseconds; 0: nothing came.
    pub fn last_micros(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }

    /// Waits until `count` requests came; `false` when `deadline` passed first.
    pub fn wait_for(&self, count: u64, deadline: Duration) -> bool {
        try_until(deadline, || self.total() >= count)
    }

    fn arrived(&self, endpoint: usize, body: &[u8]) {
        let now = wall_micros();
        self.total.fetch_add(1, Ordering::Relaxed);
        self.last.store(now, Ordering::Relaxed);
        if let Some(count) = self.by_endpoint.get(endpoint) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(sent) = event::sent_micros(body) {
            self.latency.record(now.saturating_sub(sent));
        }
    }
}

/// A running receiver; its thread ends on drop.
pub struct Receiver {
    addresses: Vec<SocketAddr>,
    endpoints: usize,
    pub tally: Arc<Tally>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Receiver {
    /// `endpoints` payload URLs, spread over `origins` ports.
    pub fn start(endpoints: usize, origins: usize) -> Self {
        let listeners: Vec<_> = (0..origins).map(|_| ports::bind()).collect();
        let addresses = listeners.iter().map(|l| l.local_addr().expect("a bound listener has an address")).collect();
        let by_endpoint = (0..endpoints).map(|_| AtomicU64::new(0)).collect();
        let tally = Arc::new(Tally { by_endpoint, ..Tally::default() });
        let (stop, stopped) = oneshot::channel();
        let shared = tally.clone();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            let local = tokio::task::LocalSet::new();
            for listener in listeners {
                listener.set_nonblocking(true).expect("a listener takes O_NONBLOCK");
                local.spawn_local(accept(listener, shared.clone()));
            }
            // Dropping the sender ends it as well.
            let _ = local.block_on(&runtime, stopped);
        });
        Self { addresses, endpoints, tally, stop: Some(stop), thread: Some(thread) }
    }

    /// The payload URL of every endpoint; its number is the last part of the path.
    pub fn urls(&self) -> Vec<String> {
        (0..self.endpoints).map(|i| format!("http://{}/e/{i}", self.addresses[i % self.addresses.len()])).collect()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: std::net::TcpListener, tally: Arc<Tally>) {
    let listener = TcpListener::from_std(listener).expect("a listener on this runtime");
    while let Ok((stream, _)) = listener.accept().await {
        // A connection ends when its peer wants it to.
        tokio::task::spawn_local(serve(stream, tally.clone()));
    }
}

async fn serve(mut stream: TcpStream, tally: Arc<Tally>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        if stream.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        let mut used = 0;
        while let Some(request) = parse(&buffer[used..]) {
            tally.arrived(request.endpoint, &buffer[used + request.head..used + request.length]);
            used += request.length;
            stream.write_all(ANSWER).await?;
        }
        buffer.drain(..used);
    }
}

struct Request {
    endpoint: usize,
    /// Bytes before the body.
    head: usize,
    /// Bytes with the body.
    length: usize,
}

/// The first request of `bytes`, once all of it is there.
fn parse(bytes: &[u8]) -> Option<Request> {
    let head = bytes.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let mut lines = bytes[..head].split(|b| *b == b'\n');
    let path = lines.next()?.split(|b| *b == b' ').nth(1)?;
    let body = lines.find_map(content_length).unwrap_or(0);
    let number = path.rsplit(|b| *b == b'/').next().unwrap_or_default();
    let length = head + body;
    (bytes.len() >= length).then(|| Request { endpoint: decimal(number), head, length })
}

fn content_length(line: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"content-length:";
    let (name, value) = line.split_at_checked(NAME.len())?;
    name.eq_ignore_ascii_case(NAME).then(|| decimal(value.trim_ascii()))
}

fn decimal(digits: &[u8]) -> usize {
    digits.iter().take_while(|b| b.is_ascii_digit()).fold(0, |n, b| n * 10 + usize::from(b - b'0'))
}
