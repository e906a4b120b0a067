//! The first page: how it goes, and what needs somebody.

use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use futures_util::future::join_all;

use super::charts;
use super::endpoints::{Line, lines, success};
use super::failure::Failure;
use super::frame::{self, Frame};
use super::session::Person;
use super::show;
use crate::clock;
use crate::domain::breaker::Breaker;
use crate::domain::endpoint::Control;
use crate::domain::ids::EndpointId;
use crate::intake::board::SourceStatus;
use crate::web::State;
use crate::web::api::endpoints::LastHour;
use crate::web::api::{endpoints, status};
use crate::web::auth::Read;
use crate::web::external::api_origin;

/// Endpoints in trouble that are shown.
const SHOWN: usize = 20;

/// Who has waited longer needs somebody, even if only a limit holds it.
const LATE: Duration = Duration::from_secs(900);

#[derive(Template)]
#[template(path = "overview.html")]
struct Overview {
    frame: Frame,
    status: status::Status,
    sources: Vec<(&'static str, SourceStatus)>,
    stats: Vec<Stat>,
    troubled: Vec<Line>,
    /// More are in trouble than are shown.
    more: usize,
    chart: charts::Service,
    /// Where events are sent to, while there are none.
    intake: String,
}

/// A number with its name, and where its details are.
struct Stat {
    name: &'static str,
    value: String,
    note: String,
    link: Option<String>,
}

/// `GET …/`
pub async fn show(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("overview", "Overview");
    let status = status::now(&state);
    let troubled = troubled(&state);
    let more = troubled.len().saturating_sub(SHOWN);
    let shown = join_all(troubled.into_iter().take(SHOWN).map(|id| endpoints::one(&state, id))).await;
    // One that was deleted this moment needs nobody.
    let troubled: Vec<_> = shown.into_iter().filter_map(Result::ok).collect();
    let hour = state.rates.hour();
    let paused =
        state.store.definitions().endpoints.iter().filter(|e| matches!(e.control, Control::Paused { .. })).count();
    let page = Overview {
        stats: stats(&status, paused, &frame),
        sources: status.intake.clone().into_iter().collect(),
        troubled: lines(&state, troubled, &frame),
        more,
        chart: charts::Service::new(&hour),
        intake: format!("{}{}", api_origin(&req, &state.config()), frame.api("/api/events/")),
        status,
        frame,
    };
    frame::page(&page)
}

/// Endpoints that hold deliveries back for another reason than a limit, have failed ones, or let some wait long; who waits
/// longest first.
///
/// From what is kept in memory: only those that are shown are asked how they are.
fn troubled(state: &State) -> Vec<EndpointId> {
    let (set, now) = (state.store.definitions(), clock::now());
    let mut found: Vec<_> = set
        .endpoints
        .iter()
        .filter_map(|stored| {
            let counts = state.store.endpoint_counts(stored.endpoint.id);
            let stopped = stored.control != Control::Active || stored.live.breaker != Breaker::default();
            let troubled = stopped || counts.failed > 0 || counts.retrying > 0 || stored.live.consecutive_failures > 0;
            let oldest = counts.oldest_pending_at;
            let troubled = troubled || oldest.is_some_and(|at| now.since(at) > LATE);
            troubled.then_some(((oldest.is_none(), oldest, std::cmp::Reverse(counts.failed)), stored.endpoint.id))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

fn stats(status: &status::Status, paused: usize, frame: &Frame) -> Vec<Stat> {
    let count = |state: &str| status.deliveries.get(state).copied().unwrap_or(0);
    let list = |state: &str| Some(frame.at(&format!("/deliveries/?status={state}")));
    let stat = |name, value: String, note: &str, link| Stat { name, value, note: note.to_owned(), link };
    let hour = status.last_hour;
    let ended = LastHour { delivered: hour.delivered, failed: hour.failed };
    let (lag, worst) = match &status.lag_seconds {
        Some(lag) => (seconds(lag.p50), format!("p50; p95 {}, longest {}", seconds(lag.p95), seconds(lag.max))),
        None => ("–".to_owned(), "from acceptance to delivery".to_owned()),
    };
    let age = match status.oldest_pending_at {
        Some(at) => show::span(frame.now.since(at)),
        None => "–".to_owned(),
    };
    let in_hour = format!("{} in the last hour", show::number(hour.accepted));
    let out_hour = format!("{} in the last hour", show::number(hour.delivered));
    let waiting = count("pending") + count("in_flight");
    vec![
        stat("Events in", show::rate(status.intake_rate), &in_hour, Some(frame.at("/events/"))),
        stat("Deliveries out", show::rate(status.delivery_rate), &out_hour, list("delivered")),
        stat("Success, 1 h", success(ended).unwrap_or_else(|| "–".to_owned()), "of those that ended", None),
        stat("Lag, 1 h", lag, &worst, None),
        stat(
            "Waiting",
            show::number(waiting),
            "pending and in flight",
            Some(frame.at("/deliveries/?status=pending&status=in_flight")),
        ),
        stat("Retrying", show::number(count("retrying")), "between attempts", list("retrying")),
        stat("Failed", show::number(count("failed")), "wait for somebody", Some(frame.at("/failed/"))),
        stat("Oldest", age, "undelivered, since accepted", Some(frame.at("/endpoints/?ordering=oldest_pending_at"))),
        stat("Paused", show::number(paused as u64), "endpoints", Some(frame.at("/endpoints/?state=paused"))),
    ]
}

fn seconds(s: f64) -> String {
    show::millis(s * 1_000.0)
}
