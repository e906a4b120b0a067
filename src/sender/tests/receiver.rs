//! A receiver that does to each connection what its script says.

use std::cell::RefCell;
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub connection: usize,
    pub head: String,
    pub body: Vec<u8>,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (given, value) = line.split_once(':')?;
            given.eq_ignore_ascii_case(name).then_some(value.trim())
        })
    }
}

type Log = Rc<RefCell<Vec<Received>>>;

pub struct Receiver {
    pub address: SocketAddr,
    log: Log,
}

impl Receiver {
    /// `serve` is run for each connection, from 0.
    pub async fn start<F, Fut>(serve: F) -> Self
    where
        F: Fn(Peer) -> Fut + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let log = Log::default();
        let requests = Rc::clone(&log);
        actix_rt::spawn(async move {
            for connection in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                actix_rt::spawn(serve(Peer { stream, connection, log: Rc::clone(&requests) }));
            }
        });
        Self { address, log }
    }

    /// Answers every request of every connection with these bytes.
    pub async fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = Rc::new(bytes.into());
        Self::start(move |mut peer| {
            let bytes = Rc::clone(&bytes);
            async move { while peer.request().await.is_some() && peer.write(&bytes).await {} }
        })
        .await
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn requests(&self) -> Vec<Received> {
        self.log.borrow().clone()
    }
}

/// One connection of a receiver.
pub struct Peer {
    stream: TcpStream,
    pub connection: usize,
    log: Log,
}

impl Peer {
    /// Reads a whole request; `None` when the sender has closed.
    pub async fn request(&mut self) -> Option<Received> {
        let mut bytes = Vec::new();
        let end = loop {
            if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
                break end + 4;
            }
            if self.stream.read_buf(&mut bytes).await.ok()? == 0 {
                return None;
            }
        };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let mut received = Received { connection: self.connection, head, body: bytes.split_off(end) };
        let length = received.header("content-length").map_or(0, |l| l.parse().expect("a length"));
        while received.body.len() < length {
            if self.stream.read_buf(&mut received.body).await.ok()? == 0 {
                return None;
            }
        }
        self.log.borrow_mut().push(received.clone());
        Some(received)
    }

    /// Whether the sender still takes it.
    pub async fn write(&mut self, bytes: &[u8]) -> bool {
        self.stream.write_all(bytes).await.is_ok()
    }

    /// Ends the connection with a reset.
    pub fn reset(self) {
        self.stream.set_zero_linger().expect("an open socket");
    }

    /// Keeps the connection open and silent for as long as the sender does.
    pub async fn hang(mut self) {
        let mut ignored = [0; 1024];
        while self.stream.read(&mut ignored).await.is_ok_and(|n| n > 0) {}
    }
}
