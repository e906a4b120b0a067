//! Where to start: what is at `/` and `/api/`.

use actix_web::HttpResponse;
use serde_json::json;

use crate::web::State;
use crate::web::error::ApiError;

/// `GET /`
pub async fn root(state: State) -> Result<HttpResponse, ApiError> {
    let base = &state.config().server.base_path;
    Ok(HttpResponse::Ok().json(json!({
        "service": "netbox-webhookd",
        "version": env!("CARGO_PKG_VERSION"),
        "api": format!("{base}/api/"),
        "docs": format!("{base}/api/docs/"),
    })))
}

/// `GET /api/`: the resources by name, as NetBox's API root.
pub async fn api(state: State) -> Result<HttpResponse, ApiError> {
    let base = &state.config().server.base_path;
    let names = ["audit", "bulk-actions", "deliveries", "docs", "endpoints", "events", "schema", "status", "stream"];
    let names = names.into_iter().chain(["tokens", "webhooks"]);
    let links: serde_json::Map<_, _> =
        names.map(|name| (name.to_owned(), format!("{base}/api/{name}/").into())).collect();
    Ok(HttpResponse::Ok().json(links))
}
