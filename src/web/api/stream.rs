//! `GET /api/stream/`: state changes as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::http::header;
use actix_web::rt::time::timeout;
use bytes::Bytes;
use futures_util::stream::unfold;
use tokio::sync::broadcast::{Receiver, error::RecvError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use crate::clock;
use crate::domain::change::StateChange;
use crate::domain::time::Timestamp;
use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;

/// A comment is sent when nothing else was for so long, so that proxies keep the connection.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Streams open at once.
const MAX_STREAMS: usize = 256;
/// Largest piece written at once, in bytes.
const MAX_PIECE: usize = 32 << 10;

/// The open streams: how many, and whether they may go on.
pub struct Streams {
    permits: Arc<Semaphore>,
    open: watch::Sender<bool>,
}

impl Default for Streams {
    fn default() -> Self {
        Self { permits: Arc::new(Semaphore::new(MAX_STREAMS)), open: watch::Sender::new(true) }
    }
}

impl Streams {
    /// Ends all streams; later ones end at once.
    pub fn close(&self) {
        self.open.send_replace(false);
    }
}

/// `GET /api/stream/`
pub async fn follow(auth: Allowed<Read>, state: State) -> Result<HttpResponse, ApiError> {
    let (token, again) = (auth.token.id, state.clone());
    open(&state, Box::new(move || again.store.tokens().iter().any(|known| known.id == token)))
}

/// Whether who follows a stream still may.
pub type Entitled = Box<dyn Fn() -> bool>;

/// A stream for somebody who may read, for as long as `entitled` says so.
pub fn open(state: &State, entitled: Entitled) -> Result<HttpResponse, ApiError> {
    let Ok(permit) = state.streams.permits.clone().try_acquire_owned() else {
        return Err(ApiError::unavailable(format!("{MAX_STREAMS} streams are open already"), HEARTBEAT));
    };
    let follower = Follower {
        changes: state.dispatcher.subscribe(),
        open: state.streams.open.subscribe(),
        greeted: false,
        entitled,
        looked: clock::now(),
        _permit: permit,
    };
    let pieces = unfold(follower, |mut follower| async move {
        follower.next().await.map(|piece| (Ok::<_, Infallible>(piece), follower))
    });
    Ok(HttpResponse::Ok()
        .content_type("text/event-stream")
        .insert_header((header::CACHE_CONTROL, "no-store"))
        // nginx would keep events back otherwise.
        .insert_header(("X-Accel-Buffering", "no"))
        .streaming(pieces))
}

struct Follower {
    changes: Receiver<StateChange>,
    open: watch::Receiver<bool>,
    greeted: bool,
    entitled: Entitled,
    /// When that was last asked.
    looked: Timestamp,
    _permit: OwnedSemaphorePermit,
}

impl Follower {
    /// The next piece of the stream; `None` ends it.
    async fn next(&mut self) -> Option<Bytes> {
        if !std::mem::replace(&mut self.greeted, true) {
            // Sent at once, so that the client knows it is connected.
            return Some(Bytes::from_static(b": connected\nretry: 3000\n\n"));
        }
        let first = tokio::select! {
            // Resolves when the streams are closed, or the state is gone.
            _ = self.open.wait_for(|open| !open) => return None,
            first = timeout(HEARTBEAT, self.changes.recv()) => first,
        };
        let now = clock::now();
        if now.since(self.looked) >= HEARTBEAT {
            self.looked = now;
            if !(self.entitled)() {
                return None;
            }
        }
        let mut piece = String::new();
        match first {
            Err(_) => return Some(Bytes::from_static(b": heartbeat\n\n")),
            Ok(Ok(change)) => write(&mut piece, &change),
            Ok(Err(RecvError::Lagged(missed))) => write_lag(&mut piece, missed),
            Ok(Err(RecvError::Closed)) => return None,
        }
        // What came in the meantime rides along.
        while piece.len() < MAX_PIECE
            && let Ok(change) = self.changes.try_recv()
        {
            write(&mut piece, &change);
        }
        Some(piece.into())
    }
}

fn write(piece: &mut String, change: &StateChange) {
    if let Ok(json) = serde_json::to_string(change) {
        piece.push_str("event: change\ndata: ");
        piece.push_str(&json);
        piece.push_str("\n\n");
    }
}

/// A follower that is too slow is told how much it missed, instead of being waited for.
fn write_lag(piece: &mut String, missed: u64) {
    piece.push_str(&format!("event: lagged\ndata: {{\"missed\":{missed}}}\n\n"));
}
