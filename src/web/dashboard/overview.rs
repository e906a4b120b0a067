//! The first page: how it goes, and what needs somebody.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;
use futures_util::future::join_all;

use super::endpoints::{Line, lines};
use super::failure::Failure;
use super::frame::{self, Frame};
use super::session::Person;
use super::show;
use crate::domain::breaker::Breaker;
use crate::domain::endpoint::Control;
use crate::domain::ids::EndpointId;
use crate::intake::board::SourceStatus;
use crate::web::State;
use crate::web::api::{endpoints, status};
use crate::web::auth::Read;
use crate::web::external::own_origin;
use crate::web::rates::{Point, STEP, Sample};

/// Endpoints in trouble that are shown.
const SHOWN: usize = 20;

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
    chart: Chart,
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

/// The last hour.
pub struct Chart {
    /// For the script: `[[seconds], [in], [delivered], [failed]]`.
    pub json: String,
    /// The same as a table, in fewer rows.
    pub rows: Vec<(String, u64, u64, u64)>,
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
    let page = Overview {
        stats: stats(&status, state.rates.in_hour(Sample::now()), &frame),
        sources: status.intake.clone().into_iter().collect(),
        troubled: lines(&state, troubled, &frame),
        more,
        chart: Chart::new(&hour),
        intake: format!("{}{}", own_origin(&req, &state.config()), frame.api("/api/events/")),
        status,
        frame,
    };
    frame::page(&page)
}

/// Endpoints that hold deliveries back for another reason than a limit, or have failed ones; who waits longest first.
///
/// From what is kept in memory: only those that are shown are asked how they are.
fn troubled(state: &State) -> Vec<EndpointId> {
    let set = state.store.definitions();
    let mut found: Vec<_> = set
        .endpoints
        .iter()
        .filter_map(|stored| {
            let counts = state.store.endpoint_counts(stored.endpoint.id);
            let stopped = stored.control != Control::Active || stored.live.breaker != Breaker::default();
            let troubled = stopped || counts.failed > 0 || counts.retrying > 0 || stored.live.consecutive_failures > 0;
            let oldest = counts.oldest_pending_at;
            troubled.then_some(((oldest.is_none(), oldest, std::cmp::Reverse(counts.failed)), stored.endpoint.id))
        })
        .collect();
    found.sort_unstable();
    found.into_iter().map(|(_, id)| id).collect()
}

fn stats(status: &status::Status, hour: Sample, frame: &Frame) -> Vec<Stat> {
    let count = |state: &str| status.deliveries.get(state).copied().unwrap_or(0);
    let list = |state: &str| Some(frame.at(&format!("/deliveries/?status={state}")));
    let stat = |name, value: String, note: &str, link| Stat { name, value, note: note.to_owned(), link };
    let ended = hour.delivered + hour.failed;
    let rate =
        if ended == 0 { "–".to_owned() } else { format!("{:.1} %", hour.delivered as f64 * 100.0 / ended as f64) };
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
        stat("Delivered, 1 h", rate, "of those that ended", None),
        stat("Waiting", show::number(waiting), "pending and in flight", list("pending")),
        stat("Retrying", show::number(count("retrying")), "between attempts", list("retrying")),
        stat("Failed", show::number(count("failed")), "wait for somebody", Some(frame.at("/failed/"))),
        stat("Oldest undelivered", age, "since it was accepted", None),
        stat("Delivered", show::number(count("delivered")), "kept in the history", list("delivered")),
    ]
}

impl Chart {
    fn new(hour: &[Point]) -> Self {
        let column = |of: fn(&Point) -> u64| hour.iter().map(of).collect::<Vec<_>>();
        let seconds: Vec<i64> = hour.iter().map(|p| p.until.as_secs()).collect();
        let columns = (seconds, column(|p| p.happened.accepted), column(|p| p.happened.delivered));
        let json = serde_json::to_string(&(columns.0, columns.1, columns.2, column(|p| p.happened.failed)));
        // Five minutes a row.
        let per_row = (300 / STEP.as_secs()) as usize;
        let row = |points: &[Point]| {
            let sum = |of: fn(&Point) -> u64| points.iter().map(of).sum::<u64>();
            let until = points.last().map_or_else(String::new, |p| show::exact(p.until));
            (until, sum(|p| p.happened.accepted), sum(|p| p.happened.delivered), sum(|p| p.happened.failed))
        };
        Self { json: json.unwrap_or_default(), rows: hour.rchunks(per_row).map(row).collect() }
    }
}
