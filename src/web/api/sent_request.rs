//! The request of a delivery, rendered again from its event and the revision of the webhook that the last attempt used.

use std::sync::Arc;

use serde::Serialize;

use super::delivery_view::Headers;
use crate::domain::credentials::{MASK, masked_value};
use crate::domain::event::Event;
use crate::domain::payload_url::is_template;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Signing, WebhookSpec};
use crate::render;
use crate::signing::{hook_signature, standard_signature};
use crate::store::StoreError;
use crate::store::archive::{AttemptRow, DeliveryRow};
use crate::web::AppState;

/// A request as it was sent; credentials in headers are masked.
#[derive(Debug, Serialize)]
pub struct SentRequest {
    pub method: &'static str,
    pub url: String,
    pub headers: Headers,
    pub body: String,
}

/// The attempts of a delivery, with the request of the last one or what the first one would be.
///
/// A success at the first attempt is kept without its URL; where that is a template, it is the request's.
///
/// # Errors
/// The store could not be read. An event or a revision that is no longer kept, or cannot be rendered, is `None`.
pub async fn history(
    state: &AppState,
    row: &DeliveryRow,
    event: Option<&Event>,
) -> Result<(Vec<AttemptRow>, Option<SentRequest>), StoreError> {
    let mut attempts = state.store.attempts(row.id).await?;
    let Some(event) = event else { return Ok((attempts, None)) };
    let request = sent_request(state, row, event, attempts.last()).await?;
    if let (Some(last), Some(request)) = (attempts.last_mut(), &request)
        && is_template(&last.attempt.url)
    {
        last.attempt.url = request.url.as_str().into();
    }
    Ok((attempts, request))
}

async fn sent_request(
    state: &AppState,
    row: &DeliveryRow,
    event: &Event,
    last: Option<&AttemptRow>,
) -> Result<Option<SentRequest>, StoreError> {
    let webhook = state.store.definitions().webhooks.iter().find(|w| w.id == row.webhook).cloned();
    let spec: Option<Arc<WebhookSpec>> = match (last, &webhook) {
        (Some(last), Some(webhook)) if webhook.revision == last.attempt.revision => Some(webhook.spec.clone()),
        (Some(last), _) => state.store.webhook_revision(row.webhook, last.attempt.revision).await?.map(Arc::new),
        (None, webhook) => webhook.as_ref().map(|w| w.spec.clone()),
    };
    let folded_from = match row.folded_from {
        None => None,
        Some(seq) => match state.store.event(seq).await? {
            Some((_, Some(older))) => Some(older),
            // Without the older one it can no longer be told what was sent.
            _ => return Ok(None),
        },
    };
    let version = state.dispatcher.netbox_version();
    let number = last.map_or(1, |last| last.number);
    let at = last.map_or_else(crate::clock::now, |last| last.attempt.started_at);
    let source = render::Source { event, folded_from: folded_from.as_deref(), version };
    // Of a template it is rendered again.
    let url = last.map(|last| last.attempt.url.to_string()).filter(|url| !is_template(url));
    let id = row.public_id.to_string();
    Ok(spec.and_then(|spec| rendered(&spec, source, &Sending { id, number, at, url }).ok()))
}

/// What a definition would make of an event now.
///
/// # Errors
/// Why it cannot be rendered.
pub fn preview(state: &AppState, spec: &WebhookSpec, event: &Event) -> Result<SentRequest, String> {
    let version = state.dispatcher.netbox_version();
    let source = render::Source { event, folded_from: None, version };
    let id = "00000000-0000-7000-8000-000000000000".to_owned();
    rendered(spec, source, &Sending { id, number: 1, at: crate::clock::now(), url: None })
}

/// What one attempt adds to the definition.
struct Sending {
    id: String,
    number: u32,
    at: Timestamp,
    /// Where the attempt went, if it was made.
    url: Option<String>,
}

fn rendered(spec: &WebhookSpec, source: render::Source<'_>, sending: &Sending) -> Result<SentRequest, String> {
    let (prepared, lazy) = (render::Prepared::new(spec), render::Lazy::new(source));
    let target = prepared.url(spec, &lazy);
    let url = match (&sending.url, &target) {
        (Some(url), _) => url.clone(),
        (None, Ok(target)) => target.url.to_string(),
        (None, Err(error)) => return Err(error.to_string()),
    };
    let target = target.ok();
    let body = prepared.body(spec, &lazy).map_err(|e| e.to_string())?;
    let id = sending.id.clone();
    let mut headers = prepared.headers(spec, &lazy).map_err(|e| e.to_string())?.into_owned();
    let given = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("Authorization"));
    let mut add = |name: &str, value: String| headers.push((name.to_owned(), value));
    add("User-Agent", concat!("netbox-webhookd/", env!("CARGO_PKG_VERSION")).to_owned());
    add("webhook-id", id.clone());
    add("webhook-timestamp", sending.at.as_secs().to_string());
    add("X-Webhook-Attempt", sending.number.to_string());
    if !given && target.is_some_and(|target| target.basic_auth.is_some()) {
        add("Authorization", MASK.to_owned());
    }
    if !spec.secret.is_empty() {
        add("X-Hook-Signature", hook_signature(&spec.secret, &body));
        if spec.signing == Signing::Standard {
            add("webhook-signature", standard_signature(&spec.secret, &id, sending.at, &body));
        }
    }
    let shown = headers.into_iter().map(|(name, value)| {
        let value = masked_value(&name, &value).to_owned();
        (name, value)
    });
    let body = String::from_utf8_lossy(&body).into_owned();
    Ok(SentRequest { method: spec.http_method.as_str(), url, headers: Headers::new(shown), body })
}
