//! `events/`: what came in, which webhooks it matched, and why not the others; and a box to try one without sending.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use bytes::Bytes;
use serde_json::json;

use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::form::Form;
use super::frame::{self, Frame};
use super::rows::{Row, rows};
use super::session::Person;
use super::show;
use crate::clock;
use crate::domain::event::{Event, EventType};
use crate::domain::ids::PublicId;
use crate::store::archive::{EventRow, Listed, Page};
use crate::web::State;
use crate::web::api::events::event_seq;
use crate::web::api::webhook_tools::{MatchView, explain, explained};
use crate::web::auth::Read;
use crate::web::error::ApiError;
use crate::web::filter::{EVENT_FILTERS, parse};
use crate::web::query::{Links, ListBody};

/// Deliveries of an event that its page shows; the list has them all.
const DELIVERIES_SHOWN: usize = 50;
/// Webhooks it shows, those that matched first.
const WEBHOOKS_SHOWN: usize = 200;

/// What the box starts with.
const EXAMPLE: &str = r#"{
  "event": "updated",
  "model": "dcim.site",
  "data": {"id": 1, "name": "ams-1"}
}"#;

#[derive(Template)]
#[template(path = "events.html")]
struct Events {
    frame: Frame,
    filters: Filters,
    problem: Option<String>,
    list: ListBody<Line>,
    types: Vec<&'static str>,
}

/// An event as a row.
struct Line {
    id: PublicId,
    /// A `<time>` element.
    received: String,
    event: &'static str,
    model: String,
    object: Option<String>,
    netbox: Option<String>,
    request_id: Option<String>,
    deliveries: u64,
}

impl Line {
    fn new(row: EventRow, frame: &Frame) -> Self {
        Self {
            id: row.id,
            received: frame.when(&row.received_at),
            event: row.event_type.as_str(),
            netbox: row.object_id.as_deref().and_then(|id| frame.netbox(row.event_type, &row.model, id)),
            model: row.model,
            object: row.object_id,
            request_id: row.request_id,
            deliveries: row.deliveries.into(),
        }
    }
}

/// `GET …/events/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("events", "Events");
    let (filters, page) = Filters::of(&req)?;
    let (listed, problem) = match parse(filters.pairs.clone(), EVENT_FILTERS, &state.models()) {
        Ok(filter) => (state.store.events(filter, page).await?, None),
        Err(error) => (Listed::new(Vec::new(), Page::first(page.limit), None, |_| 0), Some(error.text())),
    };
    let links = Links::new(req.path().to_owned(), &without_notice(&req));
    let list = ListBody::new(listed, &links, |row| Line::new(row, &frame));
    frame::page(&Events { frame, filters, problem, list, types: EventType::ALL.map(EventType::as_str).to_vec() })
}

#[derive(Template)]
#[template(path = "event.html")]
struct Shown {
    frame: Frame,
    line: Line,
    username: Option<String>,
    data: Option<String>,
    snapshots: Option<String>,
    deliveries: Vec<Row>,
    matches: Vec<MatchView>,
    /// The event's own text is kept, so that conditions could be looked at.
    kept: bool,
}

/// `GET …/events/{id}/`
pub async fn show(
    person: Person<Read>,
    state: State,
    req: HttpRequest,
    id: web::Path<PublicId>,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("events", "Event");
    let Some((row, event)) = state.store.event(event_seq(*id)?).await? else {
        return Err(ApiError::not_found(format!("event {id} does not exist")).into());
    };
    let mut deliveries = state.store.siblings(row.seq).await?;
    deliveries.truncate(DELIVERIES_SHOWN);
    let deliveries = rows(&state, deliveries, &frame).await;
    let matches = match &event {
        Some(event) => explain(&state, event),
        None => bare(&state, &row).map(|event| explain(&state, &event)).unwrap_or_default(),
    };
    let mut matches = matches;
    matches.sort_by_key(|m| !m.matched);
    matches.truncate(WEBHOOKS_SHOWN);
    let page = Shown {
        username: event.as_ref().and_then(|e| e.username().map(std::borrow::Cow::into_owned)),
        data: event.as_ref().map(|e| show::pretty(e.data())),
        snapshots: event.as_ref().and_then(|e| e.member("snapshots")).map(show::pretty),
        kept: event.is_some(),
        line: Line::new(row, &frame),
        deliveries,
        matches,
        frame,
    };
    frame::page(&page)
}

/// What is left of an event whose text is not kept: enough to compare models and types.
fn bare(state: &State, row: &EventRow) -> Option<Event> {
    let text = json!({ "event": row.event_type, "model": row.model, "data": { "id": row.object_id } }).to_string();
    Event::parse(Bytes::from(text), &state.models(), clock::now()).ok()
}

#[derive(Template)]
#[template(path = "event_try.html")]
struct Try {
    frame: Frame,
    text: String,
    problem: Option<String>,
    result: Option<Vec<MatchView>>,
}

/// `GET …/events/try/`
pub async fn ask(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("events", "Try an event");
    frame::page(&Try { frame, text: EXAMPLE.to_owned(), problem: None, result: None })
}

/// `POST …/events/try/`: which webhooks it would reach; nothing is sent or kept.
pub async fn answer(person: Person<Read>, state: State, req: HttpRequest, form: Form) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("events", "Try an event");
    let text = form.get("event").to_owned();
    let (problem, result) = match explained(&state, Bytes::from(text.clone())) {
        Ok((_, matches)) => (None, Some(matches)),
        Err(error) => (Some(error.text()), None),
    };
    frame::page(&Try { frame, text, problem, result })
}
