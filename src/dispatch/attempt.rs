//! One attempt: render, sign, send. A fault of ours is an outcome of the delivery, not the end of its endpoint.

use std::panic::AssertUnwindSafe;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;

use super::arbiters::ThreadState;
use crate::clock;
use crate::config::NetboxVersion;
use crate::domain::attempt::{Attempt, ErrorKind, Outcome, Timings};
use crate::domain::policy::Policy;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Signing, Webhook};
use crate::render::{self, RenderError, Source};
use crate::sender::{Request, TlsProfile};
use crate::signing;
use crate::store::Granted;

/// Bodies above this are rendered and signed off the dispatch thread, in bytes.
const LARGE: usize = 256 << 10;

/// Makes the attempt; always ends within the webhook's timeout.
pub async fn make(thread: Rc<ThreadState>, webhook: Arc<Webhook>, granted: Rc<Granted>, policy: Rc<Policy>) -> Attempt {
    let started = clock::now();
    let url = webhook.url.url.clone();
    let revision = webhook.revision;
    let sent = AssertUnwindSafe(send(&thread, webhook, &granted, &policy, started)).catch_unwind().await;
    sent.unwrap_or_else(|_| {
        tracing::error!(delivery.id = %granted.public_id, "a fault of ours ended an attempt, it is retried");
        not_sent(Outcome::Internal, "an internal fault ended the attempt".to_owned(), started, revision, url)
    })
}

async fn send(
    thread: &ThreadState,
    webhook: Arc<Webhook>,
    granted: &Granted,
    policy: &Policy,
    started: Timestamp,
) -> Attempt {
    crate::crash::fault("attempt");
    let version = thread.netbox_version();
    let rendered = match thread.headers(&webhook) {
        Err(error) => Err(error),
        Ok(headers) if granted.event.raw().len() <= LARGE => {
            body(&webhook, granted, version, started).map(|(body, signatures)| (headers, body, signatures))
        }
        Ok(headers) => {
            let (webhook, granted) = (webhook.clone(), granted.clone());
            let work = move || body(&webhook, &granted, version, started);
            match actix_rt::task::spawn_blocking(work).await {
                Ok(made) => made.map(|(body, signatures)| (headers, body, signatures)),
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            }
        }
    };
    let (headers, body, signatures) = match rendered {
        Ok(rendered) => rendered,
        Err(error) => {
            let outcome = Outcome::Refused { kind: ErrorKind::Template };
            return not_sent(outcome, error.to_string(), started, webhook.revision, webhook.url.url.clone());
        }
    };
    let mut all = Vec::with_capacity(headers.len() + 5);
    all.extend(headers.iter().cloned());
    all.extend(signatures);
    all.push(("webhook-id".to_owned(), granted.public_id.to_string()));
    all.push(("webhook-timestamp".to_owned(), started.as_secs().to_string()));
    all.push(("X-Webhook-Attempt".to_owned(), granted.number.to_string()));
    let timeout = webhook.spec.timeout.map_or(policy.timeout, |s| Duration::from_secs(s.into()));
    crate::crash::point("before_send");
    let attempt = thread
        .sender
        .send(Request {
            url: webhook.url.clone(),
            method: webhook.spec.http_method,
            headers: all,
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

type Signatures = Vec<(String, String)>;

fn body(
    webhook: &Webhook,
    granted: &Granted,
    version: NetboxVersion,
    at: Timestamp,
) -> Result<(Bytes, Signatures), RenderError> {
    let source = Source { event: &granted.event, folded_from: granted.folded_from.as_deref(), version };
    let spec = &webhook.spec;
    let body = render::body(spec, source)?;
    let mut signatures = Vec::new();
    if !spec.secret.is_empty() {
        signatures.push(("X-Hook-Signature".to_owned(), signing::hook_signature(&spec.secret, &body)));
        if spec.signing == Signing::Standard {
            let id = granted.public_id.to_string();
            let signature = signing::standard_signature(&spec.secret, &id, at, &body);
            signatures.push(("webhook-signature".to_owned(), signature));
        }
    }
    Ok((body, signatures))
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
