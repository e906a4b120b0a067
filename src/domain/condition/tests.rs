mod definitions;
mod properties;
mod reasons;
mod semantics;

use serde_json::{Value, json};

use super::{Conditions, Subject, Verdict};

fn parse(definition: &Value) -> Conditions {
    Conditions::parse(definition).unwrap_or_else(|error| panic!("{definition} is valid: {error}"))
}

/// The verdict in one word, the same from both ways of asking.
fn word(definition: &Value, data: &Value, snapshots: &Value) -> &'static str {
    let conditions = parse(definition);
    let subject = Subject::new(data, Some(snapshots));
    let verdict = conditions.verdict(&subject);
    assert_eq!(conditions.matches(&subject), verdict.is_match(), "{definition} on {data}");
    match verdict {
        Verdict::Match => "match",
        Verdict::NoMatch(_) => "no match",
        Verdict::Invalid(_) => "invalid",
    }
}

/// A site as NetBox describes it.
fn site() -> Value {
    json!({
        "id": 7,
        "name": "Berlin",
        "status": {"value": "active", "label": "Active"},
        "tenant": null,
        "tags": [{"id": 1, "slug": "prod"}, {"id": 2, "slug": "core"}],
        "asns": [],
        "latitude": 52.52,
        "custom_fields": {"rack_units": 42, "audited": true, "note": null},
    })
}
