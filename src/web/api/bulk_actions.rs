//! Retries and cancels by filter, and how far they are: `/api/bulk-actions/`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;

use crate::domain::time::Timestamp;
use crate::store::BulkKind;
use crate::store::admin::{BulkAction, BulkState, NewAudit};
use crate::web::State;
use crate::web::auth::{Allowed, Operate, Read};
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query};

#[derive(Serialize)]
struct BulkActionView {
    id: u32,
    action: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    skip_if_newer_delivered: Option<bool>,
    matched: u64,
    done: u64,
    skipped: u64,
    state: BulkState,
    created: Timestamp,
}

impl From<BulkAction> for BulkActionView {
    fn from(bulk: BulkAction) -> Self {
        let (action, skip_if_newer_delivered) = match bulk.kind {
            BulkKind::Retry { skip_if_newer_delivered } => ("retry", Some(skip_if_newer_delivered)),
            BulkKind::Cancel => ("cancel", None),
        };
        Self {
            id: bulk.id,
            action,
            skip_if_newer_delivered,
            matched: bulk.matched,
            done: bulk.done,
            skipped: bulk.skipped,
            state: bulk.state,
            created: bulk.created,
        }
    }
}

/// `GET /api/bulk-actions/`, newest first.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    query.finish()?;
    let listed = state.store.bulk_actions(page).await?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, BulkActionView::from)))
}

/// `GET /api/bulk-actions/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(BulkActionView::from(state.store.bulk_action(*id).await?)))
}

/// `POST /api/bulk-actions/{id}/cancel/`: what is done stays done.
pub async fn cancel(auth: Allowed<Operate>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Accepted().json(BulkActionView::from(cancel_one(&state, &auth.token.name, *id).await?)))
}

pub async fn cancel_one(state: &State, actor: &str, id: u32) -> Result<BulkAction, ApiError> {
    let audit = NewAudit {
        actor: actor.to_owned(),
        action: "bulk_action.cancel",
        target: format!("bulk action {id}"),
        detail: serde_json::Value::Null,
    };
    Ok(state.store.cancel_bulk(id, audit).await?)
}
