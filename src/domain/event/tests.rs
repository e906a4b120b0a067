//! What comes in as an event, and that it leaves as it came.

use std::path::Path;

use proptest::prelude::*;
use serde_json::Value;

use super::*;

const RECEIVED: Timestamp = Timestamp(1_764_000_000_123_400);

fn parse(text: &str) -> Result<Event, EventError> {
    Event::parse(Bytes::copy_from_slice(text.as_bytes()), &Models::builtin(), RECEIVED)
}

fn parsed(text: &str) -> Event {
    parse(text).unwrap_or_else(|e| panic!("{text}: {e}"))
}

fn refused(text: &str) -> String {
    parse(text).err().unwrap_or_else(|| panic!("accepted: {text}")).to_string()
}

fn fixtures(folder: &str) -> Vec<(String, Value)> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/netbox").join(folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).expect("the fixtures are in the tree") {
        let path = entry.expect("a readable entry").path();
        let text = std::fs::read_to_string(&path).expect("a readable fixture");
        found.push((path.display().to_string(), serde_json::from_str(&text).expect("a fixture is JSON")));
    }
    found
}

fn captured(folder: &str) -> Vec<(String, Value)> {
    let each = fixtures(folder).into_iter().flat_map(|(name, value)| match value {
        Value::Array(all) => all.into_iter().map(|v| (name.clone(), v)).collect(),
        one => vec![(name, one)],
    });
    each.collect()
}

#[test]
fn every_captured_request_is_accepted_as_it_is() {
    let all: Vec<_> = captured("requests").into_iter().chain(captured("bulk")).collect();
    assert!(all.len() >= 61 + 150, "{}", all.len());
    for (name, fixture) in all {
        let body = fixture["body"].as_str().expect("a body");
        let event = parse(body).unwrap_or_else(|e| panic!("{name}: {e}"));
        let expected = &fixture["parsed"];
        assert_eq!(event.raw(), body.as_bytes());
        assert_eq!(event.event_type.as_str(), expected["event"], "{name}");
        assert_eq!(&*event.model.label, expected["object_type"], "{name}");
        assert_eq!(event.object_id.as_deref().map(str::to_owned), Some(expected["data"]["id"].to_string()), "{name}");
        assert_eq!(&*event.timestamp, expected["timestamp"], "{name}");
        assert_eq!(event.request_id().as_deref(), expected["request_id"].as_str(), "{name}");
        assert_eq!(event.username().as_deref(), expected["username"].as_str(), "{name}");
        let names: Vec<_> = event.members().map(|(name, _)| name.to_owned()).collect();
        let in_order = ["event", "timestamp", "object_type", "model", "username", "request_id", "data", "snapshots"];
        assert_eq!(names, in_order, "{name}");
    }
}

#[test]
fn of_the_special_captures_the_default_bodies_are_events_and_the_rest_says_why_not() {
    for (name, fixture) in captured("special") {
        let body = fixture["body"].as_str().expect("a body");
        let is_event = fixture["parsed"].get("event").is_some() && fixture["parsed"].get("data").is_some();
        match parse(body) {
            Ok(event) => {
                assert!(is_event, "{name}");
                assert_eq!(event.object_id.is_none(), event.event_type.is_job(), "{name}");
            }
            Err(e) => assert!(!is_event, "{name}: {e}"),
        }
    }
}

#[test]
fn queue_entries_are_events_but_their_envelope_is_none() {
    for (name, fixture) in fixtures("pipeline") {
        let entries: Vec<String> = match fixture.get("parsed") {
            Some(envelope) => {
                assert_eq!(refused(&envelope.to_string()), EventError::Envelope.to_string(), "{name}");
                envelope["events"].as_array().expect("events").iter().map(Value::to_string).collect()
            }
            None => {
                let entries = fixture.as_array().expect("a list of entries").iter();
                entries.map(|e| e["fields"]["event"].as_str().expect("an event").to_owned()).collect()
            }
        };
        for entry in entries {
            let event = parse(&entry).unwrap_or_else(|e| panic!("{name}: {e}"));
            assert!(event.object_id.is_some(), "{name}");
        }
    }
}

#[test]
fn the_shapes_of_every_netbox_release_are_taken() {
    let v2_4 = r#"{"event":"created","timestamp":"2018-08-07 14:06:51.741406","model":"site","data":{"id":1}}"#;
    let event = parsed(v2_4);
    assert_eq!((&*event.model.label, &*event.model.class), ("dcim.site", "Site"));
    assert_eq!(&*event.timestamp, "2018-08-07 14:06:51.741406");
    assert_eq!(&*event.signal_received_timestamp, "1533650811.741406");
    let v2_5 = r#"{"event":"updated","timestamp":"2019-01-01 00:00:00","model":"rackgroup","data":{"id":1},
        "username":"bob","request_id":"a-b"}"#;
    assert_eq!(parsed(v2_5).username().as_deref(), Some("bob"));
    let v4_5 = r#"{"event":"deleted","timestamp":"2026-01-01T00:00:00.5+00:00","object_type":"dcim.site","username":"bob",
        "request_id":"a-b","data":{"id":7},"snapshots":{"prechange":{},"postchange":null}}"#;
    assert_eq!(parsed(v4_5).event_type, EventType::Deleted);
    let v4_7 = r#"{"event":"created","timestamp":"2026-01-01T00:00:00+02:00","object_type":"dcim.site","data":{"id":7},
        "snapshots":{},"request":{"id":"a-b","method":"POST","path":"/","user":"b\u00e9a"}}"#;
    let event = parsed(v4_7);
    assert_eq!((event.request_id().as_deref(), event.username().as_deref()), (Some("a-b"), Some("béa")));
    assert_eq!(&*event.signal_received_timestamp, "1767218400");
}

#[test]
fn the_webhook_backends_own_shape_is_taken() {
    let event =
        parsed(r#"{"event":"created","signal_received_timestamp":1508769597.50,"model":"Site","data":{"id":54}}"#);
    assert_eq!(&*event.signal_received_timestamp, "1508769597.50");
    assert_eq!(&*event.timestamp, "2017-10-23T14:39:57.500000+00:00");
    assert_eq!(event.object_id.as_deref(), Some("54"));
    assert_eq!((event.request_id(), event.username()), (None, None));
}

#[test]
fn the_time_of_receipt_stands_in_for_a_missing_one() {
    let event = parsed(r#"{"event":"created","model":"Site","data":{"id":1}}"#);
    assert_eq!(&*event.signal_received_timestamp, "1764000000.1234");
    assert_eq!(&*event.timestamp, "2025-11-24T16:00:00.123400+00:00");
}

#[test]
fn an_object_is_known_by_its_id_however_it_is_spelled() {
    let id = |data: &str| parsed(&format!(r#"{{"event":"created","model":"Site","data":{data}}}"#)).object_id;
    assert_eq!(id(r#"{"id": 54}"#).as_deref(), Some("54"));
    assert_eq!(id(r#"{"name": {"id": 3}, "id": "a\u0062"}"#).as_deref(), Some("ab"));
    assert_eq!(id(r#"{"id": 123456789012345678901234567890}"#).as_deref(), Some("123456789012345678901234567890"));
    assert_eq!(id(r#"{"name": "no id"}"#), None);
    assert_eq!(id(r#"{"id": null}"#), None);
}

#[test]
fn a_restored_event_is_the_accepted_one() {
    let text = r#" {"event":"created","model":"Site","id":"e-1","data":{"id":1,"big":1e400}} "#;
    let event = parsed(text);
    let again = Event::restore(event.raw().clone(), event.model.clone(), RECEIVED).expect("an accepted event");
    assert_eq!(format!("{event:?}"), format!("{again:?}"));
    assert_eq!(event.raw(), text.trim().as_bytes());
    assert_eq!(event.external_id.as_deref(), Some("e-1"));
}

#[test]
fn what_is_wrong_is_named_with_what_would_be_right() {
    let wrong = [
        ("", "not nothing"),
        ("[]", "not an array"),
        ("{", "not valid JSON: EOF"),
        (r#"{"event":"created"} x"#, "trailing characters"),
        (r#"{"model":"Site","data":{}}"#, "\"event\" is missing: give one of \"created\""),
        (r#"{"event":"renamed","model":"Site","data":{}}"#, "\"event\" is \"renamed\": give one of"),
        (r#"{"event":1,"model":"Site","data":{}}"#, "\"event\" is 1: give one of"),
        (r#"{"event":"created","data":{}}"#, "\"model\" is missing"),
        (r#"{"event":"created","model":"Sight","data":{}}"#, "\"Sight\" is not a known model"),
        (r#"{"event":"created","object_type":"p.thing","data":{}}"#, "webhooks.models"),
        (r#"{"event":"created","object_type":"dcim.site","model":"rack","data":{}}"#, "they must name one model"),
        (r#"{"event":"created","model":"Site"}"#, "\"data\" is missing"),
        (r#"{"event":"created","model":"Site","data":null}"#, "\"data\" is null"),
        (r#"{"event":"created","model":"Site","data":[]}"#, "\"data\" is []"),
        (r#"{"event":"created","model":"Site","data":{"id":[1]}}"#, "\"data.id\" is [1]"),
        (r#"{"event":"created","model":"Site","data":{},"id":""}"#, "\"id\" is \"\""),
        (r#"{"event":"created","model":"Site","data":{},"id":true}"#, "\"id\" is true"),
        (r#"{"event":"created","event":"deleted","model":"Site","data":{}}"#, "\"event\" appears twice"),
        (r#"{"event":"created","model":"Site","data":{},"timestamp":"today"}"#, "\"timestamp\" is \"today\": give ISO"),
        (r#"{"event":"created","model":"Site","data":{},"signal_received_timestamp":1e300}"#, "seconds since 1970"),
        (r#"{"event":"created","model":"Site","data":{},"signal_received_timestamp":{}}"#, "seconds since 1970"),
    ];
    for (text, expected) in wrong {
        let said = refused(text);
        assert!(said.contains(expected), "{text}\n said {said}\n not {expected}");
    }
    let error = Event::parse(Bytes::from_static(b"{\"\xff\"}"), &Models::builtin(), RECEIVED).expect_err("no UTF-8");
    assert_eq!(error, EventError::NotUtf8(2));
}

#[test]
fn a_job_has_no_object_and_may_have_left_no_data() {
    let event = parsed(r#"{"event":"job_ended","object_type":"core.datasource","request_id":null,"data":null}"#);
    assert_eq!((event.object_id.as_deref(), event.object_key(), event.data()), (None, None, "null"));
    assert_eq!(event.request_id(), None);
    refused(r#"{"event":"job_ended","object_type":"core.datasource","data":[]}"#);
}

#[test]
fn nesting_is_bounded_whatever_the_brackets_in_strings() {
    let nested =
        |n: usize| format!(r#"{{"event":"created","model":"Site","data":{{"x":{}{}}}}}"#, "[".repeat(n), "]".repeat(n));
    parsed(&nested(98));
    assert!(refused(&nested(99)).contains("nested deeper than 100"));
    assert!(refused(&nested(1_000_000)).contains("nested deeper than 100"));
    parsed(&format!(r#"{{"event":"created","model":"Site","data":{{"x":"{}\"\\"}}}}"#, "{[".repeat(500)));
}

#[test]
fn top_level_members_are_bounded() {
    let many: String = (0..300).map(|n| format!(r#","x{n}":{n}"#)).collect();
    let said = refused(&format!(r#"{{"event":"created","model":"Site","data":{{}}{many}}}"#));
    assert!(said.contains("more than 256"), "{said}");
}

fn json() -> impl Strategy<Value = String> {
    let number = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
    ];
    let text =
        prop_oneof![any::<String>().prop_map(|s| Value::from(s).to_string()), Just(r#""\ud83d\u00e9\/""#.to_owned())];
    let leaf = prop_oneof![Just("null".to_owned()), Just("true".to_owned()), Just("false".to_owned()), number, text];
    leaf.prop_recursive(6, 60, 6, |inner| {
        let member = (any::<String>(), inner.clone()).prop_map(|(k, v)| format!("{} :{v}", Value::from(k)));
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(|all| format!("[{}]", all.join(" , "))),
            prop::collection::vec(member, 0..6).prop_map(|all| format!("{{ {}}}", all.join(","))),
        ]
    })
}

proptest! {
    #[test]
    fn data_and_unknown_members_leave_as_they_came(value in json(), other in json(), id in any::<u64>()) {
        let data = format!(r#"{{"x":{value} ,"id":{id}}}"#);
        let event = parsed(&format!(r#"{{"event":"created", "other": {other} ,"model":"Site","data":  {data} }}"#));
        prop_assert_eq!(event.data(), data);
        prop_assert_eq!(event.member("other"), Some(other.as_str()));
        prop_assert_eq!(event.object_id.as_deref().map(str::to_owned), Some(id.to_string()));
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Event::parse(Bytes::from(bytes), &Models::builtin(), RECEIVED);
    }

    #[test]
    fn no_damage_to_an_event_makes_it_panic(at in 0usize..60, byte in any::<u8>()) {
        let mut bytes = br#"{"event":"created","model":"Site","timestamp":"2018","data":{"id":1}}"#.to_vec();
        bytes[at] = byte;
        let _ = Event::parse(Bytes::from(bytes), &Models::builtin(), RECEIVED);
    }
}
