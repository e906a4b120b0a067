//! `endpoints/`: the list, with the state of each.

use actix_web::{HttpRequest, HttpResponse};
use askama::Template;

use super::deliveries::without_notice;
use super::failure::Failure;
use super::filters::Filters;
use super::frame::{self, Frame};
use super::session::Person;
use super::show;
use crate::domain::change::EndpointActivity;
use crate::domain::ids::EndpointId;
use crate::store::archive::Listed;
use crate::web::State;
use crate::web::api::endpoints::{EndpointView, listed};
use crate::web::auth::Read;
use crate::web::history::Minute;
use crate::web::query::{Links, ListBody, Query};

/// How a list can be ordered: value and text.
const ORDERS: [(&str, &str); 5] =
    [("", "number"), ("oldest", "oldest first"), ("backlog", "backlog"), ("failed", "failed"), ("rate", "rate")];
/// Endpoints ordered by something else than their number are all looked at; so many at most.
const SORTED_MAX: usize = 1_000;
/// Minutes of the small line.
const SPARK_MINUTES: usize = 30;

#[derive(Template)]
#[template(path = "endpoints.html")]
struct Endpoints {
    frame: Frame,
    filters: Filters,
    list: ListBody<Line>,
    orders: [(&'static str, &'static str); 5],
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
        let state = activity(view.state);
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
            backlog,
            failed: view.failed,
            oldest: view.oldest_pending_at.map(|at| show::span(frame.now.since(at))),
            drain: drain(backlog, view.rate),
            latency: view.latency_ms.as_ref().map(|l| format!("{} / {}", show::millis(l.p50), show::millis(l.p95))),
            error: view.last_error.clone().filter(|_| view.consecutive_failures > 0),
            success: success(hour),
            spark: spark(hour),
        }
    }

    pub fn state_text(&self) -> String {
        show::words(self.state)
    }
}

fn success(hour: &[Minute]) -> Option<String> {
    let delivered: u64 = hour.iter().map(|m| m.delivered).sum();
    let ended = delivered + hour.iter().map(|m| m.failed).sum::<u64>();
    (ended > 0).then(|| format!("{:.0} %", (delivered * 100) as f64 / ended as f64))
}

fn spark(hour: &[Minute]) -> String {
    let last = &hour[hour.len().saturating_sub(SPARK_MINUTES)..];
    let highest = last.iter().map(|m| m.delivered).max().filter(|highest| *highest > 0);
    let Some(highest) = highest else { return String::new() };
    // The newest minute stands at the right edge.
    let first = SPARK_MINUTES - last.len();
    let point = |(place, minute): (usize, &Minute)| {
        let y = 19.0 - 18.0 * minute.delivered as f64 / highest as f64;
        format!("{},{y:.1}", 2 * (first + place + 1))
    };
    last.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

/// How long the backlog takes at the rate of the last minute.
fn drain(backlog: u64, rate: f64) -> String {
    match backlog {
        0 => "–".to_owned(),
        _ if rate <= 0.0 => "stands still".to_owned(),
        n => show::span(std::time::Duration::from_secs_f64((n as f64 / rate).clamp(1.0, 1e9))),
    }
}

/// The name of a state, as the API has it.
pub fn activity(state: EndpointActivity) -> &'static str {
    use EndpointActivity as A;
    match state {
        A::Quarantined => "quarantined",
        A::Paused => "paused",
        A::Open => "open",
        A::HalfOpen => "half_open",
        A::BackingOff => "backing_off",
        A::Throttled => "throttled",
        A::Sending => "sending",
        A::Waiting => "waiting",
        A::Idle => "idle",
    }
}

pub fn lines(state: &State, views: Vec<EndpointView>, frame: &Frame) -> Vec<Line> {
    views.iter().map(|view| Line::new(view, &state.history.of(view.id), frame)).collect()
}

/// `GET …/endpoints/`
pub async fn list(person: Person<Read>, state: State, req: HttpRequest) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("endpoints", "Endpoints");
    let (filters, _) = Filters::of(&req)?;
    let text = without_notice(&req);
    let mut query = Query::parse(&text);
    let order = query.take("order")?.unwrap_or_default();
    let found = match order.as_str() {
        "" => listed(&state, query).await?,
        order => {
            let all = Query::parse(&format!("limit={SORTED_MAX}&q={}", encoded(filters.value("q"))));
            ordered(listed(&state, all).await?, order)
        }
    };
    let Listed { rows, previous, next, count } = found;
    let links = Links::new(req.path().to_owned(), &text);
    let list = ListBody::new(Listed { rows: lines(&state, rows, &frame), previous, next, count }, &links, |line| line);
    frame::page(&Endpoints { frame, filters, list, orders: ORDERS })
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// By what matters most first, on one page.
fn ordered(mut listed: Listed<EndpointView>, order: &str) -> Listed<EndpointView> {
    let backlog = |e: &EndpointView| e.pending + e.in_flight + e.retrying;
    match order {
        "oldest" => listed.rows.sort_by_key(|e| (e.oldest_pending_at.is_none(), e.oldest_pending_at)),
        "backlog" => listed.rows.sort_by_key(|e| std::cmp::Reverse(backlog(e))),
        "failed" => listed.rows.sort_by_key(|e| std::cmp::Reverse(e.failed)),
        _ => listed.rows.sort_by(|a, b| b.rate.total_cmp(&a.rate)),
    }
    listed.rows.truncate(200);
    Listed { next: None, ..listed }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_line_ends_at_the_right_with_its_highest_minute_at_the_top() {
        let minute = |delivered, failed| Minute { until: crate::domain::time::Timestamp(0), delivered, failed };
        assert_eq!(spark(&[minute(0, 0), minute(5, 5), minute(10, 0)]), "56,19.0 58,10.0 60,1.0");
        assert_eq!((spark(&[]), spark(&[minute(0, 3)])), (String::new(), String::new()));
        assert_eq!(success(&[minute(3, 1)]).as_deref(), Some("75 %"));
        assert_eq!(success(&[]), None);
    }

    #[test]
    fn a_backlog_without_progress_stands_still() {
        assert_eq!([drain(0, 0.0), drain(10, 0.0), drain(10, 2.0)], ["–", "stands still", "5 s"]);
    }
}
