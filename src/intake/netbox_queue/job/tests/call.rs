//! Calls that are not quite NetBox's.

use super::super::{JobError, WebhookJob};
use super::packed;
use crate::domain::event::EventType;

/// A pickled text.
fn text(text: &str) -> Vec<u8> {
    [&[0x8c, u8::try_from(text.len()).expect("short")], text.as_bytes()].concat()
}

/// An instance of a model with these columns.
fn instance(columns: &[(&str, &[u8])]) -> Vec<u8> {
    [b"cdjango.db.models.base\nmodel_unpickle\n)R}(", &*members(columns), b"ub"].concat()
}

fn members(members: &[(&str, &[u8])]) -> Vec<u8> {
    members.iter().flat_map(|(name, value)| [text(name), value.to_vec()].concat()).collect()
}

fn decode(function: &str, arguments: &[(&str, &[u8])]) -> Result<WebhookJob, JobError> {
    let call = [b"(", &*text(function), b"N)}(", &*members(arguments), b"ut."].concat();
    WebhookJob::decode(&packed(&call))
}

const SEND: &str = "extras.webhooks.send_webhook";

/// The arguments of a job of 4.4 with one left out or replaced.
fn with(name: &str, value: Option<&[u8]>) -> Result<WebhookJob, JobError> {
    let rule = instance(&[("id", b"K\x03"), ("name", &text("rule")), ("action_object_id", b"K\x07")]);
    let object_type = instance(&[("app_label", &text("dcim")), ("model", &text("site"))]);
    let (event, timestamp) = (text("object_created"), text("2026-11-23T19:43:03+00:00"));
    let all: [(&str, &[u8]); 7] = [
        ("event_rule", &rule),
        ("object_type", &object_type),
        ("event_type", &event),
        ("data", b"}"),
        ("snapshots", b"N"),
        ("timestamp", &timestamp),
        ("username", b"N"),
    ];
    let kept = all.into_iter().filter_map(|(n, v)| if n == name { value.map(|v| (n, v)) } else { Some((n, v)) });
    decode(SEND, &kept.collect::<Vec<_>>())
}

#[test]
fn the_least_of_a_job() {
    let job = with("", None).expect("a job");
    assert_eq!((job.event, job.data_json(), job.snapshots_json()), (EventType::Created, "{}", None));
    let expected = r#"{"event": "created", "timestamp": "2026-11-23T19:43:03+00:00", "object_type": "dcim.site", "model": "site", "username": null, "request_id": null, "data": {}}"#;
    assert_eq!(job.event_json(), expected);
}

#[test]
fn snapshots_that_are_empty_are_none() {
    for empty in [&b"N"[..], b"}", b"\x89"] {
        assert_eq!(with("snapshots", Some(empty)).expect("a job").snapshots_json(), None);
    }
}

#[test]
fn what_is_missing_is_named() {
    for (left_out, missing) in [
        ("event_rule", "event_rule"),
        ("object_type", "model_name"),
        ("event_type", "event"),
        ("data", "data"),
        ("timestamp", "timestamp"),
    ] {
        assert_eq!(with(left_out, None), Err(JobError::Missing(missing)));
    }
    let nameless = instance(&[("id", b"K\x03"), ("name", &text("rule"))]);
    assert_eq!(with("event_rule", Some(&nameless)), Err(JobError::Missing("event_rule.action_object_id")));
    assert_eq!(with("object_type", Some(&instance(&[]))), Err(JobError::Missing("object_type.app_label")));
}

#[test]
fn what_is_of_the_wrong_kind_is_named() {
    let is_wrong = |name: &str, value: &[u8], field: &str| match with(name, Some(value)) {
        Err(JobError::Wrong { field: f, .. }) => assert_eq!(f, field),
        other => panic!("{name}: {other:?}"),
    };
    is_wrong("timestamp", b"K\x01", "timestamp");
    is_wrong("username", b"K\x01", "username");
    is_wrong("event_type", b"]", "event_type");
    let rule = instance(&[("id", b"K\x03"), ("name", &text("rule")), ("action_object_id", b"N")]);
    is_wrong("event_rule", &rule, "event_rule.action_object_id");
}

#[test]
fn calls_of_other_functions_and_shapes_are_refused() {
    let error = decode("netbox.jobs.run", &[]).expect_err("another function");
    assert_eq!(error.to_string(), "the job calls netbox.jobs.run, not a webhook function of NetBox");
    for shape in [&b"N."[..], b").", b"(K\x01N)}t.", b"]."] {
        assert!(matches!(WebhookJob::decode(&packed(shape)), Err(JobError::Wrong { field: "job", .. })), "{shape:?}");
    }
    let positional = [b"(", &*text(SEND), b"NK\x01\x85}t."].concat();
    assert!(matches!(WebhookJob::decode(&packed(&positional)), Err(JobError::Wrong { field: "args", .. })));
}
