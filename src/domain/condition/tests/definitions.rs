//! What is accepted as a definition, and what is said about the rest.

use serde_json::{Value, json};

use super::super::{Conditions, MAX_ATTR, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUE_PARTS, Subject};
use super::parse;

fn refusal(definition: &Value) -> String {
    match Conditions::parse(definition) {
        Ok(_) => panic!("{definition} is accepted"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn nothing_at_all_matches_everything() {
    for definition in [json!(null), json!({}), json!([])] {
        let conditions = parse(&definition);
        assert!(conditions.is_empty());
        assert!(conditions.matches(&Subject::new(&json!({}), None)));
    }
    assert!(!parse(&json!({"or": []})).is_empty());
}

#[test]
fn a_refusal_says_where_what_and_what_instead() {
    let table = [
        (json!("and"), "an object is needed, not a string: allowed are"),
        (json!({"and": [1]}), "and[0]: an object is needed, not a number"),
        (json!({"and": {}}), "and: a list of conditions is needed, not an object"),
        (json!({"AND": []}), "AND: unknown key: allowed are one key `and` or `or`"),
        (json!({"not": []}), "not: unknown key"),
        (json!({"and": [], "or": []}), "and: unknown key"),
        (json!({"attr": "a"}), "`value` is missing, `eq` needs one"),
        (json!({"value": "a"}), "`attr` is missing"),
        (json!({"attr": 1, "value": 1}), "attr: a string is needed, not a number"),
        (json!({"attr": "a", "value": 1, "operator": "gt"}), "operator: unknown key"),
        (json!({"or": [{"attr": "a", "value": 1, "op": "ne"}]}), "or[0].op: \"ne\" is no operator; allowed are eq, gt"),
        (json!({"attr": "a", "value": 1, "op": null}), "op: null is no operator"),
        (json!({"attr": "a", "value": {}}), "value: an object cannot be compared with"),
        (json!({"attr": "a", "value": "1", "op": "gt"}), "value: `gt` takes a number, not a string"),
        (json!({"attr": "a", "value": true, "op": "lte"}), "value: `lte` takes a number, not a boolean"),
        (json!({"attr": "a", "value": "a", "op": "in"}), "value: `in` takes a list, not a string"),
        (json!({"attr": "a", "value": null, "op": "contains"}), "value: `contains` takes a string, boolean, number"),
        (json!({"attr": "a", "value": 1, "op": "regex"}), "value: `regex` takes a string, not a number"),
        (
            json!({"attr": "a", "value": 1, "op": "changed"}),
            "value: `changed` compares the snapshots and takes no value",
        ),
        (json!({"attr": "snapshots.prechange.a", "op": "unchanged"}), "attr: `unchanged` looks into both snapshots"),
        (
            json!({"and": [{"or": []}, {"or": [{"attr": "a", "value": "(", "op": "regex"}]}]}),
            "and[1].or[0].value: a group without its `)` (at character 1)",
        ),
        (json!({"attr": "a", "value": [1, [1e30]]}), "value: 1e+30 cannot be compared exactly"),
        (json!({"attr": "a", "value": i64::MIN}), "value: -9223372036854775808 cannot be compared exactly"),
    ];
    for (definition, expected) in table {
        let said = refusal(&definition);
        assert!(said.starts_with(expected), "{said:?} should begin with {expected:?}");
    }
}

#[test]
fn the_place_and_the_problem_can_be_had_apart() {
    let error = Conditions::parse(&json!({"and": [{"attr": 1, "value": 1}]})).expect_err("the path is no string");
    assert_eq!((error.path(), error.problem()), ("and[0].attr", "a string is needed, not a number"));
}

#[test]
fn definitions_are_bounded() {
    let nested = |depth: usize| (0..depth).fold(json!({"attr": "a", "value": 1}), |inner, _| json!({"and": [inner]}));
    parse(&nested(MAX_DEPTH));
    assert!(refusal(&nested(MAX_DEPTH + 1)).ends_with("sets nest at most 32 deep"));

    let many = |count: usize| json!({"or": vec![json!({"attr": "a", "value": 1}); count]});
    parse(&many(MAX_CONDITIONS));
    assert_eq!(refusal(&many(MAX_CONDITIONS + 1)), "or[1000]: a definition has at most 1000 conditions");

    let sets = |count: usize| json!({"and": vec![json!({"and": []}); count]});
    parse(&sets(MAX_CONDITIONS - 1));
    assert_eq!(refusal(&sets(MAX_CONDITIONS)), "and[999].and: a definition has at most 1000 sets");

    parse(&json!({"attr": "a".repeat(MAX_ATTR), "value": 1}));
    assert!(refusal(&json!({"attr": "a".repeat(MAX_ATTR + 1), "value": 1})).starts_with("attr: a path has at most"));

    let list = |count: usize| json!({"attr": "a", "value": vec![1; count]});
    parse(&list(MAX_VALUE_PARTS - 1));
    assert!(refusal(&list(MAX_VALUE_PARTS)).starts_with("value: a value has at most"));

    let deep = |depth: usize| (0..depth).fold(json!([]), |inner, _| json!([inner]));
    parse(&json!({"attr": "a", "value": deep(MAX_DEPTH)}));
    assert!(refusal(&json!({"attr": "a", "value": deep(MAX_DEPTH + 1)})).starts_with("value: a value nests"));

    let heavy = json!({"attr": "a", "op": "regex", "value": r"\w{1,100}"});
    parse(&json!({"or": vec![heavy.clone(); 3]}));
    assert!(refusal(&json!({"or": vec![heavy; 11]})).starts_with("or[10].value: the definition's patterns"));
}

#[test]
fn equal_definitions_are_equal_and_clones_share() {
    fn shared_between_threads<T: Send + Sync + Clone>(_: &T) {}
    let definition = json!({"attr": "a", "op": "regex", "value": "b+"});
    let conditions = parse(&definition);
    shared_between_threads(&conditions);
    assert_eq!(conditions, parse(&definition));
    assert_eq!(conditions.clone(), conditions);
    assert_ne!(conditions, parse(&json!({"attr": "a", "op": "regex", "value": "b"})));
    assert_eq!(conditions.source(), &definition);
}
