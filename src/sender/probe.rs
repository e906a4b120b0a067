//! What is observed of one request while awc makes it.
//!
//! awc tells little of a connection: not whether it was new, whom it reached or how far the request got. Connector and
//! stream run inside the request's own future, so they find its probe in a task-local and note it there.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use super::failure::Failure;
use crate::clock;
use crate::domain::attempt::{ErrorKind, Timings};
use crate::domain::time::Timestamp;

tokio::task_local! {
    static CURRENT: Rc<Probe>;
}

/// How far a request got.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// Nothing was dialled: either nothing has happened yet, or a kept connection is used.
    Start,
    Resolving,
    Connecting,
    Handshaking,
    Connected,
    /// Part of the request was written.
    Written,
    /// Part of the answer was read.
    Answering,
}

pub(super) struct Probe {
    pub started: Timestamp,
    pub connect_timeout: Duration,
    stage: Cell<Stage>,
    /// It has a connection of its own, not one that was kept.
    dialled: Cell<bool>,
    /// The peer ended the connection after the request was written.
    ended: Cell<bool>,
    timings: Cell<Timings>,
    remote: Cell<Option<SocketAddr>>,
    /// Why there is no connection.
    failure: RefCell<Option<Failure>>,
}

impl Probe {
    pub(super) fn start(connect_timeout: Duration) -> Rc<Self> {
        Rc::new(Self {
            started: clock::now(),
            connect_timeout,
            stage: Cell::new(Stage::Start),
            dialled: Cell::new(false),
            ended: Cell::new(false),
            timings: Cell::default(),
            remote: Cell::new(None),
            failure: RefCell::default(),
        })
    }

    /// Runs a request with this as its probe.
    pub(super) fn watch<F: Future>(self: &Rc<Self>, request: F) -> impl Future<Output = F::Output> {
        CURRENT.scope(Rc::clone(self), request)
    }

    /// The probe of the running request.
    pub(super) fn current() -> Option<Rc<Probe>> {
        CURRENT.try_with(Rc::clone).ok()
    }

    /// The request is made once more on another connection; its time goes on.
    pub(super) fn restart(&self) {
        self.stage.set(Stage::Start);
        self.dialled.set(false);
        self.ended.set(false);
        self.failure.take();
    }

    pub(super) fn enter(&self, stage: Stage) {
        self.stage.set(stage);
        if stage == Stage::Resolving {
            self.dialled.set(true);
        }
    }

    pub(super) fn time(&self, note: impl FnOnce(&mut Timings)) {
        let mut timings = self.timings.get();
        note(&mut timings);
        self.timings.set(timings);
    }

    pub(super) fn reached(&self, remote: SocketAddr) {
        self.remote.set(Some(remote));
    }

    pub(super) fn fail(&self, failure: Failure) {
        self.failure.replace(Some(failure));
    }

    pub(super) fn take_failure(&self) -> Option<Failure> {
        self.failure.take()
    }

    /// Whether a disconnect now may only mean that the peer gave up a kept connection before it saw the request.
    pub(super) fn on_stale_connection(&self) -> bool {
        !self.dialled.get() && self.stage.get() < Stage::Answering
    }

    /// Whether the peer ended the connection: a body whose end was announced is then cut off.
    pub(super) fn peer_ended(&self) -> bool {
        self.ended.get()
    }

    pub(super) fn remote(&self) -> Option<SocketAddr> {
        self.remote.get()
    }

    pub(super) fn timings(&self) -> Timings {
        let mut timings = self.timings.get();
        timings.total = clock::now().since(self.started);
        timings
    }

    /// What it means that the total deadline passed now.
    pub(super) fn deadline(&self, timeout: Duration) -> Failure {
        let (kind, what) = match self.stage.get() {
            Stage::Start | Stage::Connecting | Stage::Connected => (ErrorKind::Connect, "no connection"),
            Stage::Resolving => (ErrorKind::Dns, "the host name was not resolved"),
            Stage::Handshaking => (ErrorKind::Tls, "the TLS handshake did not end"),
            Stage::Written => return Failure::unanswered(ErrorKind::Timeout, format!("no answer within {timeout:?}")),
            Stage::Answering => {
                let detail = format!("the answer began but did not end within {timeout:?}");
                return Failure::unanswered(ErrorKind::Timeout, detail);
            }
        };
        Failure::unreached(kind, format!("{what} within {timeout:?}"))
    }

    /// What it means that `connect_timeout` passed now.
    pub(super) fn connect_deadline(&self) -> Failure {
        self.deadline(self.connect_timeout)
    }
}

/// Notes that bytes of the request went out to `remote`.
pub(super) fn wrote(remote: SocketAddr) {
    let _ = CURRENT.try_with(|probe| {
        if probe.stage.get() < Stage::Written {
            probe.stage.set(Stage::Written);
            probe.remote.set(Some(remote));
        }
    });
}

/// Notes that `bytes` of the answer came in; none is its end. What comes before the request was written is awc looking
/// whether a kept connection is still alive.
pub(super) fn read(bytes: usize) {
    let _ = CURRENT.try_with(|probe| match (probe.stage.get(), bytes) {
        (Stage::Written | Stage::Answering, 0) => probe.ended.set(true),
        (Stage::Written, _) => {
            probe.stage.set(Stage::Answering);
            probe.time(|t| t.first_byte = Some(clock::now().since(probe.started)));
        }
        _ => {}
    });
}
