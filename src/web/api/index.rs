//! Where to start: what is at `/` and `/api/`.

use actix_web::HttpResponse;
use actix_web::http::header;

use crate::web::State;
use crate::web::dashboard;
use crate::web::error::ApiError;

/// `GET /`: people are led to the dashboard.
pub async fn root(state: State) -> HttpResponse {
    let page = format!("{}{}/", state.config().server.base_path, dashboard::PATH);
    HttpResponse::Found().insert_header((header::LOCATION, page)).finish()
}

/// `GET /api/`: the resources by name, as NetBox's API root.
pub async fn api(state: State) -> Result<HttpResponse, ApiError> {
    let base = &state.config().server.base_path;
    let names = ["audit", "bulk-actions", "deliveries", "docs", "endpoints", "events", "schema", "status", "stream"];
    let names = names.into_iter().chain(["tokens", "users", "webhooks"]);
    let links: serde_json::Map<_, _> =
        names.map(|name| (name.to_owned(), format!("{base}/api/{name}/").into())).collect();
    Ok(HttpResponse::Ok().json(links))
}
