//! What people do to deliveries: retry, resend and cancel, one or by filter.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, web};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::deliveries::find;
use super::delivery_view::{DeliveryView, Surroundings};
use crate::domain::ids::PublicId;
use crate::store::admin::{BulkAction, NewAudit};
use crate::store::{BulkKind, Filter};
use crate::web::State;
use crate::web::auth::{Allowed, AuthToken, Operate};
use crate::web::body::JsonObject;
use crate::web::error::ApiError;
use crate::web::filter::{DELIVERY_FILTERS, pairs_of, parse};

#[derive(Serialize)]
struct Retried {
    /// A later event of the same object already reached that webhook.
    newer_delivered: bool,
    #[serde(flatten)]
    delivery: DeliveryView,
}

/// `POST /api/deliveries/{id}/retry/`: due now, at its original place.
pub async fn retry(auth: Allowed<Operate>, state: State, id: web::Path<PublicId>) -> Result<HttpResponse, ApiError> {
    let newer_delivered = retry_one(&state, &auth.token.name, *id).await?;
    let delivery = view(&state, *id).await?;
    Ok(HttpResponse::Accepted().json(Retried { newer_delivered, delivery }))
}

/// Whether a later event of the same object already reached that webhook.
pub async fn retry_one(state: &State, actor: &str, id: PublicId) -> Result<bool, ApiError> {
    let row = find(state, id).await?;
    let requeued = state.store.retry(row.id).await?;
    state.dispatcher.wake(&[requeued.endpoint]);
    write_audit(state, actor, "delivery.retry", id).await?;
    Ok(requeued.newer_delivered)
}

/// `POST /api/deliveries/{id}/resend/`: a new delivery of a delivered one; answers with the new one.
pub async fn resend(auth: Allowed<Operate>, state: State, id: web::Path<PublicId>) -> Result<HttpResponse, ApiError> {
    let new = resend_one(&state, &auth.token.name, *id).await?;
    Ok(HttpResponse::Accepted().json(view(&state, new).await?))
}

/// The new delivery.
pub async fn resend_one(state: &State, actor: &str, id: PublicId) -> Result<PublicId, ApiError> {
    let row = find(state, id).await?;
    let (_, new, endpoint) = state.store.resend(row.id).await?;
    state.dispatcher.wake(&[endpoint]);
    write_audit(state, actor, "delivery.resend", id).await?;
    Ok(new)
}

/// `POST /api/deliveries/{id}/cancel/`: of one in flight, what would follow.
pub async fn cancel(auth: Allowed<Operate>, state: State, id: web::Path<PublicId>) -> Result<HttpResponse, ApiError> {
    cancel_one(&state, &auth.token.name, *id).await?;
    Ok(HttpResponse::Accepted().json(view(&state, *id).await?))
}

pub async fn cancel_one(state: &State, actor: &str, id: PublicId) -> Result<(), ApiError> {
    let row = find(state, id).await?;
    let endpoint = state.store.cancel(row.id).await?;
    // The next of its key may go now.
    state.dispatcher.wake(&[endpoint]);
    write_audit(state, actor, "delivery.cancel", id).await
}

async fn view(state: &State, id: PublicId) -> Result<DeliveryView, ApiError> {
    let row = find(state, id).await?;
    let around = Surroundings::of(state, std::slice::from_ref(&row)).await;
    Ok(around.view(row))
}

async fn write_audit(state: &State, actor: &str, action: &'static str, id: PublicId) -> Result<(), ApiError> {
    let target = format!("delivery {id}");
    let entry = NewAudit { actor: actor.to_owned(), action, target, detail: Value::Null };
    Ok(state.store.audit(entry).await?)
}

/// `POST /api/deliveries/retry/`: all that match, in original order.
pub async fn retry_all(auth: Allowed<Operate>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    let mut body = body.0;
    let skip_if_newer_delivered = match body.remove("skip_if_newer_delivered") {
        None => false,
        Some(Value::Bool(skip)) => skip,
        Some(_) => return Err(ApiError::field("skip_if_newer_delivered", "must be true or false")),
    };
    start(&auth.token, &state, BulkKind::Retry { skip_if_newer_delivered }, body).await
}

/// `POST /api/deliveries/cancel/`: all that match.
pub async fn cancel_all(auth: Allowed<Operate>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    if body.0.is_empty() {
        return Err(ApiError::bad_request(
            "say what to cancel; for everything that waits: {\"status\": [\"pending\", \"retrying\"]}",
        ));
    }
    start(&auth.token, &state, BulkKind::Cancel, body.0).await
}

async fn start(
    token: &AuthToken,
    state: &State,
    kind: BulkKind,
    body: Map<String, Value>,
) -> Result<HttpResponse, ApiError> {
    let bulk = start_bulk(state, &token.name, kind, pairs_of(body)?).await?;
    let url = format!("{}/api/bulk-actions/{}/", state.config().server.base_path, bulk.id);
    Ok(HttpResponse::Accepted().json(json!({ "id": bulk.id, "matched": bulk.matched, "url": url })))
}

/// `pairs`: the filter, as a query string has it.
pub async fn start_bulk(
    state: &State,
    actor: &str,
    kind: BulkKind,
    pairs: Vec<(String, String)>,
) -> Result<BulkAction, ApiError> {
    let mut detail: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in &pairs {
        detail.entry(name.clone()).or_default().push(value.clone());
    }
    let filter: Filter = parse(pairs, DELIVERY_FILTERS, &state.models())?;
    let action = match kind {
        BulkKind::Retry { .. } => "delivery.bulk_retry",
        BulkKind::Cancel => "delivery.bulk_cancel",
    };
    let audit =
        NewAudit { actor: actor.to_owned(), action, target: "deliveries by filter".to_owned(), detail: json!(detail) };
    let bulk = state.store.start_bulk(kind, filter, audit).await?;
    state.dispatcher.bulk_started();
    Ok(bulk)
}
