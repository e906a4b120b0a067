//! Holds the condition language against a second implementation, in Python: the language NetBox evaluates it in.
//!
//! Thousands of generated definitions, events and patterns go through one `python3` process; every verdict must be the
//! same, down to "cannot be evaluated" and "not a valid definition".

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use netbox_webhookd::domain::condition::{Conditions, Subject, Verdict};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};

use crate::python::python;

const EVENTS: usize = 20_000;
const PATTERNS: usize = 20_000;

/// Becomes an integer that 64 bits cannot hold, which a `Value` cannot carry.
const BEYOND: [(&str, &str); 3] = [
    ("\"@above\"", "18446744073709551617"),
    ("\"@far above\"", "123456789012345678901234567890"),
    ("\"@below\"", "-9223372036854775809"),
];

#[test]
fn every_verdict_is_the_one_of_the_python_implementation() {
    let cases = sample(&event_case(), EVENTS);
    let answers = ask_python(&cases);
    let mut seen = std::collections::BTreeMap::new();
    for (case, expected) in cases.iter().zip(&answers) {
        let read: Value = serde_json::from_str(case).expect("a generated case is JSON");
        let ours = verdict(&read);
        assert_eq!(ours, expected, "{case}");
        *seen.entry(ours).or_insert(0) += 1;
    }
    for word in ["match", "no_match", "invalid", "refused"] {
        let times = seen.get(word).copied().unwrap_or(0);
        assert!(times > EVENTS / 50, "the cases hardly ever end as {word}: {seen:?}");
    }
}

#[test]
fn every_pattern_matches_what_python_matches_or_is_refused_as_unsupported() {
    let cases: Vec<String> = sample(&pattern_case(), PATTERNS);
    let answers = ask_python(&cases);
    let (mut compared, mut unsupported) = (0, 0);
    for (case, expected) in cases.iter().zip(&answers) {
        let read: Value = serde_json::from_str(case).expect("a generated case is JSON");
        let definition = json!({"attr": "text", "op": "regex", "value": read["pattern"]});
        if expected == "crash" {
            continue;
        }
        let ours = match Conditions::parse(&definition) {
            Err(error) if expected != "refused" => {
                assert!(error.problem().contains("not supported"), "{error} for {case}, which Python takes");
                unsupported += 1;
                continue;
            }
            Err(_) => "refused",
            Ok(conditions) => word(&conditions.verdict(&Subject::new(&read, None))),
        };
        assert_eq!(ours, expected, "{case}");
        compared += usize::from(ours != "refused");
    }
    assert!(compared > PATTERNS / 2, "only {compared} patterns were matched");
    assert!(unsupported < PATTERNS / 5, "{unsupported} patterns that Python takes were refused");
}

#[test]
fn letters_have_the_cases_they_have_in_python() {
    let letters = ('a'..='z').chain('\u{80}'..='\u{24F}').chain('\u{370}'..='\u{52F}').chain('\u{1C80}'..='\u{1C88}');
    let more = ('\u{1E00}'..='\u{1FFF}').chain("\u{2126}\u{212A}\u{212B}\u{A64A}\u{A64B}\u{FB05}\u{FB06}".chars());
    // U+019B got its upper case in Unicode 16, which Python has since 3.14.
    let letters: Vec<char> = letters.chain(more).filter(|letter| *letter != '\u{19B}').collect();
    let mut cases = Vec::new();
    for letter in &letters {
        for flags in ["(?i)", "(?ia)"] {
            for other in neighbours(*letter) {
                cases.push(json!({"pattern": format!("{flags}{letter}"), "text": other}).to_string());
            }
        }
    }
    for (case, expected) in cases.iter().zip(ask_python(&cases)) {
        let read: Value = serde_json::from_str(case).expect("a generated case is JSON");
        let definition = json!({"attr": "text", "op": "regex", "value": read["pattern"]});
        if let Ok(conditions) = Conditions::parse(&definition) {
            assert_eq!(word(&conditions.verdict(&Subject::new(&read, None))), expected, "{case}");
        }
    }
}

/// Letters that could be taken for another case of `letter`.
fn neighbours(letter: char) -> Vec<String> {
    let mut all: Vec<char> = letter.to_lowercase().chain(letter.to_uppercase()).collect();
    let more: Vec<char> = all.iter().flat_map(|c| c.to_uppercase().chain(c.to_lowercase())).collect();
    all.extend(more);
    all.extend("iıİIsſSkKKßẞåÅÅµμΜωΩςσΣθϑϴвᲀ".chars());
    all.sort_unstable();
    all.dedup();
    all.into_iter().map(String::from).collect()
}

fn verdict(case: &Value) -> &'static str {
    match Conditions::parse(&case["definition"]) {
        Err(_) => "refused",
        Ok(conditions) => {
            let subject = Subject::new(&case["data"], Some(&case["snapshots"]));
            let verdict = conditions.verdict(&subject);
            assert_eq!(conditions.matches(&subject), verdict.is_match(), "{case}");
            word(&verdict)
        }
    }
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Match => "match",
        Verdict::NoMatch(_) => "no_match",
        Verdict::Invalid(_) => "invalid",
    }
}

/// Returns Python's answer to each case.
fn ask_python(cases: &[String]) -> Vec<String> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/netbox/conditions_reference.py");
    let mut python = Command::new(python())
        .arg(script)
        .env("PYTHONIOENCODING", "utf-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed for this test");
    let mut input = python.stdin.take().expect("stdin is piped");
    let lines = cases.join("\n");
    // Written beside reading: neither pipe holds all of it.
    let writer = std::thread::spawn(move || input.write_all(lines.as_bytes()));
    let output = python.wait_with_output().expect("python3 ends");
    writer.join().expect("the writer does not panic").expect("python3 reads all cases");
    assert!(output.status.success(), "the reference failed");
    let answers: Vec<String> =
        String::from_utf8(output.stdout).expect("answers are words").lines().map(str::to_owned).collect();
    assert_eq!(answers.len(), cases.len(), "every case is answered");
    answers
}

/// The same cases in every run.
fn sample(strategy: &impl Strategy<Value = Value>, count: usize) -> Vec<String> {
    let mut runner = TestRunner::deterministic();
    let one = |_| {
        let case = strategy.new_tree(&mut runner).expect("the strategies reject nothing").current();
        BEYOND.iter().fold(case.to_string(), |text, (mark, number)| text.replace(mark, number))
    };
    (0..count).map(one).collect()
}

fn event_case() -> impl Strategy<Value = Value> {
    let data = prop_oneof![12 => object(), 1 => value()];
    (definition(), data, snapshots()).prop_map(
        |(definition, data, snapshots)| json!({"definition": definition, "data": data, "snapshots": snapshots}),
    )
}

fn key() -> impl Strategy<Value = &'static str> {
    prop_oneof![6 => Just("a"), 4 => Just("b"), 2 => Just("c"), 1 => Just(""), 1 => Just("snapshots")]
}

fn number() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!(0),
        json!(1),
        json!(1.0),
        json!(-1),
        json!(2),
        json!(1.5),
        json!(-0.0),
        json!(9_007_199_254_740_993_i64),
        json!(9_007_199_254_740_992.0),
        json!(i64::MAX),
        json!(9_223_372_036_854_775_808.0),
        json!(u64::MAX),
    ])
}

fn text() -> impl Strategy<Value = Value> {
    prop::sample::select(vec!["", "a", "b", "ab", "abc", "active", "snapshots", "é", "1"]).prop_map(Value::from)
}

fn scalar() -> impl Strategy<Value = Value> {
    prop_oneof![
        2 => Just(Value::Null),
        2 => any::<bool>().prop_map(Value::from),
        5 => number(),
        5 => text(),
    ]
}

/// What an event may carry, integers that only Python holds exactly included.
fn value() -> impl Strategy<Value = Value> {
    let beyond = prop::sample::select(vec!["@above", "@far above", "@below"]);
    let leaf = prop_oneof![8 => scalar(), 1 => beyond.prop_map(Value::from)];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            1 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            2 => members(inner.clone()),
            1 => prop::collection::vec(members(inner), 0..3).prop_map(Value::from),
        ]
    })
}

fn members(inner: impl Strategy<Value = Value> + Clone + 'static) -> impl Strategy<Value = Value> + Clone {
    let pairs = prop_oneof![1 => Just(0_usize), 5 => 1_usize..4].prop_flat_map(move |size| {
        prop::collection::vec((prop::sample::select(vec!["a", "a", "b", "b", "c", ""]), inner.clone()), size)
    });
    let pairs = pairs.prop_map(|pairs| pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect());
    pairs.boxed().prop_map(Value::Object)
}

fn object() -> impl Strategy<Value = Value> {
    (members(value().boxed()), any::<bool>(), value()).prop_map(|(mut object, hidden, value)| {
        if hidden && let Some(members) = object.as_object_mut() {
            members.insert("snapshots".to_owned(), value);
        }
        object
    })
}

/// Both sides of a change are often alike.
fn snapshots() -> impl Strategy<Value = Value> {
    let side = || prop_oneof![2 => Just(Value::Null), 8 => object(), 1 => exact_value()];
    let sides = (side(), side(), 0..6).prop_map(|(before, after, kind)| match kind {
        0 => json!({"prechange": before}),
        1 => json!({"postchange": after}),
        2 | 3 => json!({"prechange": before, "postchange": before}),
        _ => json!({"prechange": before, "postchange": after}),
    });
    // Integers beyond 64 bits are rounded, which `changed` may see; that difference is documented.
    let exact = sides.prop_map(|sides| serde_json::from_str(&sides.to_string().replace('@', "")).unwrap_or_default());
    prop_oneof![12 => exact, 1 => Just(Value::Null), 1 => Just(json!({})), 1 => exact_value()]
}

fn exact_value() -> impl Strategy<Value = Value> {
    value().prop_map(|value| serde_json::from_str(&value.to_string().replace('@', "")).unwrap_or_default())
}

fn path() -> impl Strategy<Value = String> {
    let keys = prop::collection::vec(key(), 1..4).prop_map(|keys| keys.join("."));
    let side = prop::sample::select(vec!["prechange", "postchange", "elsewhere"]);
    let snapshot = (side, prop::option::of(prop::collection::vec(key(), 1..3))).prop_map(|(side, rest)| match rest {
        Some(rest) => format!("snapshots.{side}.{}", rest.join(".")),
        None => format!("snapshots.{side}"),
    });
    prop_oneof![3 => keys, 1 => snapshot]
}

fn expected_value() -> impl Strategy<Value = Value> {
    let exact = scalar().prop_filter("within 64 bits", |value| value.as_f64().is_none_or(|n| n.abs() < 1.9e19));
    exact.prop_recursive(2, 8, 4, |inner| {
        prop_oneof![
            5 => prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            1 => members(inner),
        ]
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let patterns = prop::sample::select(vec!["a", "^a$", "[ab]+$", "", "(?i)A", "b", r"\w\d?\Z", "é", "(", "a**"]);
    let fitting = prop_oneof![
        4 => expected_value().prop_map(|value| ("eq", Some(value))),
        3 => (prop::sample::select(vec!["gt", "gte", "lt", "lte"]), number().prop_map(Some)),
        2 => prop::collection::vec(expected_value(), 0..5).prop_map(|list| ("in", Some(Value::from(list)))),
        3 => scalar().prop_map(|value| ("contains", Some(value))),
        2 => patterns.prop_map(|pattern| ("regex", Some(Value::from(pattern)))),
        3 => prop::sample::select(vec!["changed", "unchanged"]).prop_map(|operator| (operator, None)),
    ];
    let any_operator = prop::sample::select(vec![
        "eq",
        "gt",
        "gte",
        "lt",
        "lte",
        "in",
        "contains",
        "regex",
        "changed",
        "unchanged",
        "EQ",
        "ne",
    ]);
    let careless = (any_operator, prop::option::of(expected_value()));
    let negate = prop_oneof![3 => Just(None), 3 => Just(Some(json!(true))), 1 => scalar().prop_map(Some)];
    (path(), prop_oneof![25 => fitting, 1 => careless], negate, any::<bool>()).prop_map(
        |(path, (operator, value), negate, spelled)| {
            let mut rule = json!({"attr": path});
            if spelled || operator != "eq" {
                rule["op"] = json!(operator);
            }
            if let Some(value) = value {
                rule["value"] = value;
            }
            if let Some(negate) = negate {
                rule["negate"] = negate;
            }
            rule
        },
    )
}

fn definition() -> impl Strategy<Value = Value> {
    let broken = prop::sample::select(vec![
        json!({"foo": "status.value", "value": "active"}),
        json!({"attr": 1, "value": 1}),
        json!({"attr": "a"}),
        json!({"AND": []}),
        json!({"not": []}),
        json!({"and": [], "or": []}),
        json!("a"),
        json!(["a"]),
        json!({"attr": "a", "value": 1, "op": null}),
    ]);
    let leaf = prop_oneof![40 => condition(), 1 => broken];
    let sets = leaf.prop_recursive(3, 8, 3, |inner| {
        let rules = prop::collection::vec(inner, 0..4);
        (any::<bool>(), rules).prop_map(|(all, rules)| if all { json!({"and": rules}) } else { json!({"or": rules}) })
    });
    let nothing = prop::sample::select(vec![Value::Null, json!({}), json!([])]);
    prop_oneof![60 => sets, 1 => nothing]
}

fn pattern_case() -> impl Strategy<Value = Value> {
    let flags = prop::sample::select(vec![
        "", "", "", "", "", "(?i)", "(?m)", "(?s)", "(?a)", "(?x)", "(?im)", "(?ia)", "(?s)(?m)", "(?au)", "(?-i)",
    ]);
    (flags, pattern(), subject_text())
        .prop_map(|(flags, pattern, text)| json!({"pattern": format!("{flags}{pattern}"), "text": text}))
}

fn subject_text() -> impl Strategy<Value = String> {
    let letters =
        prop::sample::select("aaaabbbbcAB1_ -\n\n\té²ßẞİıſkK\u{1c}\u{301}٣#{}".chars().collect::<Vec<char>>());
    prop::collection::vec(letters, 0..9).prop_map(String::from_iter)
}

fn pattern() -> impl Strategy<Value = String> {
    let atoms = prop::sample::select(vec![
        "a",
        "a",
        "a",
        "b",
        "b",
        "c",
        ".",
        ".",
        r"\w",
        r"\W",
        r"\d",
        r"\D",
        r"\s",
        r"\S",
        "[ab]",
        "[^a]",
        r"[a-c\d]",
        r"[^\w-]",
        r"[\]\-^]",
        "[]a]",
        "[^]a]",
        "[a-]",
        r"[\b\n]",
        "[[a]",
        "[a&&b]",
        "[a--b]",
        r"[^\W\d]",
        r"[\s\S]",
        "^",
        "$",
        "$",
        r"\b",
        r"\b",
        r"\B",
        r"\Z",
        r"\A",
        r"\z",
        r"\1",
        r"\2",
        r"(?P=n)",
        "é",
        "ß",
        "İ",
        "ı",
        "ſ",
        "K",
        "k",
        "i",
        r"\n",
        r"\x61",
        r"\u00e9",
        r"\141",
        r"\0",
        r"\_",
        r"\-",
        r"\h",
        r"\p",
        "{",
        "}",
        "]",
        "#",
        " ",
        "(?#c)",
        "a{,2}",
        "a{2}",
        "a{1,}",
        "a{}",
        "a{x}",
        "a{,}",
        "{2}",
        "(?<=a)",
        "(?<!a)",
        "(?<=a|bc)",
        "(?<=[ab]c)",
        "(?<!^a)",
        "(?<=a*)",
        r"\t",
        "-",
        "_",
        "1",
        "[b-a]",
        r"[\d-z]",
        "[é-ï]",
        "[K-k]",
        "[^k]",
        r"\400",
    ]);
    atoms.prop_map(str::to_owned).prop_recursive(5, 24, 4, |inner| {
        let times = prop::sample::select(vec![
            "*", "*", "+", "+", "?", "*?", "+?", "??", "*+", "++", "?+", "{2}", "{1,2}", "{2,}", "{0}", "{2}?",
            "{1,2}+", "{2}{2}", "**",
        ]);
        let open = prop::sample::select(vec![
            "(", "(", "(", "(?:", "(?:", "(?=", "(?!", "(?>", "(?P<n>", "(?i:", "(?-i:", "(?m:", "(?s:", "(?x:",
            "(?a:", "(?<=", "(?<!", "(?i-s:", "(?<n>",
        ]);
        prop_oneof![
            6 => prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            2 => (inner.clone(), inner.clone()).prop_map(|(one, other)| format!("{one}|{other}")),
            4 => (open, inner.clone()).prop_map(|(open, body)| format!("{open}{body})")),
            4 => (inner.clone(), times).prop_map(|(body, times)| format!("{body}{times}")),
            3 => (inner, times_of_groups()).prop_map(|(body, times)| format!("({body}){times}")),
        ]
    })
}

fn times_of_groups() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["*", "+", "?", "{2}", "{1,3}", "*?", "*+", r"\1", r"?\1", r"|b\1", r".*\1"])
}
