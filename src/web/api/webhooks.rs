//! Webhook definitions: `/api/webhooks/`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Map, Value, json};

use crate::catalog::validate::{self, Valid};
use crate::catalog::{MASK, to_json};
use crate::domain::ids::WebhookId;
use crate::domain::webhook::{Source, Webhook};
use crate::store::StoreError;
use crate::store::admin::{NewAudit, WebhookWrite};
use crate::web::State;
use crate::web::auth::{Admin, Allowed, AuthToken, Read};
use crate::web::body::JsonObject;
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query, page_of};
use crate::web::secrets::{masked_headers, unmasked_headers};

/// `GET /api/webhooks/`: by id; `q` looks into name, description and URL.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let mut query = Query::of(&req);
    let page = query.take_page()?;
    let name = query.take("name")?;
    let enabled = query.take_bool("enabled")?;
    let endpoint = query.take_number("endpoint_id")?;
    let q = query.take("q")?.map(|q| q.to_lowercase());
    query.finish()?;
    let meant = |w: &Webhook| {
        let texts = [&w.spec.name, &w.spec.description, &*w.url.url];
        name.as_ref().is_none_or(|name| *name == w.spec.name)
            && enabled.is_none_or(|enabled| enabled == w.spec.enabled)
            && endpoint.is_none_or(|id| id == w.endpoint.0)
            && q.as_ref().is_none_or(|q| texts.iter().any(|text| text.to_lowercase().contains(q)))
    };
    let set = state.store.definitions();
    let mut webhooks: Vec<_> = set.webhooks.iter().filter(|w| meant(w)).cloned().collect();
    webhooks.sort_unstable_by_key(|w| w.id);
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    let listed = page_of(webhooks, page, |w| i64::from(w.id.0));
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, |w| view(&w))))
}

/// `GET /api/webhooks/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(view(&*find(&state, WebhookId(*id))?)))
}

/// `POST /api/webhooks/`
pub async fn create(auth: Allowed<Admin>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    let valid = validate::create(&Value::Object(body.0), &state.models()).map_err(|e| ApiError::fields(e.0))?;
    let webhook = write(&state, &auth.token, None, valid).await?;
    Ok(HttpResponse::Created().json(view(&webhook)))
}

/// `PUT /api/webhooks/{id}/`
pub async fn replace(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let old = find_own(&state, WebhookId(*id))?;
    let input = unmasked(body.0, &old);
    let valid = validate::replace(&input, &old.spec, &state.models()).map_err(|e| ApiError::fields(e.0))?;
    let webhook = write(&state, &auth.token, Some(old.id), valid).await?;
    Ok(HttpResponse::Ok().json(view(&webhook)))
}

/// `PATCH /api/webhooks/{id}/`
pub async fn change(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let old = find_own(&state, WebhookId(*id))?;
    let input = unmasked(body.0, &old);
    let valid = validate::patch(&input, &old.spec, &state.models()).map_err(|e| ApiError::fields(e.0))?;
    let webhook = write(&state, &auth.token, Some(old.id), valid).await?;
    Ok(HttpResponse::Ok().json(view(&webhook)))
}

/// `DELETE /api/webhooks/{id}/`: cancels its undelivered deliveries; a header tells how many.
pub async fn delete(auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    let webhook = find(&state, WebhookId(*id))?;
    // What its source no longer names is nobody's: a person may remove it.
    if !webhook.orphaned {
        refuse_foreign(&webhook)?;
    }
    let audit = audit(&auth.token, "webhook.delete", Some(webhook.id), shown(&webhook));
    let canceled = state.store.delete_webhook(webhook.id, audit).await?;
    state.dispatcher.refresh().await;
    state.dispatcher.wake(&[webhook.endpoint]);
    Ok(HttpResponse::NoContent().insert_header(("X-Canceled-Deliveries", canceled.to_string())).finish())
}

/// The webhook a URL names.
pub fn find(state: &State, id: WebhookId) -> Result<Arc<Webhook>, ApiError> {
    let set = state.store.definitions();
    let found = set.webhooks.iter().find(|w| w.id == id).cloned();
    found.ok_or_else(|| ApiError::not_found(format!("webhook {id} does not exist")))
}

/// A webhook that is edited here.
fn find_own(state: &State, id: WebhookId) -> Result<Arc<Webhook>, ApiError> {
    let webhook = find(state, id)?;
    refuse_foreign(&webhook)?;
    Ok(webhook)
}

fn refuse_foreign(webhook: &Webhook) -> Result<(), ApiError> {
    let name = &webhook.spec.name;
    match webhook.source {
        Source::Api => Ok(()),
        Source::File => {
            Err(ApiError::conflict(format!("\"{name}\" is defined in the configuration file; edit it there")))
        }
        Source::Netbox(id) => Err(ApiError::conflict(format!("\"{name}\" is NetBox's webhook {id}; edit it there"))),
    }
}

async fn write(
    state: &State,
    token: &AuthToken,
    id: Option<WebhookId>,
    (spec, url): Valid,
) -> Result<Arc<Webhook>, ApiError> {
    validate::beside(&state.store.definitions(), id, &spec).map_err(|e| ApiError::fields(e.0))?;
    let action = if id.is_some() { "webhook.update" } else { "webhook.create" };
    let mut detail = serde_json::to_value(&spec).unwrap_or_default();
    mask(&mut detail);
    let audit = audit(token, action, id, detail);
    let written =
        state.store.write_webhook(WebhookWrite { id, spec, url, source: Source::Api, orphaned: false }, audit);
    let webhook = written.await.map_err(|error| match error {
        // Another request took the name since it was looked for.
        StoreError::Conflict(problem) => ApiError::field("name", problem),
        other => other.into(),
    })?;
    state.dispatcher.refresh().await;
    // A changed URL moves deliveries, an enabled webhook brings its own back.
    state.dispatcher.bulk_started();
    state.dispatcher.wake(&[webhook.endpoint]);
    Ok(webhook)
}

fn view(webhook: &Webhook) -> Value {
    let mut shown = shown(webhook);
    shown["moving"] = json!(webhook.moving);
    shown["revision"] = json!(webhook.revision);
    shown
}

fn shown(webhook: &Webhook) -> Value {
    let mut shown = to_json(webhook);
    mask(&mut shown);
    shown
}

fn mask(shown: &mut Value) {
    if let Some(Value::String(headers)) = shown.get_mut("additional_headers") {
        *headers = masked_headers(headers);
    }
    if let Some(Value::String(secret)) = shown.get_mut("secret")
        && !secret.is_empty()
    {
        *secret = MASK.to_owned();
    }
    if let Some(Value::String(url)) = shown.get_mut("payload_url") {
        *url = crate::domain::payload_url::mask_userinfo(url);
    }
}

/// What was read masked and sent back is as it was.
fn unmasked(mut input: Map<String, Value>, old: &Webhook) -> Value {
    if let Some(Value::String(headers)) = input.get_mut("additional_headers") {
        *headers = unmasked_headers(headers, &old.spec.additional_headers);
    }
    input.remove("moving");
    input.remove("revision");
    Value::Object(input)
}

/// Of a new webhook the store fills in the id.
fn audit(token: &AuthToken, action: &'static str, id: Option<WebhookId>, detail: Value) -> NewAudit {
    let target = id.map_or_else(|| "webhook".to_owned(), |id| format!("webhook {id}"));
    NewAudit { actor: token.name.clone(), action, target, detail }
}
