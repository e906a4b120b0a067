//! What is said about an event that does not match.

use serde_json::{Value, json};

use super::super::{Actual, MAX_EXCERPT, MAX_UNMET, Operator, Reason, Subject, Verdict};
use super::{parse, site};

fn said(definition: &Value, snapshots: &Value) -> String {
    parse(definition).verdict(&Subject::new(&site(), Some(snapshots))).to_string()
}

#[test]
fn a_verdict_explains_itself() {
    let updated = json!({"prechange": {"status": "planned"}, "postchange": {"status": "active", "vid": 1}});
    let created = json!({"prechange": null, "postchange": {"status": "active"}});
    let no = json!({"attr": "status.value", "value": "planned"});
    let table = [
        (json!({}), &updated, "the conditions hold"),
        (no.clone(), &updated, "status.value is \"active\", not equal to \"planned\""),
        (
            json!({"and": [{"or": [no, {"attr": "id", "op": "gt", "value": 10}]}]}),
            &updated,
            "and[0].or[0]: status.value is \"active\", not equal to \"planned\"; \
             and[0].or[1]: id is 7, not greater than 10",
        ),
        (
            json!({"attr": "tags.slug", "op": "contains", "value": "prod", "negate": true}),
            &updated,
            "tags.slug is [\"prod\",\"core\"], containing \"prod\", but the condition is negated",
        ),
        (
            json!({"attr": "name", "op": "regex", "value": "^P"}),
            &updated,
            "name is \"Berlin\", not matched at its start by \"^P\"",
        ),
        (
            json!({"attr": "status", "op": "unchanged"}),
            &updated,
            "status was \"planned\" and is \"active\", not unchanged",
        ),
        (
            json!({"attr": "vid", "op": "changed", "negate": true}),
            &updated,
            "vid was absent and is 1, changed, but the condition is negated",
        ),
        (
            json!({"attr": "snapshots.prechange.status", "value": "planned"}),
            &created,
            "snapshots.prechange.status is null, as there is no such snapshot, not equal to \"planned\"",
        ),
        (json!({"and": [{"or": []}]}), &updated, "and[0].or: no alternative is given"),
        (
            json!({"or": [{"attr": "tenant.slug", "value": "acme"}]}),
            &updated,
            "or[0]: tenant.slug cannot be read: `slug` is missing, or what should hold it is null",
        ),
        (
            json!({"attr": "name.value", "value": "acme"}),
            &updated,
            "name.value cannot be read: `value` is looked for in a string",
        ),
        (json!({"attr": "name", "op": "gt", "value": 1}), &updated, "name is a string, which `gt` cannot evaluate"),
        (
            json!({"attr": "status", "op": "changed"}),
            &Value::Null,
            "status cannot be compared: the event has no snapshots",
        ),
    ];
    for (definition, snapshots, expected) in table {
        assert_eq!(said(&definition, snapshots), expected);
    }
}

#[test]
fn an_event_without_data_is_explained() {
    let verdict = parse(&json!({"attr": "a.b", "value": 1})).verdict(&Subject::new(&Value::Null, None));
    assert_eq!(verdict.to_string(), "a.b cannot match, the event carries no data");
}

#[test]
fn the_parts_of_a_reason_can_be_had_apart() {
    let conditions = parse(&json!({"and": [{"attr": "id", "op": "lt", "value": 5}]}));
    let Verdict::NoMatch(unmet) = conditions.verdict(&Subject::new(&site(), None)) else {
        panic!("7 is not less than 5");
    };
    let [only] = unmet.as_slice() else { panic!("one condition does not hold: {unmet:?}") };
    let Reason::Compared(compared) = &only.reason else { panic!("a comparison was made: {only:?}") };
    assert_eq!((only.place.as_str(), compared.attr.as_str(), compared.operator), ("and[0]", "id", Operator::Lt));
    assert_eq!((compared.expected.as_deref(), &compared.actual), (Some("5"), &Actual::Value("7".to_owned())));
}

#[test]
fn what_is_shown_of_values_is_bounded() {
    let long = "ä".repeat(100_000);
    let data = json!({"a": long, "list": vec![json!({"b": long}); 3], &long: 1});
    for definition in [
        json!({"attr": "a", "value": "b".repeat(10_000)}),
        json!({"attr": "list.b", "value": vec![1; 5_000]}),
        json!({"attr": "a", "op": "in", "value": vec!["b"; 5_000]}),
        json!({"attr": "ä".repeat(500), "value": 1}),
    ] {
        let verdict = parse(&definition).verdict(&Subject::new(&data, None));
        assert!(!verdict.is_match());
        let said = verdict.to_string();
        assert!(said.len() < 2 * MAX_EXCERPT + 200, "{said}");
        assert!(said.contains('…'), "{said}");
    }
}

#[test]
fn a_verdict_names_a_bounded_number_of_conditions() {
    let conditions = parse(&json!({"or": vec![json!({"attr": "id", "value": 8}); MAX_UNMET + 1]}));
    let Verdict::NoMatch(unmet) = conditions.verdict(&Subject::new(&site(), None)) else {
        panic!("7 is not 8");
    };
    assert_eq!(unmet.len(), MAX_UNMET);
}

#[test]
fn alternatives_that_failed_are_forgotten_when_another_held() {
    let no = json!({"attr": "id", "value": 8});
    let yes = json!({"attr": "id", "value": 7});
    assert_eq!(said(&json!({"and": [{"or": [no, yes]}, no]}), &Value::Null), "and[1]: id is 7, not equal to 8");
}
