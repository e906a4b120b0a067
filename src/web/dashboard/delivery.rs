//! `deliveries/{id}/`: everything about one delivery.

use actix_web::{HttpRequest, HttpResponse, web};
use askama::Template;

use super::diff::{self, Change};
use super::failure::Failure;
use super::frame::{self, Frame};
use super::rows::{Names, Row, rows};
use super::session::Person;
use super::show;
use crate::domain::delivery::DeliveryState;
use crate::domain::event::Event;
use crate::domain::ids::PublicId;
use crate::store::archive::DeliveryRow;
use crate::web::State;
use crate::web::api::deliveries::find;
use crate::web::api::delivery_view::{AttemptView, Surroundings};
use crate::web::api::sent_request::{SentRequest, history};
use crate::web::auth::Read;

/// Siblings shown; the event's page has the rest.
const SIBLINGS_SHOWN: usize = 50;

#[derive(Template)]
#[template(path = "delivery.html")]
struct Delivery {
    frame: Frame,
    row: Row,
    steps: Vec<Step>,
    request: Option<Request>,
    attempts: Vec<Attempted>,
    siblings: Vec<Row>,
    changes: Vec<Change>,
    event: Facts,
    retryable: bool,
    cancelable: bool,
    resendable: bool,
    superseded_by: Option<PublicId>,
    resend_of: Option<PublicId>,
}

/// One moment of its life.
struct Step {
    colour: &'static str,
    text: String,
    /// A `<time>` element, if the moment is known.
    at: Option<String>,
    detail: Option<String>,
}

/// What the event says of itself.
struct Facts {
    id: PublicId,
    username: Option<String>,
    request_id: Option<String>,
    /// `None`: it is no longer kept.
    data: Option<String>,
}

/// The request, in the forms people want it.
struct Request {
    sent: SentRequest,
    /// The body with line breaks and indents, where that is another text and not too much.
    pretty: Option<String>,
    curl: String,
    /// The command reads the body from a file.
    from_file: bool,
}

/// An attempt with its times in words.
struct Attempted {
    view: AttemptView,
    at: String,
    result: String,
    good: bool,
    timings: Vec<(&'static str, String)>,
}

/// `GET …/deliveries/{id}/`
pub async fn show(
    person: Person<Read>,
    state: State,
    req: HttpRequest,
    id: web::Path<PublicId>,
) -> Result<HttpResponse, Failure> {
    let frame = Frame::new(&req, &state, Some(&person.who)).page("deliveries", "Delivery");
    let found = find(&state, *id).await?;
    let event = state.store.event(found.id.event()).await?.and_then(|(_, event)| event);
    let (attempts, request) = history(&state, &found, event.as_deref()).await?;
    let siblings = siblings(&state, &found, &frame).await?;
    let names = Names::of(&state);
    let attempts: Vec<_> = attempts.into_iter().map(|row| Attempted::new(row.into(), &frame)).collect();
    let around = Surroundings::of(&state, std::slice::from_ref(&found)).await;
    let row = Row::new(around.view(found.clone()), &names, &frame);
    let steps = steps(&found, &row, &attempts, &frame);
    frame::page(&Delivery {
        steps,
        request: request.map(Request::new),
        attempts,
        siblings,
        changes: event.as_ref().and_then(|e| e.member("snapshots")).map(diff::changes).unwrap_or_default(),
        event: Facts::new(&found, event.as_deref()),
        retryable: !found.test && may_retry(found.state),
        cancelable: found.state.unfinished(),
        resendable: !found.test && found.state == DeliveryState::Delivered,
        superseded_by: found.superseded_by,
        resend_of: found.resend_of,
        row,
        frame,
    })
}

fn may_retry(state: DeliveryState) -> bool {
    matches!(state, DeliveryState::Failed | DeliveryState::Canceled | DeliveryState::Retrying)
}

/// The other deliveries of its event.
async fn siblings(state: &State, found: &DeliveryRow, frame: &Frame) -> Result<Vec<Row>, Failure> {
    let all = state.store.siblings(found.id.event()).await?;
    let others = all.into_iter().filter(|row| row.id != found.id).take(SIBLINGS_SHOWN).collect();
    Ok(rows(state, others, frame).await)
}

impl Facts {
    fn new(row: &DeliveryRow, event: Option<&Event>) -> Self {
        Self {
            id: row.event.id,
            username: event.and_then(Event::username).map(std::borrow::Cow::into_owned),
            request_id: row.event.request_id.clone(),
            data: event.map(|event| show::pretty(event.data())),
        }
    }
}

impl Request {
    fn new(sent: SentRequest) -> Self {
        let huge = sent.body.len() > show::TEXT_MAX;
        let pretty = (!huge).then(|| show::pretty(&sent.body)).filter(|pretty| *pretty != sent.body);
        Self { pretty, curl: curl(&sent, huge), from_file: huge, sent }
    }
}

/// A command that sends the same. What is masked stays so, and has to be filled in. `huge`: the body is in a file.
fn curl(sent: &SentRequest, huge: bool) -> String {
    // Brackets and braces of the URL are meant as they are, and a body that begins with "@" is no name of a file.
    let mut command = format!("curl --globoff -X {} {}", sent.method, quoted(&sent.url));
    for (name, value) in sent.headers.pairs() {
        command.push_str(&format!(" \\\n  -H {}", quoted(&format!("{name}: {value}"))));
    }
    if huge {
        command.push_str(" \\\n  --data-binary @body");
    } else if !sent.body.is_empty() {
        command.push_str(&format!(" \\\n  --data-raw {}", quoted(&sent.body)));
    }
    command
}

/// As one word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

impl Attempted {
    fn new(view: AttemptView, frame: &Frame) -> Self {
        let result = match (view.status_code, view.error) {
            (Some(code), _) => format!("answered {code}"),
            (None, Some(error)) => format!("failed: {}", show::words(error.as_str())),
            (None, None) => "ended".to_owned(),
        };
        let t = &view.timings_ms;
        let steps = [("DNS", t.dns), ("connect", t.connect), ("TLS", t.tls), ("first byte", t.first_byte)];
        let mut timings: Vec<_> = steps.into_iter().filter_map(|(n, ms)| Some((n, show::millis(ms?)))).collect();
        timings.push(("total", show::millis(t.total)));
        Self { at: frame.when(&view.started_at), result, good: view.error.is_none(), timings, view }
    }
}

fn steps(row: &DeliveryRow, shown: &Row, attempts: &[Attempted], frame: &Frame) -> Vec<Step> {
    let step = |colour, text: String, at: Option<String>, detail| Step { colour, text, at, detail };
    let received = Some(frame.when(&row.event.received_at));
    let mut steps = vec![step("blue", format!("Event {} received", shown.event), received, None)];
    if row.resend_of.is_some() {
        steps.push(step("blue", "Ordered to be sent again".to_owned(), Some(frame.when(&row.created_at)), None));
    } else {
        let matched = format!("Matched webhook {}, queued for {}", shown.webhook, shown.endpoint);
        steps.push(step("blue", matched, None, None));
    }
    for attempt in attempts {
        let colour = if attempt.good { "green" } else { "orange" };
        let text = format!("Attempt {} {}", attempt.view.number, attempt.result);
        steps.push(step(colour, text, Some(attempt.at.clone()), attempt.view.detail.clone()));
    }
    steps.push(last_step(row, shown, frame));
    steps
}

fn last_step(row: &DeliveryRow, shown: &Row, frame: &Frame) -> Step {
    let at = row.finished_at.map(|at| frame.when(&at));
    let step = |colour, text: &str, at| Step { colour, text: text.to_owned(), at, detail: None };
    match row.state {
        DeliveryState::Pending | DeliveryState::Retrying => {
            let next = row.next_attempt_at.map(|at| frame.when(&at));
            let text = shown.waits.as_ref().map_or("Goes next".to_owned(), |waits| format!("Waits {}", waits.text));
            step("grey", &text, shown.waits.as_ref().and_then(|waits| waits.until.clone()).or(next))
        }
        DeliveryState::InFlight => step("blue", "In flight", None),
        DeliveryState::Delivered => step("green", "Delivered", at),
        DeliveryState::Failed => step("red", "Failed: it is not tried again by itself", at),
        DeliveryState::Superseded => step("grey", "Folded into a newer event of the same object", at),
        DeliveryState::Canceled => step("grey", "Canceled", at),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quoted_word_is_one_word_whatever_is_in_it() {
        assert_eq!(quoted("a 'b' $(c) `d`\n"), "'a '\\''b'\\'' $(c) `d`\n'");
    }

    fn request(body: &str) -> Request {
        let (url, headers) = ("http://h/".to_owned(), Default::default());
        Request::new(SentRequest { method: "POST", url, headers, body: body.to_owned() })
    }

    #[test]
    fn a_body_is_shown_twice_only_where_that_helps_and_is_not_too_much() {
        assert_eq!(request("{\"a\":1}").pretty.as_deref(), Some("{\n  \"a\": 1\n}"));
        assert_eq!(request("a=1&b=2").pretty, None);
        let huge = request(&format!("{{\"a\":\"{}\"}}", "x".repeat(show::TEXT_MAX)));
        assert!(huge.pretty.is_none() && huge.curl.ends_with("--data-binary @body"), "{}", huge.curl);
        assert!(request("").curl.ends_with("'http://h/'"));
    }
}
