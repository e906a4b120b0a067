//! `endpoints/`: the list, with the state of each.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::charts;
use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::frame::{self, Frame};
use super::session::Person;
use super::show;
use crate::dispatch::Minute;
use crate::domain::change::EndpointActivity;
use crate::domain::ids::EndpointId;
use crate::web::State;
use crate::web::api::endpoint_list::listed;
use crate::web::api::endpoints::{EndpointView, LastHour};
use crate::web::auth::Read;
use crate::web::query::{Links, ListBody, Query};

/// How a list can be ordered: value and text.
const ORDERS: [(&str, &str); 5] = [
    ("", "number"),
    ("oldest_pending_at", "oldest first"),
    ("-backlog", "backlog"),
    ("-failed", "failed"),
    ("-rate", "rate"),
];
/// Minutes of the small line.
const SPARK_MINUTES: usize = 30;

/// What can be changed in the list, and what it may be.
const LIMITS: [(&str, &str); 3] = [
    ("rate_limit", "10/s, 600/m; empty is unlimited"),
    ("burst", "at once after a rest"),
    ("concurrency", "requests at once"),
];

#[derive(Template)]
#[template(path = "endpoints.html")]
struct Endpoints {
    frame: Frame,
    filters: Filters,
    list: ListBody<Line>,
    orders: [(&'static str, &'static str); 5],
    states: Vec<(&'static str, String)>,
}

/// An endpoint as a row.
pub struct Line {
    pub id: EndpointId,
    pub url: String,
    /// Of a template: which of its origins.
    pub origin: Option<String>,
    pub state: &'static str,
    pub colour: &'static str,
    pub reason: Option<String>,
    /// A `<time>` element.
    pub until: Option<String>,
    pub paused: bool,
    pub stopped: bool,
    pub in_flight: String,
    pub rate: String,
    /// What can be changed in the list: name, value, what it may be.
    pub limits: Vec<(&'static str, String, &'static str)>,
    pub backlog: u64,
    pub failed: u64,
    pub oldest: Option<String>,
    pub drain: String,
    pub latency: Option<String>,
    pub error: Option<String>,
    /// Delivered of those that ended in the last hour; `None`: nothing ended.
    pub success: Option<String>,
    /// Points of a small line of the last 30 minutes, in a field of 60 by 20; empty: nothing ended.
    pub spark: String,
}

impl Line {
    pub fn new(view: &EndpointView, hour: &[Minute], frame: &Frame) -> Self {
        let state = view.state.as_str();
        let text = |key: &str| view.policy.get(key).map(|v| v.as_str().map_or_else(|| v.to_string(), str::to_owned));
        let limit = text("rate_limit").filter(|limit| !limit.is_empty());
        let backlog = view.pending + view.in_flight + view.retrying;
        let reason = match (&view.paused_by, view.waiting_for.as_ref()) {
            (Some(by), _) => Some(format!("paused by {by}")),
            (None, Some(waiting)) => Some(format!("waits {}", show::waiting(waiting.reason))),
            (None, None) => None,
        };
        let since = view.paused_since.map(|at| frame.when(&at));
        let until = view.waiting_for.as_ref().and_then(|w| w.until).map(|at| frame.when(&at));
        Self {
            id: view.id,
            url: view.url.to_string(),
            origin: crate::domain::payload_url::is_template(&view.url).then(|| view.origin.to_string()),
            state,
            colour: show::colour(state),
            reason,
            until: since.or(until),
            paused: view.paused_since.is_some(),
            stopped: matches!(view.state, EndpointActivity::Open | EndpointActivity::HalfOpen),
            in_flight: format!("{}/{}", view.in_flight, text("concurrency").unwrap_or_default()),
            rate: match limit {
                Some(limit) => format!("{} of {limit}", show::rate(view.rate)),
                None => show::rate(view.rate),
            },
            limits: LIMITS.map(|(key, help)| (key, text(key).unwrap_or_default(), help)).to_vec(),
            backlog,
            failed: view.failed,
            oldest: view.oldest_pending_at.map(|at| show::span(frame.now.since(at))),
            drain: drain(backlog, view.rate, view.state),
            latency: view.latency_ms.as_ref().map(|l| format!("{} / {}", show::millis(l.p50), show::millis(l.p95))),
            error: view.last_error.clone().filter(|_| view.consecutive_failures > 0),
            success: success(view.last_hour),
            spark: charts::spark(hour, SPARK_MINUTES),
        }
    }

    pub fn state_text(&self) -> String {
        show::words(self.state)
    }
}

/// Rounded down, so that only all is 100 %.
pub fn success(hour: LastHour) -> Option<String> {
    let ended = hour.delivered + hour.failed;
    let tenths = (hour.delivered * 1_000).checked_div(ended)?;
    Some(if tenths % 10 == 0 { format!("{} %", tenths / 10) } else { format!("{}.{} %", tenths / 10, tenths % 10) })
}

/// How long the backlog takes at the rate of the last minute; what sends nothing now has no rate.
fn drain(backlog: u64, rate: f64, state: EndpointActivity) -> String {
    use EndpointActivity as A;
    let stands = matches!(state, A::Quarantined | A::Paused | A::Open | A::HalfOpen | A::BackingOff);
    match backlog {
        0 => "–".to_owned(),
        _ if rate <= 0.0 || stands => "stands still".to_owned(),
        n => format!("{} to drain", show::span(std::time::Duration::from_secs_f64((n as f64 / rate).clamp(1.0, 1e9)))),
    }
}

pub fn lines(state: &State, views: Vec<EndpointView>, frame: &Frame) -> Vec<Line> {
    views.iter().map(|view| Line::new(view, &state.dispatcher.hour_of(view.id), frame)).collect()
}

/// `GET …/endpoints/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("endpoints", "Endpoints");
    let (filters, _) = Filters::of(&req)?;
    let text = without_notice(&req);
    let found = listed(&state, Query::parse(&text)).await?;
    let links = Links::new(req.path().to_owned(), &text);
    let list = ListBody::new(found.map(|rows| lines(&state, rows, &frame)), &links, |line| line);
    let states = EndpointActivity::ALL.map(|state| (state.as_str(), show::words(state.as_str()))).to_vec();
    frame::page(&Endpoints { frame, filters, list, orders: ORDERS, states })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn success_is_of_what_ended() {
        assert_eq!(success(LastHour { delivered: 3, failed: 1 }).as_deref(), Some("75 %"));
        assert_eq!(success(LastHour { delivered: 9_999, failed: 1 }).as_deref(), Some("99.9 %"), "not all");
        assert_eq!(
            (success(LastHour::default()), success(LastHour { delivered: 1, failed: 0 })),
            (None, Some("100 %".to_owned()))
        );
    }

    #[test]
    fn a_backlog_without_progress_stands_still() {
        let at = |backlog, rate| drain(backlog, rate, EndpointActivity::Sending);
        assert_eq!([at(0, 0.0), at(10, 0.0), at(10, 2.0)], ["–", "stands still", "5 s to drain"]);
        assert_eq!(drain(10, 2.0, EndpointActivity::Paused), "stands still");
    }
}
