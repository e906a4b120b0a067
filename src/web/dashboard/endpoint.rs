//! `endpoints/{id}/`: one endpoint, what blocks it, its policy, and the orders it takes.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;
use serde_json::{Map, Value};

use super::charts;
use super::endpoints::Line;
use super::failure::Failure;
use super::form::Form;
use super::frame::{self, Frame, back};
use super::rows::{Names, Row, rows};
use super::session::Person;
use super::show;
use crate::dispatch::RecentAttempt;
use crate::domain::delivery::DeliveryState;
use crate::domain::ids::{EndpointId, WebhookId};
use crate::store::Filter;
use crate::store::archive::{Edge, Page};
use crate::web::State;
use crate::web::api::endpoints::{self as api, EndpointView};
use crate::web::auth::{Admin, Operate, Read};

/// Deliveries shown of each sort.
const SHOWN: usize = 10;

#[derive(Template)]
#[template(path = "endpoint.html")]
struct Endpoint {
    frame: Frame,
    line: Line,
    view: EndpointView,
    facts: Vec<(&'static str, String)>,
    /// A `<time>` element each.
    last_success: Option<String>,
    next_attempt: Option<String>,
    webhooks: Vec<(WebhookId, String)>,
    /// What an attempt holds up: the delivery, and how many wait behind it.
    blocked: Vec<(Row, u64)>,
    /// One delivery holds up all of them.
    one_line: bool,
    attempts: Vec<Tried>,
    /// The oldest that wait.
    waiting: Vec<Row>,
    recent: Vec<Row>,
    policy: Vec<Setting>,
    charts: charts::Endpoint,
}

/// One of the latest attempts.
struct Tried {
    delivery: String,
    number: u32,
    /// A `<time>` element.
    at: String,
    result: String,
    good: bool,
    took: String,
}

impl Tried {
    fn new(attempt: &RecentAttempt, frame: &Frame) -> Self {
        let error = || attempt.error.map_or("–", |error| error.as_str());
        Self {
            delivery: attempt.delivery_id.to_string(),
            number: attempt.number,
            at: frame.when(&attempt.started_at),
            result: attempt.status_code.map_or_else(|| show::words(error()), |status| status.to_string()),
            good: attempt.error.is_none(),
            took: show::millis(attempt.duration_ms),
        }
    }
}

/// A value of the policy.
struct Setting {
    name: String,
    value: String,
    origin: String,
    /// What a number or rate may be, for the form; empty: it is not changed here.
    help: &'static str,
}

/// `GET …/endpoints/{id}/`
pub async fn show(
    person: Person<Read>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("endpoints", "Endpoint");
    let view = api::one(&state, EndpointId(*id)).await?;
    let here = |states: Vec<DeliveryState>| Filter { states, endpoints: vec![view.id], ..Filter::default() };
    let recent = state.store.deliveries(here(Vec::new()), Page::first(SHOWN)).await?.rows;
    // The end of the list that is newest first.
    let oldest = Page { edge: Edge::Before(i64::MIN), limit: SHOWN };
    let open = vec![DeliveryState::Pending, DeliveryState::InFlight, DeliveryState::Retrying];
    let mut waiting = state.store.deliveries(here(open), oldest).await?.rows;
    waiting.reverse();
    let names = Names::of(&state);
    let webhooks = view.webhook_ids.iter().map(|id| (*id, names.webhook(*id))).collect();
    let hour = state.dispatcher.hour_of(view.id);
    let blocked = state.store.blocked(view.id, SHOWN).await?;
    let (heads, behind): (Vec<_>, Vec<_>) = blocked.into_iter().map(|key| (key.head, key.behind)).unzip();
    let page = Endpoint {
        charts: charts::Endpoint::new(&hour),
        blocked: rows(&state, heads, &frame).await.into_iter().zip(behind).collect(),
        line: Line::new(&view, &hour, &frame),
        facts: facts(&view),
        last_success: view.last_success_at.map(|at| frame.when(&at)),
        next_attempt: view.next_attempt_at.map(|at| frame.when(&at)),
        webhooks,
        attempts: state.dispatcher.recent_attempts(view.id).iter().map(|a| Tried::new(a, &frame)).collect(),
        one_line: view.policy.get("ordering").is_some_and(|ordering| ordering == "endpoint"),
        waiting: rows(&state, waiting, &frame).await,
        recent: rows(&state, recent, &frame).await,
        policy: settings(&view),
        view,
        frame,
    };
    frame::page(&page)
}

fn facts(view: &EndpointView) -> Vec<(&'static str, String)> {
    let latency = view.latency_ms.as_ref();
    let latency = latency.map(|l| [l.p50, l.p95, l.p99].map(show::millis).join(" / "));
    let mut facts = vec![
        ("Rate, last minute", show::rate(view.rate)),
        ("Latency p50 / p95 / p99", latency.unwrap_or_else(|| "–".to_owned())),
        ("Delivered in all", show::number(view.delivered)),
        ("Failures in a row", view.consecutive_failures.to_string()),
        ("Origin", view.origin.to_string()),
    ];
    if let Some(error) = &view.last_error {
        facts.push(("Last error", error.clone()));
    }
    facts
}

fn settings(view: &EndpointView) -> Vec<Setting> {
    let setting = |(name, value): (&String, &Value)| Setting {
        value: value.as_str().map_or_else(|| value.to_string(), str::to_owned),
        origin: view.policy_origin.get(name.as_str()).cloned().unwrap_or_default(),
        help: match name.as_str() {
            "rate_limit" => "10/s, 600/m; empty is unlimited",
            "concurrency" => "requests at once",
            "burst" => "requests at once after a rest",
            "timeout" => "30s",
            "max_attempts" => "attempts until it is failed",
            _ => "",
        },
        name: name.clone(),
    };
    view.policy.iter().map(setting).collect()
}

/// `POST …/endpoints/{id}/pause/`
pub async fn pause(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    api::pause_one(&state, &person.who.name, EndpointId(*id)).await?;
    let frame = Frame::new(&req, &state, None);
    Ok(back(&form, &state, frame.at(&format!("/endpoints/{id}/")), "paused"))
}

/// `POST …/endpoints/{id}/resume/`
pub async fn resume(
    person: Person<Operate>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    api::resume_one(&state, &person.who.name, EndpointId(*id)).await?;
    let frame = Frame::new(&req, &state, None);
    Ok(back(&form, &state, frame.at(&format!("/endpoints/{id}/")), "resumed"))
}

/// `POST …/endpoints/{id}/policy/`: the values that differ from those in force; `reset` takes one back.
pub async fn change(
    person: Person<Admin>,
    state: State,
    req: HttpRequest,
    id: web::Path<u32>,
    form: Form,
) -> Result<HttpResponse, Failure> {
    let view = api::one(&state, EndpointId(*id)).await?;
    let mut patch = Map::new();
    if form.has("reset") {
        patch.insert(form.get("reset").to_owned(), Value::Null);
    } else {
        for (name, old) in view.policy.iter().filter(|(name, _)| form.has(name)) {
            let given = form.get(name).trim();
            let value = match old {
                // A number that is none is refused by name.
                Value::Number(_) => given.parse::<u64>().map_or_else(|_| given.into(), Value::from),
                _ => given.into(),
            };
            if value != *old {
                patch.insert(name.clone(), value);
            }
        }
    }
    if !patch.is_empty() {
        api::change_one(&state, &person.who.name, EndpointId(*id), patch).await?;
    }
    let frame = Frame::new(&req, &state, None);
    Ok(back(&form, &state, frame.at(&format!("/endpoints/{id}/")), "changed"))
}
