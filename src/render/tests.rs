use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::domain::models::Models;
use crate::domain::time::Timestamp;

const V4_4: NetboxVersion = NetboxVersion(4, 4);

fn event(raw: &str) -> Event {
    Event::parse(raw.to_owned().into(), &Models::builtin(), Timestamp::from_secs(1_764_000_000)).expect("a valid event")
}

fn webhook(format: &str, content_type: &str, additional_headers: &str) -> WebhookSpec {
    serde_json::from_value(json!({
        "name": "w", "models": ["dcim.site"], "payload_url": "http://h/", "payload_format": format,
        "http_content_type": content_type, "additional_headers": additional_headers,
    }))
    .expect("a valid definition")
}

fn rendered(spec: &WebhookSpec, source: Source<'_>) -> String {
    String::from_utf8(Prepared::new(spec).body(spec, &Lazy::new(source)).expect("a body").to_vec()).expect("UTF-8")
}

fn as_netbox(raw: &str, version: NetboxVersion) -> String {
    rendered(&webhook("netbox", "application/json", ""), Source { event: &event(raw), folded_from: None, version })
}

/// Bodies NetBox 4.4.10 sent as they are by default, with the name of their fixture.
fn captured() -> Vec<(String, String)> {
    let mut bodies = Vec::new();
    for folder in ["requests", "bulk", "special"] {
        let folder = format!("{}/tests/fixtures/netbox/{folder}", env!("CARGO_MANIFEST_DIR"));
        for entry in std::fs::read_dir(folder).expect("the fixtures are there") {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            // Bodies of templates, and none at all, are not NetBox's own form.
            if ["form2-", "template-", "redirect-followed-GET"].iter().any(|other| name.starts_with(other)) {
                continue;
            }
            let fixture: Value =
                serde_json::from_str(&std::fs::read_to_string(&path).expect("readable")).expect("a JSON fixture");
            collect_bodies(&fixture, &name, &mut bodies);
        }
    }
    bodies
}

fn collect_bodies(fixture: &Value, name: &str, bodies: &mut Vec<(String, String)>) {
    match fixture {
        Value::Array(members) => members.iter().for_each(|m| collect_bodies(m, name, bodies)),
        Value::Object(members) => match members.get("body") {
            Some(Value::String(body)) => bodies.push((name.to_owned(), body.clone())),
            _ => members.values().for_each(|m| collect_bodies(m, name, bodies)),
        },
        _ => {}
    }
}

#[test]
fn a_netbox_body_leaves_byte_for_byte_as_it_came() {
    let bodies = captured();
    assert!(bodies.len() > 200, "only {} bodies", bodies.len());
    for (name, body) in bodies {
        assert_eq!(as_netbox(&body, V4_4), body, "{name}");
    }
}

#[test]
fn each_netbox_release_has_its_own_keys() {
    let raw = r#"{"event": "created", "timestamp": "t", "object_type": "dcim.site", "model": "site",
        "username": "u", "request_id": "r", "data": {"id": 1}, "snapshots": {"prechange": null, "postchange": {}},
        "context": {"p": 1}, "request": {"id": "r", "user": "u"}}"#
        .replace("\"t\"", "\"2026-11-23T19:38:15.153410+00:00\"");
    let keys = |major, minor| -> String {
        let text = as_netbox(&raw, NetboxVersion(major, minor));
        let object: serde_json::Map<String, Value> = serde_json::from_str(&text).expect("valid JSON");
        let mut keys: Vec<&String> = object.keys().collect();
        keys.sort_by_key(|key| text.find(&format!("\"{key}\": ")).expect("a key is in the text"));
        keys.into_iter().map(String::as_str).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(keys(2, 4), "event timestamp model data");
    assert_eq!(keys(2, 10), "event timestamp model username request_id data");
    for (major, minor) in [(2, 11), (3, 7), (4, 0), (4, 3)] {
        assert_eq!(keys(major, minor), "event timestamp model username request_id data snapshots");
    }
    assert_eq!(keys(4, 4), "event timestamp object_type model username request_id data snapshots context");
    assert_eq!(keys(4, 5), "event timestamp object_type username request_id data snapshots context");
    assert_eq!(keys(4, 6), "event timestamp object_type username request_id data request snapshots context");
    assert_eq!(keys(4, 7), "event timestamp object_type data request snapshots context");
}

#[test]
fn what_an_event_does_not_have_is_left_out_or_null_as_netbox_does() {
    let bare = r#"{"event":"updated","model":"Site","signal_received_timestamp":1508769597.5,"data":{"id":54}}"#;
    assert_eq!(
        as_netbox(bare, V4_4),
        r#"{"event": "updated", "timestamp": "2017-10-23T14:39:57.500000+00:00", "object_type": "dcim.site", "model": "site", "username": null, "request_id": null, "data": {"id":54}}"#
    );
    assert!(!as_netbox(bare, NetboxVersion(2, 5)).contains("username"));
}

#[test]
fn a_newer_netbox_still_tells_an_older_receiver_who_it_was() {
    let newest = r#"{"event": "created", "timestamp": "2026-11-23T19:38:15+00:00", "object_type": "dcim.site",
        "data": {"id": 1}, "request": {"id": "r-1", "method": "POST", "path": "/", "user": "bob"}}"#;
    let body = as_netbox(newest, V4_4);
    assert!(body.contains(r#""username": "bob", "request_id": "r-1", "data""#), "{body}");
}

#[test]
fn a_timestamp_that_came_as_a_number_leaves_as_netbox_writes_it() {
    let raw = r#"{"event":"created","model":"Site","timestamp":1508769597.5,"data":{"id":1}}"#;
    let body: Value = serde_json::from_str(&as_netbox(raw, V4_4)).expect("JSON");
    assert_eq!(body["timestamp"], json!("2017-10-23T14:39:57.500000+00:00"));
}

#[test]
fn the_backend_body_passes_data_on_untouched() {
    let raw = r#"{"event":"created","model":"ipaddress","signal_received_timestamp":1508769597.5,
        "data":{"z":1e400,"id":12345678901234567890123,"a" : 1.10,"é":"\u00e9"}}"#;
    let source = Source { event: &event(raw), folded_from: None, version: V4_4 };
    let data = r#"{"z":1e400,"id":12345678901234567890123,"a" : 1.10,"é":"\u00e9"}"#;
    assert_eq!(
        rendered(&webhook("backend", "application/json", ""), source),
        format!(
            r#"{{"event": "created", "signal_received_timestamp": 1508769597.5, "model": "IPAddress", "data": {data}}}"#
        )
    );
    let form = rendered(&webhook("backend", "application/X-www-form-urlencoded; charset=utf-8", ""), source);
    let fields: Vec<(String, String)> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
    let expected =
        [("event", "created"), ("signal_received_timestamp", "1508769597.5"), ("model", "IPAddress"), ("data", data)];
    assert_eq!(fields, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
    assert!(rendered(&webhook("netbox", "application/x-www-form-urlencoded", ""), source).starts_with('{'));
}

#[test]
fn a_folded_event_tells_of_both() {
    let make = |event_type: &str, name: &str, snapshots: &str| {
        event(&format!(
            r#"{{"event":"{event_type}","model":"Site","timestamp":"2026-11-23T19:38:15+00:00","data":{{"id":1,"name":"{name}"}},"snapshots":{snapshots}}}"#
        ))
    };
    let created = make("created", "a", r#"{"prechange":null,"postchange":{"name":"a"}}"#);
    let updated = make("updated", "b", r#"{"postchange":{"name":"b", "n":1.0},"prechange":{"name":"a"}}"#);
    let deleted = make("deleted", "b", r#"{"prechange":{"name": "b"},"postchange":null}"#);
    let spec = webhook("netbox", "application/json", "");
    let render = |older, newer| rendered(&spec, Source { event: newer, folded_from: Some(older), version: V4_4 });

    let both = render(&created, &updated);
    assert!(both.starts_with(r#"{"event": "created""#), "{both}");
    assert!(both.contains(r#""name":"b""#), "{both}");
    let snapshots = r#""snapshots": {"prechange": null, "postchange": {"name":"b", "n":1.0}}}"#;
    assert!(both.ends_with(snapshots), "{both}");

    let gone = render(&updated, &deleted);
    assert!(gone.starts_with(r#"{"event": "deleted""#), "{gone}");
    let snapshots = r#""snapshots": {"prechange": {"name":"a"}, "postchange": null}}"#;
    assert!(gone.ends_with(snapshots), "{gone}");

    let backend = webhook("backend", "application/json", "");
    let both = rendered(&backend, Source { event: &updated, folded_from: Some(&created), version: V4_4 });
    assert!(both.starts_with(r#"{"event": "created""#) && both.ends_with(r#""data": {"id":1,"name":"b"}}"#), "{both}");
}

fn lines(text: &str) -> Result<Vec<(String, String)>, RenderError> {
    headers_of(&webhook("backend", "application/json", text))
}

fn headers_of(spec: &WebhookSpec) -> Result<Vec<(String, String)>, RenderError> {
    let event = event(r#"{"event": "created", "model": "site", "data": {"id": 1}}"#);
    let source = Source { event: &event, folded_from: None, version: V4_4 };
    Prepared::new(spec).headers(spec, &Lazy::new(source)).map(|headers| headers.into_owned())
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
}

#[test]
fn additional_headers_are_one_per_line() {
    assert_eq!(lines("").expect("none"), pairs(&[("Content-Type", "application/json")]));
    assert_eq!(
        lines("X-A: 1\r\n\r\n  X-Time : 12:30:00 \nx-a:2\n").expect("valid lines"),
        pairs(&[("Content-Type", "application/json"), ("X-A", "2"), ("X-Time", "12:30:00")])
    );
    assert_eq!(lines("content-type: text/plain").expect("valid"), pairs(&[("Content-Type", "text/plain")]));
}

#[test]
fn a_bad_header_line_is_named() {
    for (text, line, reason) in [
        ("X-A: 1\u{7}\nnonsense\nX B: 1", 3, "is not a header name"),
        (": value", 1, "is not a header name"),
        ("\n\nX A: 1", 3, "is not a header name"),
        ("Content-Length: 5", 1, "is set by netbox-webhookd itself"),
        ("transfer-encoding: chunked", 1, "is set by netbox-webhookd itself"),
    ] {
        let error = lines(text).expect_err("a bad line").to_string();
        assert!(error.starts_with(&format!("additional header line {line}: ")) && error.contains(reason), "{error}");
    }
}

proptest! {
    #[test]
    fn no_header_can_smuggle_a_line(text in "[\\PC\\r\\n\\t\\x00:a-zA-Z]{0,80}", content_type in "\\PC*[\\r\\n]{0,2}\\PC*") {
        if let Ok(headers) = headers_of(&webhook("backend", &content_type, &text)) {
            for (name, value) in headers {
                prop_assert!(name.bytes().all(|b| b.is_ascii_graphic()));
                prop_assert!(!value.chars().any(char::is_control));
            }
        }
    }
}
