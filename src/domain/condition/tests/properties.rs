//! Holds for whatever comes.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::super::{Conditions, MAX_UNMET, Subject, Verdict};

fn json_value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        prop::sample::select(vec!["a", "b", "attr", "value", "op", "and", "or", "regex", "changed", "eq", "a.b"])
            .prop_map(str::to_owned),
        ".{0,12}",
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        let key = prop::sample::select(vec![
            "a",
            "b",
            "attr",
            "value",
            "op",
            "negate",
            "and",
            "or",
            "snapshots",
            "prechange",
            "postchange",
            "",
        ]);
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key, inner), 0..5).prop_map(|pairs| {
                Value::Object(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect::<Map<_, _>>())
            }),
        ]
    })
}

/// Definitions that are mostly valid.
fn definition() -> impl Strategy<Value = Value> {
    let attr = prop::sample::select(vec!["a", "b", "a.b", "a.a", "snapshots.prechange.a", "snapshots.postchange", ""]);
    let operator = prop::sample::select(vec!["eq", "gt", "gte", "lt", "lte", "in", "contains", "regex", "changed"]);
    let rule =
        (attr, operator, json_value(), any::<bool>()).prop_map(|(attr, operator, value, negate)| match operator {
            "changed" => json!({"attr": attr, "op": operator, "negate": negate}),
            _ => json!({"attr": attr, "op": operator, "value": value, "negate": negate}),
        });
    rule.prop_recursive(4, 16, 4, |inner| {
        (any::<bool>(), prop::collection::vec(inner, 0..4))
            .prop_map(|(all, rules)| if all { json!({"and": rules}) } else { json!({"or": rules}) })
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_fast_answer_is_the_explained_one(
        definition in definition(), data in json_value(), snapshots in prop::option::of(json_value())
    ) {
        if let Ok(conditions) = Conditions::parse(&definition) {
            let subject = Subject::new(&data, snapshots.as_ref());
            let verdict = conditions.verdict(&subject);
            prop_assert_eq!(conditions.matches(&subject), verdict == Verdict::Match);
            prop_assert!(!verdict.to_string().is_empty());
            if let Verdict::NoMatch(unmet) = verdict {
                prop_assert!((1..=MAX_UNMET).contains(&unmet.len()), "{:?}", unmet);
            }
        }
    }

    #[test]
    fn any_definition_is_answered(definition in json_value(), data in json_value()) {
        match Conditions::parse(&definition) {
            Ok(conditions) => prop_assert_eq!(
                conditions.matches(&Subject::new(&data, None)),
                conditions.verdict(&Subject::new(&data, None)).is_match()
            ),
            Err(error) => prop_assert!(!error.problem().is_empty()),
        }
    }

    #[test]
    fn any_pattern_is_answered(pattern in r"[\\\[\](){}|?*+.^$:=!<>Pa-cimsx0-9,\-é\n]{0,24}", text in "[a-cé\n]{0,8}") {
        let definition = json!({"attr": "text", "op": "regex", "value": pattern});
        if let Ok(conditions) = Conditions::parse(&definition) {
            let data = json!({"text": text});
            let subject = Subject::new(&data, None);
            prop_assert_eq!(conditions.matches(&subject), conditions.verdict(&subject).is_match());
        }
    }

    #[test]
    fn negation_turns_every_comparison_around(rule in definition(), data in json_value(), before in json_value()) {
        let snapshots = json!({"prechange": before, "postchange": data});
        let mut negated = rule.clone();
        let Some(negate) = rule.get("negate").and_then(Value::as_bool) else { return Ok(()) };
        negated["negate"] = json!(!negate);
        if let (Ok(one), Ok(other)) = (Conditions::parse(&rule), Conditions::parse(&negated)) {
            let subject = Subject::new(&data, Some(&snapshots));
            match one.verdict(&subject) {
                Verdict::Match => prop_assert!(!other.matches(&subject)),
                Verdict::Invalid(fault) => prop_assert_eq!(other.verdict(&subject), Verdict::Invalid(fault)),
                // Without data nothing is compared, so nothing is turned around.
                Verdict::NoMatch(_) => prop_assert!(other.matches(&subject) || !data.is_object()),
            }
        }
    }
}
