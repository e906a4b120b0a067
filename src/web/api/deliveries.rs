//! Deliveries, listed and in detail: `/api/deliveries/`.

use actix_web::{HttpRequest, HttpResponse, web};
use serde::Serialize;
use serde_json::json;

use super::delivery_view::{AttemptView, DeliveryView, Surroundings};
use super::events::EventDetail;
use super::sent_request::{SentRequest, history};
use crate::domain::attempt::ErrorKind;
use crate::domain::ids::{DeliveryId, EndpointId, Named, PublicId};
use crate::domain::time::Timestamp;
use crate::store::archive::DeliveryRow;
use crate::web::State;
use crate::web::auth::{Allowed, Read};
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::filter::{DELIVERY_FILTERS, parse};
use crate::web::query::{Links, ListBody, Query};

/// `GET /api/deliveries/`, newest first.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    let filter = parse(query.into_pairs(), DELIVERY_FILTERS, &state.models())?;
    let listed = state.store.deliveries(filter, page).await?;
    let around = Surroundings::of(&state, &listed.rows).await;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, |row| around.view(row))))
}

#[derive(Serialize)]
struct DeliveryDetail<'a> {
    /// Its `event` is the whole one here.
    #[serde(flatten)]
    row: DeliveryView<EventDetail<'a>>,
    /// As the last attempt sent it, as the next one would if there was none; `null` when it can no longer be told.
    request: Option<SentRequest>,
    /// In order; of more than a thousand the last ones.
    attempts: Vec<AttemptView>,
}

/// `GET /api/deliveries/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<PublicId>) -> Result<HttpResponse, ApiError> {
    let row = find(&state, *id).await?;
    let stored = state.store.event(row.id.event()).await?;
    let Some((event_row, Some(event))) = stored else {
        return Err(ApiError::not_found(format!("the event of delivery {id} is no longer kept")));
    };
    let (attempts, request) = history(&state, &row, Some(&event)).await?;
    let around = Surroundings::of(&state, std::slice::from_ref(&row)).await;
    Ok(HttpResponse::Ok().json(DeliveryDetail {
        row: around.view_with(row, EventDetail::new(event_row, Some(&event))),
        request,
        attempts: attempts.into_iter().map(AttemptView::from).collect(),
    }))
}

#[derive(Serialize)]
struct GroupView {
    endpoint_id: EndpointId,
    error: ErrorKind,
    status_code: Option<u16>,
    deliveries: u64,
    first_at: Timestamp,
    last_at: Timestamp,
}

/// `GET /api/deliveries/failed/`: by endpoint and what came of them.
pub async fn failed(_auth: Allowed<Read>, state: State) -> Result<HttpResponse, ApiError> {
    let groups = state.store.failed_groups().await?;
    let results: Vec<_> = groups
        .into_iter()
        .map(|group| GroupView {
            endpoint_id: group.endpoint,
            error: group.error,
            status_code: group.status_code,
            deliveries: group.deliveries,
            first_at: group.first,
            last_at: group.last,
        })
        .collect();
    Ok(HttpResponse::Ok().json(json!({ "count": results.len(), "results": results })))
}

/// The delivery a URL names. The millisecond within the id is not compared: links from other deliveries may have theirs.
pub async fn find(state: &State, id: PublicId) -> Result<DeliveryRow, ApiError> {
    let row = state.store.delivery(delivery_id(id)?).await?;
    row.ok_or_else(|| ApiError::not_found(format!("delivery {id} does not exist")))
}

fn delivery_id(id: PublicId) -> Result<DeliveryId, ApiError> {
    match id.named() {
        Some(Named::Delivery(delivery)) => Ok(delivery),
        Some(Named::Event(_)) => Err(ApiError::not_found(format!("{id} is an event; see /api/events/{id}/"))),
        None => Err(ApiError::not_found(format!("delivery {id} does not exist"))),
    }
}
