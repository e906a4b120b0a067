//! Which deliveries or events are meant: the same words in a query string and in the JSON body of a bulk action.

use std::time::Duration;

use serde_json::{Map, Value};

use super::error::{ApiError, FieldErrors};
use super::query::yes_or_no;
use crate::domain::attempt::ErrorKind;
use crate::domain::event::EventType;
use crate::domain::ids::{Named, PublicId};
use crate::domain::models::{ModelError, Models};
use crate::domain::time::Timestamp;
use crate::store::Filter;

/// What deliveries can be filtered by.
pub const DELIVERY_FILTERS: &[&str] = &[
    "status",
    "webhook_id",
    "endpoint_id",
    "event_id",
    "model",
    "object_id",
    "event",
    "request_id",
    "error",
    "status_code",
    "test",
    "created__gte",
    "created__lt",
    "attempts__gte",
    "attempts__lt",
    "latency_ms__gte",
    "latency_ms__lt",
    "next_attempt__gte",
    "next_attempt__lt",
    "q",
];

/// What events can be filtered by.
pub const EVENT_FILTERS: &[&str] =
    &["model", "object_id", "event", "request_id", "matched", "created__gte", "created__lt", "q"];

/// Most values one filter may name.
const MAX_VALUES: usize = 1_000;

/// Reads names and values, where a repeated name means "or". Only names among `known` are taken.
///
/// # Errors
/// 400 with every name that is unknown and every value that makes no sense.
pub fn parse(pairs: Vec<(String, String)>, known: &[&str], models: &Models) -> Result<Filter, ApiError> {
    let mut filter = Filter::default();
    let mut problems = FieldErrors::new();
    if pairs.len() > MAX_VALUES {
        return Err(ApiError::bad_request(format!(
            "{} values to filter by are too many; {MAX_VALUES} at most",
            pairs.len()
        )));
    }
    for (name, value) in pairs {
        let outcome = if known.contains(&name.as_str()) {
            set(&mut filter, &name, &value, models)
        } else {
            Err(format!("is not a filter; one of {}", known.join(", ")))
        };
        if let Err(problem) = outcome {
            problems.entry(name).or_default().push(problem);
        }
    }
    if problems.is_empty() { Ok(filter) } else { Err(ApiError::fields(problems)) }
}

/// The pairs of a JSON object, for [`parse`]: each value a string, a number or a list of them; of `test`, true or false.
///
/// Nulls and empty lists are refused: in a script they are what an unset variable becomes, and would mean "everything".
pub fn pairs_of(body: Map<String, Value>) -> Result<Vec<(String, String)>, ApiError> {
    let mut pairs = Vec::new();
    let mut problems = FieldErrors::new();
    for (name, value) in body {
        let values = match value {
            Value::Array(values) if values.is_empty() => vec![Value::Null],
            Value::Array(values) => values,
            one => vec![one],
        };
        for value in values {
            match value {
                Value::String(text) if !text.is_empty() => pairs.push((name.clone(), text)),
                Value::Number(number) => pairs.push((name.clone(), number.to_string())),
                Value::Bool(yes) if name == "test" => pairs.push((name.clone(), yes.to_string())),
                _ => {
                    let problem =
                        "must be a string, a number or a list of them, and not empty; leave the key out for \"any\"";
                    problems.insert(name.clone(), vec![problem.to_owned()]);
                }
            }
        }
    }
    if problems.is_empty() { Ok(pairs) } else { Err(ApiError::fields(problems)) }
}

fn set(filter: &mut Filter, name: &str, value: &str, models: &Models) -> Result<(), String> {
    use crate::domain::ids::{EndpointId, WebhookId};
    match name {
        "status" => filter.states.push(value.parse()?),
        "webhook_id" => filter.webhooks.push(WebhookId(number(value)?)),
        "endpoint_id" => filter.endpoints.push(EndpointId(number(value)?)),
        "event_id" => filter.events.push(event_id(value)?),
        "model" => filter.models.extend(labels(value, models)?),
        "object_id" => filter.object_ids.push(value.to_owned()),
        "event" => filter.event_types.push(event_type(value)?),
        "request_id" => filter.request_ids.push(value.to_owned()),
        "error" => filter.errors.push(error_kind(value)?),
        "status_code" => filter.status_codes.push(status_code(value)?),
        "test" => once(&mut filter.test, yes_or_no(value)?)?,
        "created__gte" => once(&mut filter.created.gte, timestamp(value)?)?,
        "created__lt" => once(&mut filter.created.lt, timestamp(value)?)?,
        "attempts__gte" => once(&mut filter.attempts.gte, attempts(value)?)?,
        "attempts__lt" => once(&mut filter.attempts.lt, attempts(value)?)?,
        "latency_ms__gte" => once(&mut filter.latency.gte, millis(value)?)?,
        "latency_ms__lt" => once(&mut filter.latency.lt, millis(value)?)?,
        "next_attempt__gte" => once(&mut filter.next_attempt.gte, timestamp(value)?)?,
        "next_attempt__lt" => once(&mut filter.next_attempt.lt, timestamp(value)?)?,
        "matched" => once(&mut filter.matched, yes_or_no(value)?)?,
        "q" => once(&mut filter.q, value.to_owned())?,
        _ => return Err("is not a filter".to_owned()),
    }
    Ok(())
}

fn once<T>(slot: &mut Option<T>, value: T) -> Result<(), String> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err("is given more than once".to_owned()),
    }
}

fn number(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("\"{value}\" is not an id; give a whole number"))
}

fn attempts(value: &str) -> Result<u32, String> {
    value.parse().map_err(|_| format!("\"{value}\" is not a number of attempts; give a whole number"))
}

/// Milliseconds, as answers show them: with microseconds behind the point.
fn millis(value: &str) -> Result<Duration, String> {
    let seconds = value.parse::<f64>().map(|ms| ms / 1_000.0);
    seconds
        .ok()
        .and_then(|s| Duration::try_from_secs_f64(s).ok())
        .ok_or_else(|| format!("\"{value}\" is not a number of milliseconds"))
}

fn event_id(value: &str) -> Result<crate::domain::ids::EventSeq, String> {
    let id: PublicId = value.parse().map_err(|_| format!("\"{value}\" is not a UUID"))?;
    match id.named() {
        Some(Named::Event(seq)) => Ok(seq),
        Some(Named::Delivery(_)) => Err(format!("{value} is the id of a delivery, not of an event")),
        None => Err(format!("{value} is not the id of an event here")),
    }
}

fn event_type(value: &str) -> Result<EventType, String> {
    EventType::ALL.into_iter().find(|known| known.as_str() == value).ok_or_else(|| {
        let known = EventType::ALL.map(EventType::as_str).join(", ");
        format!("\"{value}\" is not an event type; one of {known}")
    })
}

fn error_kind(value: &str) -> Result<ErrorKind, String> {
    ErrorKind::ALL.into_iter().find(|known| known.as_str() == value).ok_or_else(|| {
        let known = ErrorKind::ALL.map(ErrorKind::as_str).join(", ");
        format!("\"{value}\" is not a kind of error; one of {known}")
    })
}

fn status_code(value: &str) -> Result<u16, String> {
    let code = value.parse().ok().filter(|code| (100..1_000).contains(code));
    code.ok_or_else(|| format!("\"{value}\" is not an HTTP status"))
}

/// A bare name that several models share means all of them. A label that is no longer known may still be in the archive.
fn labels(value: &str, models: &Models) -> Result<Vec<String>, String> {
    match models.resolve(value) {
        Ok(model) => Ok(vec![model.label.to_string()]),
        Err(ModelError::Ambiguous { labels, .. }) => Ok(labels),
        Err(_) if value.contains('.') => Ok(vec![value.to_ascii_lowercase()]),
        Err(error) => Err(error.to_string()),
    }
}

/// RFC 3339, or a date alone for its first instant in UTC.
fn timestamp(value: &str) -> Result<Timestamp, String> {
    // A "+" that nobody escaped arrives as a space.
    let text = value.replace(' ', "+");
    let exact = text.parse::<jiff::Timestamp>();
    let at = exact.or_else(|_| format!("{text}T00:00:00Z").parse());
    at.map(|t| Timestamp(t.as_microsecond()))
        .map_err(|_| format!("\"{value}\" is not a time; write 2026-01-31T12:00:00Z or 2026-01-31"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::delivery::DeliveryState;
    use crate::domain::ids::{DeliveryId, EndpointId, EventSeq, WebhookId};
    use crate::store::Between;

    fn from_query(text: &str) -> Result<Filter, ApiError> {
        let pairs = form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        parse(pairs, DELIVERY_FILTERS, &Models::builtin())
    }

    fn from_json(body: Value) -> Result<Filter, ApiError> {
        let Value::Object(body) = body else { panic!("an object") };
        parse(pairs_of(body)?, DELIVERY_FILTERS, &Models::builtin())
    }

    #[test]
    fn every_filter_reads_the_same_in_query_and_body() {
        let event = EventSeq(7).public(Timestamp(1_000));
        let query = format!(
            "status=failed&status=pending&webhook_id=1&endpoint_id=2&event_id={event}&model=Site&object_id=54&event=updated\
             &request_id=r&error=timeout&status_code=502&test=false&created__gte=2026-01-31&created__lt=2026-01-31T12:00:00%2B02:00&q=rack\
             &attempts__gte=2&attempts__lt=5&latency_ms__gte=0.5&latency_ms__lt=250&next_attempt__gte=2026-01-31\
             &next_attempt__lt=2026-01-31T10:00:00Z"
        );
        let body = json!({
            "status": ["failed", "pending"], "webhook_id": 1, "endpoint_id": [2], "event_id": event, "model": "dcim.site",
            "object_id": 54, "event": "updated", "request_id": "r",
            "error": "timeout", "status_code": 502, "test": false, "created__gte": "2026-01-31T00:00:00Z",
            "created__lt": "2026-01-31T10:00:00Z", "q": "rack", "attempts__gte": 2, "attempts__lt": "5",
            "latency_ms__gte": 0.5, "latency_ms__lt": 250, "next_attempt__gte": "2026-01-31",
            "next_attempt__lt": "2026-01-31T10:00:00Z"
        });
        let (midnight, ten) = (Timestamp(1_769_817_600_000_000), Timestamp(1_769_853_600_000_000));
        let expected = Filter {
            states: vec![DeliveryState::Failed, DeliveryState::Pending],
            webhooks: vec![WebhookId(1)],
            endpoints: vec![EndpointId(2)],
            events: vec![EventSeq(7)],
            models: vec!["dcim.site".into()],
            object_ids: vec!["54".into()],
            event_types: vec![EventType::Updated],
            request_ids: vec!["r".into()],
            errors: vec![ErrorKind::Timeout],
            status_codes: vec![502],
            test: Some(false),
            created: Between { gte: Some(midnight), lt: Some(ten) },
            attempts: Between { gte: Some(2), lt: Some(5) },
            latency: Between { gte: Some(Duration::from_micros(500)), lt: Some(Duration::from_millis(250)) },
            next_attempt: Between { gte: Some(midnight), lt: Some(ten) },
            matched: None,
            q: Some("rack".into()),
        };
        assert_eq!(from_query(&query).expect("a filter"), expected);
        assert_eq!(from_json(body).expect("a filter"), expected);
    }

    #[test]
    fn a_bad_value_is_named_with_what_would_be_right() {
        let delivery = DeliveryId::new(EventSeq(7), 1).public(Timestamp(0));
        for (query, name) in [
            ("status=broken", "status"),
            ("webhook_id=x", "webhook_id"),
            ("event_id=x", "event_id"),
            (&*format!("event_id={delivery}"), "event_id"),
            ("model=Nonsense", "model"),
            ("event=renamed", "event"),
            ("created__gte=yesterday", "created__gte"),
            ("attempts__lt=-1", "attempts__lt"),
            ("latency_ms__gte=-1", "latency_ms__gte"),
            ("latency_ms__gte=inf", "latency_ms__gte"),
            ("latency_ms__lt=2s", "latency_ms__lt"),
            ("next_attempt__lt=soon", "next_attempt__lt"),
            ("matched=true", "matched"),
            ("q=a&q=b", "q"),
            ("colour=red", "colour"),
        ] {
            let error = from_query(query).expect_err(query).to_string();
            assert!(error.contains(&format!("\"{name}\":")), "{error}");
        }
    }

    #[test]
    fn an_unset_variable_does_not_mean_everything() {
        for body in [
            json!({"webhook_id": null}),
            json!({"webhook_id": []}),
            json!({"request_id": ""}),
            json!({"q": {}}),
            json!({"q": true}),
        ] {
            assert!(from_json(body.clone()).is_err(), "{body}");
        }
    }

    #[test]
    fn a_plus_that_nobody_escaped_is_still_an_offset() {
        let filter = from_query("created__lt=2026-01-31T12:00:00+02:00").expect("a filter");
        assert_eq!(filter.created.lt, Some(Timestamp(1_769_853_600_000_000)));
    }
}
