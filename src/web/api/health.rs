//! Probes for load balancers and supervisors; no token.

use actix_web::HttpResponse;
use serde_json::json;

use crate::store::Health;
use crate::web::State;

/// `GET /health/live`: the process answers.
pub async fn live() -> HttpResponse {
    HttpResponse::Ok().json(json!({ "status": "ok" }))
}

/// `GET /health/ready`: events would be taken; 503 while the store is full or unusable. The reason is for those with
/// a token, at `/api/status/`.
pub async fn ready(state: State) -> HttpResponse {
    match state.store.health() {
        Health::Ok => HttpResponse::Ok().json(json!({ "status": "ok" })),
        Health::Full(_) => HttpResponse::ServiceUnavailable().json(json!({ "status": "store full" })),
        Health::Failed(_) => HttpResponse::ServiceUnavailable().json(json!({ "status": "store unusable" })),
    }
}
