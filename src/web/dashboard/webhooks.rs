//! `/admin/extras/webhook/`: the definitions, what became of each, and the orders they take.

use std::sync::Arc;

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use bytes::Bytes;
use serde_json::json;

use super::confirm::Confirm;
use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::form::Form;
use super::frame::{self, Frame, go, with_notice};
use super::many::{CANCELABLE, how_many};
use super::rows::{Row, rows};
use super::session::Person;
use super::webhook_form::{self, Fields};
use crate::catalog::masked;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::EventType;
use crate::domain::ids::WebhookId;
use crate::domain::payload_url::mask_userinfo;
use crate::domain::webhook::{Source, Webhook};
use crate::store::archive::{LastDay, Page};
use crate::store::{Filter, Store};
use crate::web::State;
use crate::web::api::sent_request::SentRequest;
use crate::web::api::{webhook_tools, webhooks as api};
use crate::web::auth::{Admin, Operate, Read};
use crate::web::query::{Links, ListBody, Query};

/// Deliveries shown on the page of one.
const SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "webhooks.html")]
struct Webhooks {
    frame: Frame,
    filters: Filters,
    list: ListBody<Line>,
}

/// A webhook as a row.
struct Line {
    id: WebhookId,
    name: String,
    /// Enabled and named by its source.
    active: bool,
    enabled: bool,
    orphaned: bool,
    events: String,
    models: String,
    url: String,
    source: &'static str,
    editable: bool,
    /// Ever, of what is kept.
    delivered: u64,
    failed: u64,
    last_day: LastDay,
}

impl Line {
    /// The numbers are from kept counters.
    fn new(webhook: &Webhook, store: &dyn Store) -> Self {
        let ended = |state| store.webhook_count(webhook.id, state);
        let spec = &webhook.spec;
        let events: Vec<_> = EventType::ALL.into_iter().filter(|t| spec.wants(*t)).map(EventType::as_str).collect();
        let models = match spec.models.as_slice() {
            [first, second, third, rest @ ..] if !rest.is_empty() => {
                format!("{first}, {second}, {third} and {} more", rest.len())
            }
            few => few.join(", "),
        };
        let source = match webhook.source {
            Source::Api => "here",
            Source::File => "configuration file",
            Source::Netbox(_) => "NetBox",
        };
        Self {
            id: webhook.id,
            name: spec.name.clone(),
            active: webhook.active(),
            enabled: spec.enabled,
            orphaned: webhook.orphaned,
            events: events.join(", "),
            models,
            url: mask_userinfo(&spec.payload_url),
            source,
            editable: webhook.source == Source::Api,
            delivered: ended(DeliveryState::Delivered),
            failed: ended(DeliveryState::Failed),
            last_day: store.last_day(webhook.id),
        }
    }
}

/// `GET …/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", "Webhooks");
    let (filters, _) = Filters::of(&req)?;
    let text = without_notice(&req);
    let found = api::listed(&state, Query::parse(&text))?;
    let links = Links::new(req.path().to_owned(), &text);
    let list = ListBody::new(found, &links, |webhook| Line::new(&webhook, &*state.store));
    frame::page(&Webhooks { frame, filters, list })
}

#[derive(Template)]
#[template(path = "webhook.html")]
struct Shown {
    frame: Frame,
    line: Line,
    webhook: Arc<Webhook>,
    /// All fields as text, secrets masked.
    fields: Fields,
    recent: Vec<Row>,
    /// The request that an event would make now, or why none.
    preview: Option<Result<SentRequest, String>>,
    /// Its id; empty: there is none.
    event: String,
}

/// `GET …/{id}/`
pub async fn show(
    person: Person<Read>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
) -> Result<HttpResponse, Failure> {
    let webhook = api::find(&state, WebhookId(*id))?;
    let name = webhook.spec.name.clone();
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", name);
    let of_it = Filter { webhooks: vec![webhook.id], ..Filter::default() };
    let recent = state.store.deliveries(of_it, Page::first(SHOWN)).await?.rows;
    let mut query = Query::of(&req);
    let asked = query.take("event")?;
    let (event, preview) = match webhook_tools::preview_one(&state, &webhook, asked.as_deref()).await {
        Ok(Some((id, request))) => (Some(id.to_string()), Some(request)),
        Ok(None) => (None, None),
        // What was typed is no event, or none that is kept: said in the place of the request.
        Err(error) => (asked, Some(Err(error.text()))),
    };
    let page = Shown {
        line: Line::new(&webhook, &*state.store),
        fields: Fields::of(masked(&webhook.spec)),
        recent: rows(&state, recent, &frame).await,
        preview,
        event: event.unwrap_or_default(),
        webhook,
        frame,
    };
    frame::page(&page)
}

/// `POST …/{id}/enable/`: on or off, as the form says.
pub async fn enable(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let input = json!({ "enabled": form.get("enabled") == "true" });
    api::change_one(&state, &person.who.name, WebhookId(*id), &input).await?;
    let frame = Frame::new(&req, &state, None);
    Ok(frame::back(&form, &state, frame.hooks(&format!("/{id}/")), "changed"))
}

/// `POST …/{id}/test/`: sends a sample now and leads to its delivery.
pub async fn test(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    _form: Form,
) -> Result<HttpResponse, Failure> {
    let tested = webhook_tools::test_one(&state, &person.who.name, WebhookId(*id), Bytes::new()).await?;
    let frame = Frame::new(&req, &state, None);
    Ok(go(frame.at(&format!("/deliveries/{}/", tested.delivery_id))))
}

/// `POST …/{id}/delete/`
pub async fn delete(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let webhook = api::find(&state, WebhookId(*id))?;
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", "Delete this webhook?");
    if !form.has("sure") {
        let of_it = Filter { webhooks: vec![webhook.id], states: CANCELABLE.to_vec(), ..Filter::default() };
        let waiting = how_many(&state, of_it).await?;
        let ask = Confirm {
            text: vec![
                format!("Webhook \"{}\" is deleted. What waits is canceled: {waiting}.", webhook.spec.name),
                "What was delivered stays in the history.".to_owned(),
            ],
            warning: None,
            action: frame.hooks(&format!("/{id}/delete/")),
            fields: Vec::new(),
            option: None,
            button: "Delete the webhook",
            danger: true,
            back: frame.hooks(&format!("/{id}/")),
            frame,
        };
        return ask.page();
    }
    let canceled = api::delete_one(&state, &person.who.name, webhook.id).await?;
    Ok(go(with_notice(&frame.hooks("/"), &format!("deleted:{canceled}"))))
}

/// `GET …/add/`
pub async fn add(person: Person<Admin>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", "New webhook");
    webhook_form::page(frame, &state, Fields::blank(), None)
}

/// `POST …/add/`
pub async fn create(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", "New webhook");
    let fields = Fields::sent(&form);
    let made = match fields.input() {
        Ok(input) => api::create_one(&state, &person.who.name, &input).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(webhook) => Ok(go(with_notice(&frame.hooks(&format!("/{}/", webhook.id)), "created"))),
        Err(error) => webhook_form::again(frame, &state, fields, (None, error)),
    }
}

/// `GET …/{id}/edit/`
pub async fn edit(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
) -> Result<HttpResponse, Failure> {
    let webhook = api::find(&state, WebhookId(*id))?;
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", format!("Edit {}", webhook.spec.name));
    webhook_form::page(frame, &state, Fields::of(masked(&webhook.spec)), Some(webhook.id))
}

/// `POST …/{id}/edit/`
pub async fn change(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let webhook = api::find(&state, WebhookId(*id))?;
    let frame = Frame::new(&req, &state, Some(&person.who)).page("webhooks", format!("Edit {}", webhook.spec.name));
    let fields = Fields::sent(&form);
    let changed = match fields.input() {
        Ok(input) => api::change_one(&state, &person.who.name, webhook.id, &input).await,
        Err(error) => Err(error),
    };
    match changed {
        Ok(webhook) => Ok(go(with_notice(&frame.hooks(&format!("/{}/", webhook.id)), "changed"))),
        Err(error) => webhook_form::again(frame, &state, fields, (Some(webhook.id), error)),
    }
}
