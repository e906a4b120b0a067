//! Every function that reads what comes from outside, driven with arbitrary bytes: what it must not do is panic, and what
//! must hold of its result is asserted. Used by the fuzz targets beside it and by `tests/parsers.rs`.

use std::io::Write;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::ZlibEncoder;
use netbox_webhookd::catalog::Catalog;
use netbox_webhookd::catalog::validate;
use netbox_webhookd::config::Config;
use netbox_webhookd::domain::condition::{Conditions, Subject};
use netbox_webhookd::domain::event::Event;
use netbox_webhookd::domain::models::Models;
use netbox_webhookd::domain::payload_url::PayloadUrl;
use netbox_webhookd::domain::time::Timestamp;
use netbox_webhookd::intake::http::{Request, read};
use netbox_webhookd::intake::netbox_queue::job;
use netbox_webhookd::render::template::{self, Context, Template};
use netbox_webhookd::sender::{Egress, retry_after as receivers_wish};
use netbox_webhookd::store::admin::DefinitionSet;
use netbox_webhookd::web::filter::{DELIVERY_FILTERS, pairs_of, parse};
use netbox_webhookd::web::query::Query;

const NOW: Timestamp = Timestamp::from_secs(1_764_000_000);
const YEAR: Duration = Duration::from_secs(366 * 24 * 3_600);

/// One event as it comes in. What was taken reads the same from disk.
pub fn event(data: &[u8]) {
    let Ok(event) = Event::parse(Bytes::copy_from_slice(data), &Models::builtin(), NOW) else { return };
    let again = Event::restore(event.raw().clone(), event.model.clone(), NOW).expect("it was taken before");
    assert_eq!(
        (again.event_type, &again.object_id, again.object_key()),
        (event.event_type, &event.object_id, event.object_key())
    );
    assert_eq!(again.members().collect::<Vec<_>>(), event.members().collect::<Vec<_>>());
    assert!(event.weight() >= event.raw().len());
    let _ = (event.request_id(), event.username(), event.data().len());
}

/// A whole request; the first byte picks its content type.
pub fn intake(data: &[u8]) {
    let Some((first, body)) = data.split_first() else { return };
    let types = [None, Some("application/json"), Some("application/x-ndjson"), Some("text/plain; charset=utf-8")];
    let content_type = types[usize::from(*first) % types.len()];
    let request = Request { body: Bytes::copy_from_slice(body), content_type, idempotency_key: Some("k"), token: "1" };
    let catalog = Catalog::new(Arc::new(DefinitionSet { revision: 1, ..DefinitionSet::default() }));
    match read(&request, &Models::builtin(), &catalog, 8, NOW) {
        Ok(events) => assert!(events.len() <= 8 && events.iter().all(|e| e.idempotency.is_some())),
        Err(error) => assert!((400..500).contains(&error.status()), "{error}"),
    }
}

/// What a receiver answers in `Retry-After`.
pub fn retry_after(data: &[u8]) {
    assert!(receivers_wish::parse(data, NOW).is_none_or(|wait| wait <= YEAR));
}

/// Filters of a query string and of a bulk action's body.
pub fn filter(data: &[u8]) {
    let models = Models::builtin();
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse(Query::parse(text).into_pairs(), DELIVERY_FILTERS, &models);
    let mut query = Query::parse(text);
    let _ = (query.take_page(), query.take_bool("enabled"), query.take_number("id"), query.finish());
    if let Ok(serde_json::Value::Object(body)) = serde_json::from_str(text)
        && let Ok(pairs) = pairs_of(body)
    {
        let _ = parse(pairs, DELIVERY_FILTERS, &models);
    }
}

/// A configuration file, and a variable of the environment with the same text.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let variable = ("NETBOX_WEBHOOKD__DELIVERY__RATE_LIMIT".to_owned(), text.clone().into_owned());
    for env in [&[][..], &[variable]] {
        if let Err(problems) = Config::parse(&text, env) {
            assert!(!problems.is_empty());
        }
    }
}

/// A payload URL. What it is known by is the same when it is read again.
pub fn url(data: &[u8]) {
    let Ok(url) = PayloadUrl::parse(&String::from_utf8_lossy(data)) else { return };
    let again = PayloadUrl::parse(url.endpoint_key()).expect("it was read before");
    assert_eq!(again.endpoint_key(), url.endpoint_key());
    assert_eq!(again.origin, url.origin);
}

/// An address to connect to: 4 or 16 bytes, then a network. IPv4 is judged alike inside IPv6.
pub fn egress(data: &[u8]) {
    let Some((address, rest)) = data.split_first_chunk::<4>() else { return };
    let v4 = Ipv4Addr::from(*address);
    let network = match rest {
        [length, ..] => ipnet::Ipv4Net::new(v4, length % 33).expect("at most 32").into(),
        [] => ipnet::Ipv4Net::from(v4).into(),
    };
    let guard = Egress { allow: Vec::new(), deny: vec![network] };
    for hidden in [IpAddr::V4(v4), IpAddr::V6(v4.to_ipv6_mapped())] {
        guard.check(hidden).expect_err("its own network is denied");
    }
    if let Some(bytes) = data.first_chunk::<16>() {
        let _ = guard.check(Ipv6Addr::from(*bytes).into());
    }
}

/// A webhook's definition as JSON.
pub fn webhook(data: &[u8]) {
    let Ok(input) = serde_json::from_slice(data) else { return };
    if let Err(problems) = validate::create(&input, &Models::builtin()) {
        assert!(!problems.to_string().is_empty());
    }
}

/// A job of NetBox's queue: as it lies there, and as the pickle in it. What is read is one JSON object within the limits,
/// and tells nothing of the user's password.
pub fn rq_job(data: &[u8]) {
    let limits = job::Limits { inflated: 1 << 20, steps: 1 << 16, memo: 1 << 14, json: 1 << 18 };
    let mut packed = ZlibEncoder::new(Vec::new(), Compression::none());
    packed.write_all(data).expect("memory");
    for data in [data, &packed.finish().expect("memory")] {
        match job::WebhookJob::decode_within(data, &limits) {
            Ok(job) => {
                let event = job.event_json();
                assert!(event.starts_with("{\"event\": \"") && event.ends_with('}') && event.is_ascii());
                assert!(job.data_json().len() <= limits.json);
                assert!(!format!("{job:?}").contains("pbkdf2_sha256$"));
            }
            Err(error) => assert!(!format!("{error} {error:?}").contains("pbkdf2_sha256$")),
        }
    }
}

/// A template. What it renders to stays within its limits.
pub fn template(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(read) = Template::parse(text) else { return };
    let event =
        r#"{"event": "created", "data": {"id": 1, "name": "a\u00e9", "tags": [{"slug": "x"}], "tenant": null}}"#;
    let context = Context::from_json(event).expect("an object");
    let limits = template::Limits { output: 4_096, fuel: 10_000 };
    if let Ok(rendered) = read.render_within(&context, limits) {
        assert!(rendered.len() <= limits.output);
    }
}

/// Conditions, and the event they are held against behind the first line. Explaining is deciding.
pub fn condition(data: &[u8]) {
    let mut parts = data.splitn(2, |b| *b == b'\n');
    let mut next = || parts.next().and_then(|part| serde_json::from_slice::<serde_json::Value>(part).ok());
    let (Some(definition), event) = (next(), next()) else { return };
    let Ok(conditions) = Conditions::parse(&definition) else { return };
    let event = event.unwrap_or(serde_json::Value::Null);
    let subject = Subject::new(&event, Some(&event));
    let verdict = conditions.verdict(&subject);
    assert_eq!(verdict.is_match(), conditions.matches(&subject), "{verdict}");
}
