//! Which endpoint a delivery belongs to, as its webhook is now.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::endpoints::add_endpoint;
use super::load::event_of;
use super::tx::Tx;
use crate::domain::ids::{EndpointId, EventSeq};
use crate::domain::payload_url::Target;
use crate::domain::webhook::Webhook;
use crate::render::UrlTemplate;
use crate::store::StoreError;
use crate::store::admin::NewEndpoint;

/// The endpoint for `event`, whose delivery is at `at` now.
///
/// A templated payload URL is rendered for the event. What cannot be rendered, and what reaches one origin too many,
/// belongs to the template's own endpoint, where its attempt says why.
pub fn of(tx: &mut Tx<'_>, webhook: &Webhook, event: EventSeq, at: EndpointId) -> Result<EndpointId, StoreError> {
    let url = UrlTemplate::new(&webhook.spec);
    read_with(tx, webhook, &url, event, at)
}

/// The same with the template read already.
pub fn read_with(
    tx: &mut Tx<'_>,
    webhook: &Webhook,
    url: &UrlTemplate,
    event: EventSeq,
    at: EndpointId,
) -> Result<EndpointId, StoreError> {
    let Target::Template(text) = &webhook.target else { return Ok(webhook.endpoint) };
    let set = tx.definitions();
    let known = set.endpoints.binary_search_by_key(&at, |e| e.endpoint.id).ok().map(|i| &set.endpoints[i].endpoint);
    if known.is_some_and(|e| e.url == *text && at != webhook.endpoint) {
        return Ok(at);
    }
    let event = event_of(tx.db, event)?;
    // On the thread that everything waits for: a fault of ours must not end it.
    let origin = event.and_then(|event| catch_unwind(AssertUnwindSafe(|| url.origin(&event))).ok().flatten());
    let Some(origin) = origin else {
        return Ok(webhook.endpoint);
    };
    let new = NewEndpoint { url: text.clone(), origin };
    let (found, made) = add_endpoint(tx, &new).map_err(|e| tx.error(e))?;
    if made {
        super::definitions::redefine(tx)?;
    }
    Ok(found.unwrap_or(webhook.endpoint))
}
