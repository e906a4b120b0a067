//! What goes over the wire: one request, one deadline, one [`Attempt`]. Never an `Err`: what a receiver does is data.

mod answer;
mod clients;
mod connector;
mod dial;
mod egress;
mod failure;
mod names;
mod probe;
mod request;
pub mod retry_after;
mod tls;
mod wire;

use std::rc::Rc;
use std::sync::Arc;

use crate::domain::attempt::{Attempt, Outcome};

use answer::Answer;
use clients::Clients;
use failure::Failure;
use probe::Probe;

pub use egress::{Egress, Refusal};
pub use request::Request;
pub use tls::TlsProfile;

/// The HTTP clients of one thread. Not `Send`: made on the dispatch thread that uses it.
///
/// # Requests that are sent twice
/// A receiver may close a kept connection at the very moment it is used. Then the request is made once more at once,
/// within the same attempt, if the connection was a kept one and nothing of an answer had come. The receiver may have
/// acted on the first one nevertheless; both carry the same `webhook-id`.
pub struct Sender {
    clients: Rc<Clients>,
}

impl Sender {
    pub fn new(egress: Arc<Egress>) -> Self {
        let clients = Rc::new(Clients::default());
        clients.guard.egress.replace(egress);
        Self { clients }
    }

    /// New rules from now on. Connections that were kept under other rules are closed; requests being made go on.
    pub fn set_egress(&self, egress: Arc<Egress>) {
        let before = self.clients.guard.egress.replace(Arc::clone(&egress));
        if before != egress {
            self.clients.discard_all();
        }
    }

    /// Sends one request and reports what came of it, always within `request.timeout`.
    pub async fn send(&self, request: Request) -> Attempt {
        let probe = Probe::start(request.connect_timeout);
        let mut answer = None;
        let exchange = probe.watch(self.exchange(&request, &probe, &mut answer));
        let ended = match tokio::time::timeout(request.timeout, exchange).await {
            Ok(ended) => ended,
            Err(_) => Err(probe.deadline(request.timeout)),
        };
        report(request, &probe, answer, ended)
    }

    /// Makes the request, twice if the first time met a connection that was no longer one.
    async fn exchange(&self, request: &Request, probe: &Probe, answer: &mut Option<Answer>) -> Result<(), Failure> {
        let mut client = self.clients.get(&request.url, &request.tls)?;
        let mut response = request.send(&client)?.await;
        if response.as_ref().is_err_and(failure::is_disconnect) && probe.on_stale_connection() {
            // Its other idle connections are of the same age: all of them go.
            self.clients.discard(&client, &request.url, &request.tls);
            client = self.clients.get(&request.url, &request.tls)?;
            probe.restart();
            response = request.send(&client)?.await;
        }
        let response = response.map_err(|e| probe.take_failure().unwrap_or_else(|| e.into()))?;
        let answer = answer.insert(Answer::new(response));
        if answer.leaves_more_to_come() {
            // awc has put the connection back already; the next request must not take what comes for its own answer.
            self.clients.discard(&client, &request.url, &request.tls);
        }
        answer.read_body(probe).await
    }
}

fn report(request: Request, probe: &Probe, answer: Option<Answer>, ended: Result<(), Failure>) -> Attempt {
    let timings = probe.timings();
    let (outcome, detail) = match (&answer, ended) {
        // A refusal is one from its head on; a success only once all of it has come.
        (Some(answer), ended) if ended.is_ok() || answer.is_refusal() => {
            let retry_after = answer.retry_after(probe.started + timings.total);
            (Outcome::Answered { status: answer.status().as_u16(), retry_after }, answer.complaint())
        }
        (Some(answer), Err(failure)) => {
            (failure.outcome, Some(format!("HTTP {}, but {}", answer.status().as_u16(), failure.detail)))
        }
        (None, Err(failure)) => (failure.outcome, Some(failure.detail)),
        (_, Ok(())) => (Outcome::Internal, Some("the request ended with neither answer nor failure".to_owned())),
    };
    let mut attempt = Attempt {
        outcome,
        started_at: probe.started,
        timings,
        revision: request.revision,
        url: request.url.url,
        remote_address: probe.remote(),
        detail,
        response_headers: None,
        response_excerpt: Vec::new(),
        response_truncated: false,
    };
    if let Some(answer) = answer {
        let brief = request.number <= 1 && attempt.succeeded();
        attempt.response_headers = (!brief).then(|| answer.header_lines());
        (attempt.response_excerpt, attempt.response_truncated) = answer.into_excerpt(brief);
    }
    attempt
}

#[cfg(test)]
mod tests;
