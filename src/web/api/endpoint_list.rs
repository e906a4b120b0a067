//! `GET /api/endpoints/`: which endpoints, and in which order.

use std::cmp::Reverse;
use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse};
use futures_util::future::join_all;

use super::endpoints::{EndpointView, view, webhooks_of};
use crate::domain::change::EndpointActivity;
use crate::domain::ids::WebhookId;
use crate::store::StoredEndpoint;
use crate::store::archive::Listed;
use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query, page_in_order};

/// What a list can be ordered by, as NetBox writes it: a hyphen for "highest first".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Id,
    OldestPending,
    Backlog,
    Failed,
    Rate,
}

impl Order {
    const ALL: [(&'static str, Order); 5] = [
        ("id", Self::Id),
        ("oldest_pending_at", Self::OldestPending),
        ("-backlog", Self::Backlog),
        ("-failed", Self::Failed),
        ("-rate", Self::Rate),
    ];

    fn named(text: &str) -> Result<Self, ApiError> {
        let found = Self::ALL.into_iter().find(|(name, _)| *name == text);
        found.map(|(_, order)| order).ok_or_else(|| {
            let known = Self::ALL.map(|(name, _)| name).join(", ");
            ApiError::field("ordering", format!("\"{text}\" is not an order; one of {known}"))
        })
    }

    /// From kept counters and figures; what is equal stays in order of id.
    fn sort(self, state: &State, endpoints: &mut [Arc<StoredEndpoint>]) {
        let counts = |e: &Arc<StoredEndpoint>| state.store.endpoint_counts(e.endpoint.id);
        match self {
            Self::Id => {}
            Self::OldestPending => endpoints.sort_by_cached_key(|e| {
                let oldest = counts(e).oldest_pending_at;
                (oldest.is_none(), oldest)
            }),
            Self::Backlog => endpoints.sort_by_cached_key(|e| {
                let counts = counts(e);
                Reverse(counts.pending + counts.in_flight + counts.retrying)
            }),
            Self::Failed => endpoints.sort_by_cached_key(|e| Reverse(counts(e).failed)),
            Self::Rate => endpoints.sort_by_cached_key(|e| {
                // Deliveries of a minute: a whole number.
                Reverse((state.dispatcher.rate_of(e.endpoint.id) * 60.0).round() as u64)
            }),
        }
    }
}

/// `GET /api/endpoints/`: by id, or as `ordering` says; `q` looks into the URL, `state` may be repeated.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let listed = listed(&state, Query::of(&req)).await?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, |endpoint| endpoint)))
}

/// The endpoints that `query` asks for.
pub async fn listed(state: &State, mut query: Query) -> Result<Listed<EndpointView>, ApiError> {
    let page = query.take_page()?;
    let q = query.take("q")?.map(|q| q.to_lowercase());
    let webhook = query.take_number("webhook_id")?;
    let order = query.take("ordering")?.map_or(Ok(Order::Id), |text| Order::named(&text))?;
    let states = query.take_all("state").iter().map(|text| activity(text)).collect::<Result<Vec<_>, _>>()?;
    query.finish()?;
    let set = state.store.definitions();
    let named = |e: &StoredEndpoint| q.as_ref().is_none_or(|q| e.endpoint.url.to_lowercase().contains(q));
    let meant = |e: &StoredEndpoint| webhook.is_none_or(|id| webhooks_of(&set, &e.endpoint).contains(&WebhookId(id)));
    let mut endpoints: Vec<_> = set.endpoints.iter().filter(|e| named(e) && meant(e)).cloned().collect();
    endpoints.sort_unstable_by_key(|e| e.endpoint.id);
    if !states.is_empty() {
        endpoints = in_states(state, endpoints, &states).await;
    }
    order.sort(state, &mut endpoints);
    let listed = page_in_order(endpoints, page, |e| i64::from(e.endpoint.id.0));
    let inspections = join_all(listed.rows.iter().map(|e| state.dispatcher.inspect(e.endpoint.id))).await;
    Ok(listed.map(|rows| rows.iter().zip(inspections).map(|(e, live)| view(state, &set, e, live)).collect()))
}

async fn in_states(
    state: &State,
    endpoints: Vec<Arc<StoredEndpoint>>,
    states: &[EndpointActivity],
) -> Vec<Arc<StoredEndpoint>> {
    let live = join_all(endpoints.iter().map(|e| state.dispatcher.inspect(e.endpoint.id))).await;
    let now = endpoints.into_iter().zip(live);
    now.filter(|(_, live)| states.contains(&live.activity)).map(|(endpoint, _)| endpoint).collect()
}

fn activity(text: &str) -> Result<EndpointActivity, ApiError> {
    EndpointActivity::ALL.into_iter().find(|known| known.as_str() == text).ok_or_else(|| {
        let known = EndpointActivity::ALL.map(EndpointActivity::as_str).join(", ");
        ApiError::field("state", format!("\"{text}\" is not a state; one of {known}"))
    })
}
