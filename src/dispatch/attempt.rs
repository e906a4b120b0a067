//! One attempt: render, sign, send. A fault of ours is an outcome of the delivery, not the end of its endpoint.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::arbiters::ThreadState;
use crate::catalog::Defined;
use crate::clock;
use crate::config::NetboxVersion;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::payload_url::{Origin, PayloadUrl, Target};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Signing, Webhook};
use crate::render::{Lazy, RenderError, Source};
use crate::sender::{Request, TlsProfile};
use crate::signing;
use crate::store::Granted;

/// Bodies above this are rendered and signed off the dispatch thread, in bytes.
const LARGE: usize = 256 << 10;

/// Makes the attempt; always ends within the webhook's timeout. `origin` is its endpoint's, the only one it may go to.
pub async fn make(
    thread: Rc<ThreadState>,
    defined: Arc<Defined>,
    origin: Option<Origin>,
    granted: Rc<Granted>,
    policy: Rc<Policy>,
) -> Attempt {
    let started = clock::now();
    let (url, revision) = (defined.webhook.target.endpoint_key().clone(), defined.webhook.revision);
    let making = Making { defined, granted: (*granted).clone(), origin, version: thread.netbox_version(), started };
    let sent = AssertUnwindSafe(send(&thread, making, &policy)).catch_unwind().await;
    sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %granted.public_id, "a fault of ours ended an attempt, it is retried");
        not_sent(Outcome::Internal, "an internal fault ended the attempt".to_owned(), started, revision, url)
    })
}

/// What an attempt is made from.
#[derive(Clone)]
struct Making {
    defined: Arc<Defined>,
    granted: Granted,
    origin: Option<Origin>,
    version: NetboxVersion,
    started: Timestamp,
}

/// A request but for what names the attempt.
struct Rendered {
    url: PayloadUrl,
    headers: Vec<(String, String)>,
    body: Bytes,
}

async fn send(thread: &ThreadState, making: Making, policy: &Policy) -> Attempt {
    crate::crash::fault("attempt");
    let webhook = making.defined.webhook.clone();
    let (granted, started) = (making.granted.clone(), making.started);
    let rendered = if granted.event.raw().len() <= LARGE && !making.defined.prepared.is_templated() {
        making.render()
    } else {
        match actix_rt::task::spawn_blocking(move || making.render()).await {
            Ok(made) => made,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    };
    let Rendered { url, mut headers, body } = match rendered {
        Ok(rendered) => rendered,
        Err(error) => {
            let (outcome, url) =
                (Outcome::Refused { kind: ErrorKind::Template }, webhook.target.endpoint_key().clone());
            return not_sent(outcome, error.to_string(), started, webhook.revision, url);
        }
    };
    headers.push(("webhook-id".to_owned(), granted.public_id.to_string()));
    headers.push(("webhook-timestamp".to_owned(), started.as_secs().to_string()));
    headers.push(("X-Webhook-Attempt".to_owned(), granted.number.to_string()));
    let timeout = webhook.spec.timeout.map_or(policy.timeout, |s| Duration::from_secs(s.into()));
    crate::crash::point("before_send");
    let attempt = thread
        .sender
        .send(Request {
            url,
            method: webhook.spec.http_method,
            headers,
            body,
            tls: tls(&webhook),
            connect_timeout: policy.connect_timeout.min(timeout),
            timeout,
            revision: webhook.revision,
            number: granted.number,
        })
        .await;
    crate::crash::point("after_send");
    attempt
}

impl Making {
    fn render(&self) -> Result<Rendered, RenderError> {
        let Self { defined, granted, .. } = self;
        let spec = &defined.webhook.spec;
        let source =
            Source { event: &granted.event, folded_from: granted.folded_from.as_deref(), version: self.version };
        let lazy = Lazy::new(source);
        let url = self.url(&lazy)?;
        let given = defined.prepared.headers(spec, &lazy)?;
        let mut headers = Vec::with_capacity(given.len() + 5);
        headers.extend(given.iter().cloned());
        let body = defined.prepared.body(spec, &lazy)?;
        if !spec.secret.is_empty() {
            headers.push(("X-Hook-Signature".to_owned(), signing::hook_signature(&spec.secret, &body)));
            if spec.signing == Signing::Standard {
                let id = granted.public_id.to_string();
                let signature = signing::standard_signature(&spec.secret, &id, self.started, &body);
                headers.push(("webhook-signature".to_owned(), signature));
            }
        }
        Ok(Rendered { url, headers, body })
    }

    /// The limits that hold are those of its endpoint's origin: it must not go to another one.
    fn url(&self, lazy: &Lazy<'_>) -> Result<PayloadUrl, RenderError> {
        let webhook = &self.defined.webhook;
        if let Target::Fixed(url) = &webhook.target {
            return Ok(url.clone());
        }
        let url = self.defined.prepared.url(&webhook.spec, lazy)?;
        match &self.origin {
            Some(origin) if *origin != url.origin => Err(RenderError::Origin(url.origin.0.to_string())),
            _ => Ok(url),
        }
    }
}

fn tls(webhook: &Webhook) -> TlsProfile {
    match (webhook.spec.ssl_verification, webhook.spec.ca_file_path.as_str()) {
        (false, _) => TlsProfile::Unverified,
        (true, "") => TlsProfile::System,
        (true, path) => TlsProfile::CaFile(path.into()),
    }
}

/// An attempt that made no request.
pub fn not_sent(outcome: Outcome, detail: String, at: Timestamp, revision: u32, url: Arc<str>) -> Attempt {
    Attempt {
        outcome,
        started_at: at,
        timings: Timings::default(),
        revision,
        url,
        remote_address: None,
        detail: Some(detail),
        response_headers: None,
        response_excerpt: Vec::new(),
        response_truncated: false,
    }
}
