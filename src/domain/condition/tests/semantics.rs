//! What definitions make of events.

use serde_json::{Value, json};

use super::super::{Conditions, Subject};
use super::{site, word};

#[test]
fn operators_hold_as_in_python() {
    let table = [
        (json!({"attr": "status.value", "value": "active"}), "match"),
        (json!({"attr": "status.value", "value": "planned"}), "no match"),
        (json!({"attr": "status.value", "value": "planned", "negate": true}), "match"),
        (json!({"attr": "status", "value": null, "negate": true}), "match"),
        (json!({"attr": "tenant", "value": null}), "match"),
        (json!({"attr": "id", "value": 7.0}), "match"),
        (json!({"attr": "custom_fields.audited", "value": 1}), "match"),
        (json!({"attr": "custom_fields.audited", "op": "gt", "value": 0.5}), "match"),
        (json!({"attr": "id", "op": "gt", "value": 7}), "no match"),
        (json!({"attr": "id", "op": "gte", "value": 7}), "match"),
        (json!({"attr": "latitude", "op": "lt", "value": 53}), "match"),
        (json!({"attr": "latitude", "op": "lte", "value": 52.51}), "no match"),
        (json!({"attr": "name", "op": "gt", "value": 1}), "invalid"),
        (json!({"attr": "tenant", "op": "gt", "value": 1}), "invalid"),
        (json!({"attr": "status.value", "op": "in", "value": ["planned", "active"]}), "match"),
        (json!({"attr": "status", "op": "in", "value": ["planned", "active"]}), "no match"),
        (json!({"attr": "name", "op": "contains", "value": "erl"}), "match"),
        (json!({"attr": "name", "op": "contains", "value": ""}), "match"),
        (json!({"attr": "name", "op": "contains", "value": 1}), "invalid"),
        (json!({"attr": "status", "op": "contains", "value": "label"}), "match"),
        (json!({"attr": "status", "op": "contains", "value": 1}), "no match"),
        (json!({"attr": "status", "op": "contains", "value": []}), "invalid"),
        (json!({"attr": "id", "op": "contains", "value": 7}), "invalid"),
        (json!({"attr": "name", "op": "regex", "value": "Ber"}), "match"),
        (json!({"attr": "name", "op": "regex", "value": "erl"}), "no match"),
        (json!({"attr": "name", "op": "regex", "value": "Berlin$"}), "match"),
        (json!({"attr": "id", "op": "regex", "value": "7"}), "invalid"),
        (json!({"attr": "custom_fields.audited", "value": true, "negate": "no"}), "no match"),
    ];
    for (definition, expected) in table {
        assert_eq!(word(&definition, &site(), &Value::Null), expected, "{definition}");
    }
}

#[test]
fn a_path_through_a_list_leads_to_the_list_of_its_elements_values() {
    let table = [
        (json!({"attr": "tags.slug", "op": "contains", "value": "core"}), "match"),
        (json!({"attr": "tags.slug", "op": "contains", "value": "cor"}), "no match"),
        (json!({"attr": "tags.slug", "value": ["prod", "core"]}), "match"),
        (json!({"attr": "tags.slug", "op": "in", "value": ["prod", ["prod", "core"]]}), "match"),
        (json!({"attr": "tags.slug", "op": "regex", "value": "p"}), "invalid"),
        (json!({"attr": "tags.color", "value": []}), "invalid"),
        (json!({"attr": "tags.slug.x", "value": []}), "invalid"),
        (json!({"attr": "asns.asn.name", "op": "contains", "value": 1}), "no match"),
        (json!({"attr": "asns.asn", "value": []}), "match"),
    ];
    for (definition, expected) in table {
        assert_eq!(word(&definition, &site(), &Value::Null), expected, "{definition}");
    }
}

#[test]
fn a_path_that_leads_nowhere_makes_the_whole_definition_no_match() {
    for attr in ["tenant.slug", "missing", "status.value.x", "custom_fields.note.x", "id.x", "", "status."] {
        for negate in [false, true] {
            let definition = json!({"attr": attr, "value": "x", "negate": negate});
            assert_eq!(word(&definition, &site(), &Value::Null), "invalid", "{definition}");
        }
    }
}

#[test]
fn sets_stop_at_the_member_that_decides() {
    let yes = json!({"attr": "id", "value": 7});
    let no = json!({"attr": "id", "value": 8});
    let broken = json!({"attr": "tenant.slug", "value": "acme"});
    let table = [
        (json!({"and": []}), "match"),
        (json!({"or": []}), "no match"),
        (json!({"and": [yes, yes]}), "match"),
        (json!({"and": [yes, no]}), "no match"),
        (json!({"or": [no, yes]}), "match"),
        (json!({"or": [no, no]}), "no match"),
        (json!({"or": [yes, broken]}), "match"),
        (json!({"or": [broken, yes]}), "invalid"),
        (json!({"and": [no, broken]}), "no match"),
        (json!({"and": [broken, no]}), "invalid"),
        (json!({"or": [{"and": [no, broken]}, {"or": [no, yes]}]}), "match"),
    ];
    for (definition, expected) in table {
        assert_eq!(word(&definition, &site(), &Value::Null), expected, "{definition}");
    }
}

#[test]
fn integers_are_compared_exactly() {
    let data = json!({"large": 9_007_199_254_740_993_i64, "double": 9_007_199_254_740_992.0, "most": u64::MAX});
    let table = [
        (json!({"attr": "large", "value": 9_007_199_254_740_992_i64}), "no match"),
        (json!({"attr": "large", "value": 9_007_199_254_740_992.0}), "no match"),
        (json!({"attr": "large", "op": "gt", "value": 9_007_199_254_740_992.0}), "match"),
        (json!({"attr": "double", "value": 9_007_199_254_740_992_i64}), "match"),
        (json!({"attr": "double", "op": "lt", "value": 9_007_199_254_740_993_i64}), "match"),
        (json!({"attr": "most", "value": u64::MAX}), "match"),
        (json!({"attr": "most", "op": "gt", "value": u64::MAX - 1}), "match"),
        (json!({"attr": "most", "op": "gt", "value": 1.844_674_407_370_955e19}), "match"),
    ];
    for (definition, expected) in table {
        assert_eq!(word(&definition, &data, &Value::Null), expected, "{definition}");
    }
    let beyond: Value = serde_json::from_str(r#"{"a": 18446744073709551617}"#).expect("valid JSON");
    assert_eq!(word(&json!({"attr": "a", "op": "gt", "value": u64::MAX}), &beyond, &Value::Null), "match");
    assert_eq!(word(&json!({"attr": "a", "value": u64::MAX}), &beyond, &Value::Null), "no match");
}

#[test]
fn changes_are_seen_in_the_snapshots() {
    let changed = json!({"prechange": {"status": "planned", "vid": 1}, "postchange": {"status": "active", "vid": 1.0}});
    let created = json!({"prechange": null, "postchange": {"status": "active", "tags": []}});
    let deleted = json!({"prechange": {"status": "active"}, "postchange": null});
    let reshaped = json!({"prechange": {"a": "x"}, "postchange": {"a": {"b": 1}}});
    let neither = json!({"prechange": null, "postchange": null});
    let table = [
        ("status", "changed", &changed, "match"),
        ("status", "unchanged", &changed, "no match"),
        ("vid", "changed", &changed, "no match"),
        ("vid", "unchanged", &changed, "match"),
        ("status", "changed", &created, "match"),
        ("status", "unchanged", &deleted, "no match"),
        ("status.value", "changed", &changed, "invalid"),
        ("misspelt", "unchanged", &changed, "invalid"),
        ("tags.slug", "changed", &created, "invalid"),
        ("a.b", "changed", &reshaped, "match"),
        ("status", "changed", &neither, "invalid"),
        ("status", "changed", &Value::Null, "invalid"),
    ];
    for (attr, operator, snapshots, expected) in table {
        let definition = json!({"attr": attr, "op": operator});
        assert_eq!(word(&definition, &site(), snapshots), expected, "{definition} on {snapshots}");
        let negated = match expected {
            "match" => "no match",
            "no match" => "match",
            other => other,
        };
        let definition = json!({"attr": attr, "op": operator, "negate": true});
        assert_eq!(word(&definition, &site(), snapshots), negated, "{definition} on {snapshots}");
    }
}

#[test]
fn a_snapshot_that_cannot_exist_reads_null_where_the_path_makes_sense() {
    let created = json!({"prechange": null, "postchange": {"status": "active"}});
    let table = [
        (json!({"attr": "snapshots.postchange.status", "value": "active"}), "match"),
        (json!({"attr": "snapshots.prechange.status", "value": null}), "match"),
        (json!({"attr": "snapshots.prechange.status", "value": "planned"}), "no match"),
        (json!({"attr": "snapshots.prechange.status", "value": "planned", "negate": true}), "match"),
        (json!({"attr": "snapshots.prechange.status", "op": "gt", "value": 1}), "no match"),
        (json!({"attr": "snapshots.prechange.status", "op": "regex", "value": "a", "negate": true}), "match"),
        (json!({"attr": "snapshots.prechange.status", "op": "in", "value": [null]}), "match"),
        (json!({"attr": "snapshots.prechange", "value": null}), "match"),
        (json!({"attr": "snapshots.prechange.", "value": null}), "match"),
        (json!({"attr": "snapshots.prechange.status.value", "value": null}), "invalid"),
        (json!({"attr": "snapshots.prechange.misspelt", "value": null}), "invalid"),
        (json!({"attr": "snapshots.elsewhere.status", "value": null}), "invalid"),
        (json!({"attr": "snapshots", "value": null, "negate": true}), "match"),
    ];
    for (definition, expected) in table {
        assert_eq!(word(&definition, &site(), &created), expected, "{definition}");
    }
    let neither = json!({"prechange": null, "postchange": null});
    let anything = json!({"attr": "snapshots.prechange.misspelt", "value": null});
    assert_eq!(word(&anything, &site(), &neither), "match");
    assert_eq!(word(&anything, &site(), &Value::Null), "invalid");
}

#[test]
fn an_event_without_data_matches_nothing_even_negated() {
    let snapshots = json!({"prechange": {"a": 1}, "postchange": {"a": 2}});
    for data in [Value::Null, json!([]), json!("text"), json!(1)] {
        assert_eq!(word(&json!({"attr": "a", "value": 1}), &data, &snapshots), "no match");
        assert_eq!(word(&json!({"attr": "a.b", "value": 1, "negate": true}), &data, &snapshots), "no match");
        assert_eq!(word(&json!({"attr": "snapshots.prechange.a", "value": 1}), &data, &snapshots), "match");
        assert_eq!(word(&json!({"attr": "a", "op": "changed"}), &data, &snapshots), "match");
    }
}

#[test]
fn the_events_snapshots_hide_a_key_of_that_name_in_the_data() {
    let data = json!({"snapshots": {"prechange": {"a": 1}}});
    let definition = json!({"attr": "snapshots.prechange.a", "value": 1});
    let conditions = Conditions::parse(&definition).expect("valid");
    assert!(!conditions.matches(&Subject::new(&data, None)));
    assert_eq!(word(&definition, &data, &json!({"prechange": {"a": 1}, "postchange": null})), "match");
}
