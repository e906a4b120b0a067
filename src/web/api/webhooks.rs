//! Webhook definitions: `/api/webhooks/`.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use serde_json::{Value, json};

use crate::catalog::validate::{self, FieldErrors, Valid};
use crate::catalog::{masked, to_json};
use crate::domain::ids::WebhookId;
use crate::domain::models::Models;
use crate::domain::webhook::{Source, Webhook, WebhookSpec};
use crate::store::StoreError;
use crate::store::admin::{NewAudit, WebhookWrite};
use crate::store::archive::Listed;
use crate::web::State;
use crate::web::auth::{Admin, Allowed, Read};
use crate::web::body::JsonObject;
use crate::web::error::ApiError;
use crate::web::external::own_url;
use crate::web::query::{Links, ListBody, Query, page_of};

/// How often a change is made anew when others come between.
const CHANGES_BETWEEN: usize = 64;

/// `GET /api/webhooks/`: by id; `q` looks into name, description and URL.
pub async fn list(_auth: Allowed<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, ApiError> {
    let listed = listed(&state, Query::of(&req))?;
    let links = Links::new(own_url(&req, &state.config()), req.query_string());
    Ok(HttpResponse::Ok().json(ListBody::new(listed, &links, |w| view(&state, &w))))
}

/// The webhooks that `query` asks for.
pub fn listed(state: &State, mut query: Query) -> Result<Listed<Arc<Webhook>>, ApiError> {
    let page = query.take_page()?;
    let name = query.take("name")?;
    let enabled = query.take_bool("enabled")?;
    let endpoint = query.take_number("endpoint_id")?;
    let q = query.take("q")?.map(|q| q.to_lowercase());
    query.finish()?;
    let meant = |w: &Webhook| {
        let texts = [w.spec.name.as_str(), &w.spec.description, w.target.endpoint_key()];
        name.as_ref().is_none_or(|name| *name == w.spec.name)
            && enabled.is_none_or(|enabled| enabled == w.spec.enabled)
            && endpoint.is_none_or(|id| id == w.endpoint.0)
            && q.as_ref().is_none_or(|q| texts.iter().any(|text| text.to_lowercase().contains(q)))
    };
    let set = state.store.definitions();
    let mut webhooks: Vec<_> = set.webhooks.iter().filter(|w| meant(w)).cloned().collect();
    webhooks.sort_unstable_by_key(|w| w.id);
    Ok(page_of(webhooks, page, |w| i64::from(w.id.0)))
}

/// The definition, and what became of its deliveries lately.
fn view(state: &State, webhook: &Webhook) -> Value {
    let mut shown = to_json(webhook);
    shown["last_24h"] = json!(state.store.last_day(webhook.id));
    shown
}

/// `GET /api/webhooks/{id}/`
pub async fn get(_auth: Allowed<Read>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    Ok(HttpResponse::Ok().json(view(&state, &*find(&state, WebhookId(*id))?)))
}

/// `POST /api/webhooks/`
pub async fn create(auth: Allowed<Admin>, state: State, body: JsonObject) -> Result<HttpResponse, ApiError> {
    let webhook = create_one(&state, &auth.token.name, &Value::Object(body.0)).await?;
    Ok(HttpResponse::Created().json(view(&state, &webhook)))
}

pub async fn create_one(state: &State, actor: &str, input: &Value) -> Result<Arc<Webhook>, ApiError> {
    let valid = validate::create(input, &state.models()).map_err(|e| ApiError::fields(e.0))?;
    write(state, actor, None, valid).await.map_err(ApiError::from)
}

pub async fn change_one(state: &State, actor: &str, id: WebhookId, input: &Value) -> Result<Arc<Webhook>, ApiError> {
    update(state, actor, id, input, validate::patch).await
}

/// `PUT /api/webhooks/{id}/`
pub async fn replace(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let webhook = update(&state, &auth.token.name, WebhookId(*id), &Value::Object(body.0), validate::replace).await?;
    Ok(HttpResponse::Ok().json(view(&state, &webhook)))
}

/// `PATCH /api/webhooks/{id}/`
pub async fn change(
    auth: Allowed<Admin>,
    state: State,
    id: web::Path<u32>,
    body: JsonObject,
) -> Result<HttpResponse, ApiError> {
    let webhook = update(&state, &auth.token.name, WebhookId(*id), &Value::Object(body.0), validate::patch).await?;
    Ok(HttpResponse::Ok().json(view(&state, &webhook)))
}

/// `DELETE /api/webhooks/{id}/`: cancels its undelivered deliveries; a header tells how many.
pub async fn delete(auth: Allowed<Admin>, state: State, id: web::Path<u32>) -> Result<HttpResponse, ApiError> {
    let canceled = delete_one(&state, &auth.token.name, WebhookId(*id)).await?;
    Ok(HttpResponse::NoContent().insert_header(("X-Canceled-Deliveries", canceled.to_string())).finish())
}

/// How many deliveries were canceled with it.
pub async fn delete_one(state: &State, actor: &str, id: WebhookId) -> Result<u64, ApiError> {
    let webhook = find(state, id)?;
    // What its source no longer names is nobody's: a person may remove it.
    if !webhook.orphaned {
        refuse_foreign(&webhook)?;
    }
    let audit = audit(actor, "webhook.delete", Some(webhook.id), to_json(&webhook));
    let canceled = state.store.delete_webhook(webhook.id, audit).await?;
    state.dispatcher.refresh().await;
    state.dispatcher.wake(&[webhook.endpoint]);
    Ok(canceled)
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

/// Lays `input` over the definition in force, anew whenever another change came between.
async fn update(
    state: &State,
    actor: &str,
    id: WebhookId,
    input: &Value,
    over: impl Fn(&Value, &WebhookSpec, &Models) -> Result<Valid, FieldErrors>,
) -> Result<Arc<Webhook>, ApiError> {
    let mut old = find_own(state, id)?;
    for _ in 0..CHANGES_BETWEEN {
        let valid = over(input, &old.spec, &state.models()).map_err(|e| ApiError::fields(e.0))?;
        match write(state, actor, Some(&old), valid).await {
            Err(Unwritten::Outdated) => old = find_own(state, id)?,
            written => return written.map_err(ApiError::from),
        }
    }
    Err(ApiError::conflict("others keep changing this webhook; try again"))
}

/// Why a definition was not written.
enum Unwritten {
    /// It is not the one any more that the change was made from.
    Outdated,
    Refused(ApiError),
}

impl From<Unwritten> for ApiError {
    fn from(unwritten: Unwritten) -> Self {
        match unwritten {
            Unwritten::Outdated => Self::conflict("the webhook was changed meanwhile; try again"),
            Unwritten::Refused(error) => error,
        }
    }
}

/// `old`: what the definition was made from; `None`: it is new.
async fn write(
    state: &State,
    actor: &str,
    old: Option<&Webhook>,
    (spec, target): Valid,
) -> Result<Arc<Webhook>, Unwritten> {
    let (id, based_on) = (old.map(|w| w.id), old.map(|w| w.revision));
    let refused = |e: FieldErrors| Unwritten::Refused(ApiError::fields(e.0));
    validate::beside(&state.store.definitions(), id, &spec).map_err(refused)?;
    let action = if id.is_some() { "webhook.update" } else { "webhook.create" };
    let audit = audit(actor, action, id, masked(&spec));
    let write = WebhookWrite { id, spec, target, based_on, source: Source::Api, orphaned: false };
    let webhook = state.store.write_webhook(write, audit).await.map_err(|error| match error {
        StoreError::Outdated(_) => Unwritten::Outdated,
        // Another request took the name since it was looked for.
        StoreError::Conflict(problem) => Unwritten::Refused(ApiError::field("name", problem)),
        other => Unwritten::Refused(other.into()),
    })?;
    state.dispatcher.refresh().await;
    // A changed URL moves deliveries, an enabled webhook brings its own back.
    state.dispatcher.bulk_started();
    state.dispatcher.wake(&[webhook.endpoint]);
    Ok(webhook)
}

/// Of a new webhook the store fills in the id.
fn audit(actor: &str, action: &'static str, id: Option<WebhookId>, detail: Value) -> NewAudit {
    let target = id.map_or_else(|| "webhook".to_owned(), |id| format!("webhook {id}"));
    NewAudit { actor: actor.to_owned(), action, target, detail }
}
