//! The table of all URLs.

use actix_web::Route;

use super::api::{
    audit, bulk_actions, deliveries, delivery_actions, docs, endpoint_figures, endpoint_list, endpoints, events,
    health, index, metrics, schema, status, stream, tokens, users, webhook_tools, webhooks,
};
use crate::store::admin::Scope;

/// One URL and what it answers.
pub struct Url {
    /// Below `server.base_path`.
    pub path: &'static str,
    /// Method, the scope a token needs (`None`: no token), handler.
    pub methods: &'static [(&'static str, Option<Scope>, To)],
}

/// Puts a handler on a route.
pub type To = fn(Route) -> Route;

pub const INGEST: Option<Scope> = Some(Scope::Ingest);
pub const READ: Option<Scope> = Some(Scope::Read);
pub const OPERATE: Option<Scope> = Some(Scope::Operate);
pub const ADMIN: Option<Scope> = Some(Scope::Admin);

pub const fn url(path: &'static str, methods: &'static [(&'static str, Option<Scope>, To)]) -> Url {
    Url { path, methods }
}

/// Every URL. Where two fit, the first one is taken.
pub const URLS: &[Url] = &[
    url("/", &[("GET", None, |r| r.to(index::root))]),
    url("/health/live", &[("GET", None, |r| r.to(health::live))]),
    url("/health/ready", &[("GET", None, |r| r.to(health::ready))]),
    url("/metrics", &[("GET", READ, |r| r.to(metrics::show))]),
    url("/api/", &[("GET", None, |r| r.to(index::api))]),
    url("/api/events/", &[("GET", READ, |r| r.to(events::list)), ("POST", INGEST, |r| r.to(events::accept))]),
    url("/api/events/{id}/", &[("GET", READ, |r| r.to(events::get))]),
    url("/api/webhooks/", &[("GET", READ, |r| r.to(webhooks::list)), ("POST", ADMIN, |r| r.to(webhooks::create))]),
    url("/api/webhooks/match/", &[("POST", READ, |r| r.to(webhook_tools::matches))]),
    url(
        "/api/webhooks/{id}/",
        &[
            ("GET", READ, |r| r.to(webhooks::get)),
            ("PUT", ADMIN, |r| r.to(webhooks::replace)),
            ("PATCH", ADMIN, |r| r.to(webhooks::change)),
            ("DELETE", ADMIN, |r| r.to(webhooks::delete)),
        ],
    ),
    url("/api/webhooks/{id}/test/", &[("POST", OPERATE, |r| r.to(webhook_tools::test))]),
    url("/api/webhooks/{id}/preview/", &[("GET", READ, |r| r.to(webhook_tools::preview))]),
    url("/api/endpoints/", &[("GET", READ, |r| r.to(endpoint_list::list))]),
    url(
        "/api/endpoints/{id}/",
        &[("GET", READ, |r| r.to(endpoints::get)), ("PATCH", ADMIN, |r| r.to(endpoints::change))],
    ),
    url("/api/endpoints/{id}/history/", &[("GET", READ, |r| r.to(endpoint_figures::history))]),
    url("/api/endpoints/{id}/attempts/", &[("GET", READ, |r| r.to(endpoint_figures::attempts))]),
    url("/api/endpoints/{id}/blocked/", &[("GET", READ, |r| r.to(endpoint_figures::blocked))]),
    url("/api/endpoints/{id}/pause/", &[("POST", OPERATE, |r| r.to(endpoints::pause))]),
    url("/api/endpoints/{id}/resume/", &[("POST", OPERATE, |r| r.to(endpoints::resume))]),
    url("/api/deliveries/", &[("GET", READ, |r| r.to(deliveries::list))]),
    url("/api/deliveries/failed/", &[("GET", READ, |r| r.to(deliveries::failed))]),
    url("/api/deliveries/retry/", &[("POST", OPERATE, |r| r.to(delivery_actions::retry_all))]),
    url("/api/deliveries/cancel/", &[("POST", OPERATE, |r| r.to(delivery_actions::cancel_all))]),
    url("/api/deliveries/{id}/", &[("GET", READ, |r| r.to(deliveries::get))]),
    url("/api/deliveries/{id}/retry/", &[("POST", OPERATE, |r| r.to(delivery_actions::retry))]),
    url("/api/deliveries/{id}/resend/", &[("POST", OPERATE, |r| r.to(delivery_actions::resend))]),
    url("/api/deliveries/{id}/cancel/", &[("POST", OPERATE, |r| r.to(delivery_actions::cancel))]),
    url("/api/bulk-actions/", &[("GET", READ, |r| r.to(bulk_actions::list))]),
    url("/api/bulk-actions/{id}/", &[("GET", READ, |r| r.to(bulk_actions::get))]),
    url("/api/bulk-actions/{id}/cancel/", &[("POST", OPERATE, |r| r.to(bulk_actions::cancel))]),
    url("/api/tokens/", &[("GET", ADMIN, |r| r.to(tokens::list)), ("POST", ADMIN, |r| r.to(tokens::create))]),
    url("/api/tokens/{id}/", &[("GET", ADMIN, |r| r.to(tokens::get)), ("DELETE", ADMIN, |r| r.to(tokens::revoke))]),
    url("/api/users/", &[("GET", ADMIN, |r| r.to(users::list)), ("POST", ADMIN, |r| r.to(users::create))]),
    url(
        "/api/users/{id}/",
        &[
            ("GET", ADMIN, |r| r.to(users::get)),
            ("PATCH", ADMIN, |r| r.to(users::change)),
            ("DELETE", ADMIN, |r| r.to(users::delete)),
        ],
    ),
    url("/api/audit/", &[("GET", READ, |r| r.to(audit::list))]),
    url("/api/status/", &[("GET", READ, |r| r.to(status::show))]),
    url("/api/status/history/", &[("GET", READ, |r| r.to(status::history))]),
    url("/api/stream/", &[("GET", READ, |r| r.to(stream::follow))]),
    url("/api/schema/", &[("GET", None, |r| r.to(schema::show))]),
    url("/api/docs/", &[("GET", None, |r| r.to(docs::show))]),
];
