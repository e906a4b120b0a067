//! A receiver that does what the test says: answers, hangs, resets, drips, goes away and comes back; and remembers
//! every request it read.

use std::collections::VecDeque;
use std::io::{self, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::clock::{now, pause, wait_until, wall_micros};
use super::http::{read_chunks, read_headers, read_line};
use super::ports;

/// How long tests wait for requests before they fail.
const PATIENCE: Duration = Duration::from_secs(20);

/// What becomes of one request.
#[derive(Clone, Debug)]
pub struct Reply {
    kind: Kind,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    delay: Duration,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    Status(u16),
    Hang,
    Reset,
    Close,
    Drip(Duration),
}

/// Answers with this status and an empty body.
pub fn reply(status: u16) -> Reply {
    Reply::new(Kind::Status(status))
}

/// Reads the request and never answers.
pub fn hang() -> Reply {
    Reply::new(Kind::Hang)
}

/// Reads the request and resets the connection.
pub fn reset() -> Reply {
    Reply::new(Kind::Reset)
}

/// Reads the request and closes the connection in good order, without an answer.
pub fn close() -> Reply {
    Reply::new(Kind::Close)
}

/// Answers 200 with a long body, one byte in each `interval`.
pub fn drip(interval: Duration) -> Reply {
    Reply::new(Kind::Drip(interval))
}

impl Reply {
    fn new(kind: Kind) -> Self {
        Self { kind, headers: Vec::new(), body: Vec::new(), delay: Duration::ZERO }
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Waits this long first.
    pub fn after(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }
}

/// A request as it was read.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    /// Path and query.
    pub path: String,
    /// In the order they came, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// When the last byte was read.
    pub at: Instant,
    pub wall_micros: u64,
    /// The status it is answered with; `None`: no answer.
    pub answered: Option<u16>,
    /// Which connection it came on, counted from 0.
    pub connection: u64,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// # Panics
    /// When the body is not JSON.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|e| panic!("not JSON ({e}): {}", self.text()))
    }
}

type Decide = Box<dyn FnMut(&Received) -> Reply + Send>;

struct Shared {
    // A mutex: written by the thread of each connection, read by the test.
    requests: Mutex<Vec<Received>>,
    decide: Mutex<Decide>,
    /// Replies for single paths; asked before `decide`.
    routes: Mutex<Vec<(String, Reply)>>,
    streams: Mutex<Vec<(u64, TcpStream)>>,
    connections: AtomicU64,
    open: AtomicUsize,
    down: AtomicBool,
}

/// A receiver on a port of its own; a thread per connection.
pub struct Receiver {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<thread::JoinHandle<()>>,
}

impl Receiver {
    /// Answers 200 to everything.
    pub fn start() -> Self {
        Self::with(|_| reply(200))
    }

    /// Gives these replies to the requests in the order they come, then 200.
    pub fn script(replies: impl IntoIterator<Item = Reply>) -> Self {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        Self::with(move |_| replies.pop_front().unwrap_or_else(|| reply(200)))
    }

    /// Decides request by request; asked by one connection at a time.
    pub fn with(decide: impl FnMut(&Received) -> Reply + Send + 'static) -> Self {
        let shared = Arc::new(Shared {
            requests: Mutex::default(),
            decide: Mutex::new(Box::new(decide)),
            routes: Mutex::default(),
            streams: Mutex::default(),
            connections: AtomicU64::new(0),
            open: AtomicUsize::new(0),
            down: AtomicBool::new(false),
        });
        let listener = ports::bind();
        let address = listener.local_addr().expect("a bound listener has an address");
        let accepting = Some(accept(listener, shared.clone()));
        Self { address, shared, accepting }
    }

    /// Always gives this reply to requests for this path.
    pub fn on(&self, path: &str, reply: Reply) {
        let mut routes = lock(&self.shared.routes);
        routes.retain(|(p, _)| p != path);
        routes.push((path.to_owned(), reply));
    }

    /// Replaces the script.
    pub fn now_script(&self, replies: impl IntoIterator<Item = Reply>) {
        let mut replies: VecDeque<Reply> = replies.into_iter().collect();
        *lock(&self.shared.decide) = Box::new(move |_| replies.pop_front().unwrap_or_else(|| reply(200)));
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything read so far, in the order it was read.
    pub fn requests(&self) -> Vec<Received> {
        lock(&self.shared.requests).clone()
    }

    pub fn requests_to(&self, path: &str) -> Vec<Received> {
        lock(&self.shared.requests).iter().filter(|r| r.path == path).cloned().collect()
    }

    pub fn count(&self) -> usize {
        lock(&self.shared.requests).len()
    }

    /// Forgets what it read.
    pub fn clear(&self) {
        lock(&self.shared.requests).clear();
    }

    /// Waits for `count` requests in all and returns what was read.
    ///
    /// # Panics
    /// When they do not come in 20 s.
    #[track_caller]
    pub fn wait_for(&self, count: usize) -> Vec<Received> {
        wait_until(&format!("{count} requests came"), PATIENCE, || self.count() >= count);
        self.requests()
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> usize {
        self.shared.open.load(Ordering::SeqCst)
    }

    /// Waits until every connection is closed and all that was sent on it is read; for when the sender is gone.
    #[track_caller]
    pub fn settle(&self) {
        // Connections are accepted in order: once ours is, no older one is left to be accepted.
        let before = self.shared.connections.load(Ordering::SeqCst);
        let probe = TcpStream::connect(self.address);
        wait_until("the receiver accepted what was dialled", PATIENCE, || {
            probe.is_err() || self.shared.connections.load(Ordering::SeqCst) > before
        });
        drop(probe);
        wait_until("the receiver read what was sent", PATIENCE, || self.open_connections() == 0);
    }

    /// Stops listening and closes every connection: new ones are refused until [`Receiver::up`].
    pub fn down(&mut self) {
        self.shared.down.store(true, Ordering::SeqCst);
        // Wakes the thread that waits in accept.
        let _ = TcpStream::connect(self.address);
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for (_, stream) in lock(&self.shared.streams).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Listens again, on the same port.
    pub fn up(&mut self) {
        if self.accepting.is_none() {
            let listener = TcpListener::bind(self.address).expect("the port was ours a moment ago");
            self.shared.down.store(false, Ordering::SeqCst);
            self.accepting = Some(accept(listener, self.shared.clone()));
        }
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.down();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A test that panicked elsewhere should report that, not this.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn accept(listener: TcpListener, shared: Arc<Shared>) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        for stream in listener.incoming() {
            if shared.down.load(Ordering::SeqCst) {
                return;
            }
            let Ok(stream) = stream else { continue };
            let number = shared.connections.fetch_add(1, Ordering::SeqCst);
            if let Ok(copy) = stream.try_clone() {
                lock(&shared.streams).push((number, copy));
            }
            shared.open.fetch_add(1, Ordering::SeqCst);
            let shared = shared.clone();
            thread::spawn(move || {
                // How a connection ends is the peer's business.
                let _ = serve(stream, number, &shared);
                lock(&shared.streams).retain(|(n, _)| *n != number);
                shared.open.fetch_sub(1, Ordering::SeqCst);
            });
        }
    })
}

fn serve(stream: TcpStream, connection: u64, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::new(stream);
    loop {
        let mut request = read_request(&mut stream, connection)?;
        let reply = {
            // Recorded in the order decided: nothing comes between.
            let mut decide = lock(&shared.decide);
            let route = lock(&shared.routes).iter().find(|(p, _)| *p == request.path).map(|(_, r)| r.clone());
            let reply = route.unwrap_or_else(|| decide(&request));
            request.answered = match reply.kind {
                Kind::Status(status) => Some(status),
                Kind::Hang | Kind::Reset | Kind::Close | Kind::Drip(_) => None,
            };
            lock(&shared.requests).push(request);
            reply
        };
        if !reply.delay.is_zero() {
            pause(reply.delay);
        }
        if !carry_out(&mut stream, &reply, shared)? {
            return Ok(());
        }
    }
}

fn read_request(stream: &mut BufReader<TcpStream>, connection: u64) -> io::Result<Received> {
    let first = read_line(stream)?;
    let headers = read_headers(stream)?;
    let value = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let body = if value("transfer-encoding").is_some() {
        read_chunks(stream)?
    } else {
        let mut body = vec![0; value("content-length").and_then(|v| v.parse().ok()).unwrap_or(0)];
        stream.read_exact(&mut body)?;
        body
    };
    let mut words = first.split(' ').map(str::to_owned);
    Ok(Received {
        method: words.next().unwrap_or_default(),
        path: words.next().unwrap_or_default(),
        headers,
        body,
        at: now(),
        wall_micros: wall_micros(),
        answered: None,
        connection,
    })
}

/// Returns whether the connection goes on.
fn carry_out(stream: &mut BufReader<TcpStream>, reply: &Reply, shared: &Shared) -> io::Result<bool> {
    match reply.kind {
        Kind::Status(status) => {
            let mut answer = format!("HTTP/1.1 {status} Scripted\r\nContent-Length: {}\r\n", reply.body.len());
            for (name, value) in &reply.headers {
                answer += &format!("{name}: {value}\r\n");
            }
            answer += "\r\n";
            let mut answer = answer.into_bytes();
            answer.extend_from_slice(&reply.body);
            stream.get_mut().write_all(&answer)?;
            Ok(true)
        }
        Kind::Hang => {
            // Until the peer gives up.
            io::copy(stream, &mut io::sink())?;
            Ok(false)
        }
        Kind::Reset => {
            reset_on_close(stream.get_ref());
            Ok(false)
        }
        Kind::Close => Ok(false),
        Kind::Drip(interval) => {
            stream.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")?;
            while !shared.down.load(Ordering::SeqCst) {
                stream.get_mut().write_all(b".")?;
                pause(interval);
            }
            Ok(false)
        }
    }
}

/// Closing this connection sends RST instead of FIN.
fn reset_on_close(stream: &TcpStream) {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = libc::socklen_t::try_from(size_of::<libc::linger>()).expect("a linger is 8 bytes");
    // SAFETY: the descriptor is open, and option value and length describe a live `linger`.
    unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, (&raw const linger).cast(), size);
    }
}
