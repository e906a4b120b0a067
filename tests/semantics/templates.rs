//! Our templates against Jinja2 itself: the same text for the same template and data, or an error from both.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use netbox_webhookd::render::template::{Context, Template};
use serde_json::{Value, json};

use crate::generator;
use crate::python::python;

const GENERATED: usize = 8_000;
/// Cases that differ to be printed.
const SHOWN: usize = 40;
const DAMAGED: usize = 4_000;
const SEED: u64 = 20_260_823;

type Known = (&'static str, fn(&Case) -> bool);

/// Differences we know of: a name, and whether a case is one. Each is explained in the module's documentation.
const KNOWN: &[Known] = &[
    ("python shows addresses", |case| is_ok_with(case, |text| text.contains(" at 0x") || text.contains(" object>"))),
    ("integers beyond 128 bits, complex numbers", |case| {
        let reasons = ["the number is too large", "the power is not a finite number"];
        matches!(&case.ours, Err(reason) if reasons.iter().any(|known| reason.contains(known)))
    }),
    (
        "names that cannot be used",
        |case| matches!(&case.ours, Err(reason) if reason.contains("cannot be used: letters a to z")),
    ),
    (
        "unknown filters and tests are refused even where they are not reached",
        |case| matches!(&case.ours, Err(reason) if reason.contains("there is no filter") || reason.contains("there is no test")),
    ),
];

fn is_ok_with(case: &Case, holds: fn(&str) -> bool) -> bool {
    case.python.as_deref().is_ok_and(holds)
}

struct Case {
    template: String,
    context: usize,
    python: Result<String, String>,
    ours: Result<String, String>,
}

fn here(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// What Jinja2 answers, for all at once.
fn reference(contexts: &[Value], requests: &[(String, usize)]) -> Vec<Result<String, String>> {
    let mut child = Command::new(python())
        .arg(here("tests/netbox/jinja_reference.py"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the reference starts");
    let mut input = format!("{}\n", json!({ "contexts": contexts }));
    for (template, context) in requests {
        input += &format!("{}\n", json!({ "template": template, "context": context }));
    }
    let mut stdin = child.stdin.take().expect("the reference reads");
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("the reference ends");
    writer.join().expect("the writer ends").expect("the reference reads everything");
    let text = String::from_utf8(output.stdout).expect("the reference writes text");
    let answer = |line: &str| {
        let answer: Value = serde_json::from_str(line).expect("the reference writes JSON");
        match answer["output"].as_str() {
            Some(output) => Ok(output.to_owned()),
            None => Err(answer["error"].as_str().unwrap_or_default().to_owned()),
        }
    };
    let answers: Vec<_> = text.lines().map(answer).collect();
    assert_eq!(answers.len(), requests.len(), "one answer for each template");
    answers
}

fn contexts() -> Vec<Value> {
    let odd: Value = serde_json::from_str(include_str!("../netbox/odd.json")).expect("odd.json is JSON");
    let names = ["dcim.site-updated", "dcim.device-created", "ipam.prefix-updated", "dcim.rack-deleted"];
    let context = |name: &&str| {
        let path = here(&format!("tests/fixtures/netbox/requests/{name}.json"));
        let fixture = std::fs::read_to_string(path).expect("the fixture is there");
        let fixture: Value = serde_json::from_str(&fixture).expect("the fixture is JSON");
        let mut context: Value = serde_json::from_str(fixture["body"].as_str().expect("a body")).expect("a JSON body");
        context["odd"] = odd.clone();
        context
    };
    names.iter().map(context).collect()
}

fn compare(requests: Vec<(String, usize)>) -> Vec<Case> {
    let values = contexts();
    let contexts: Vec<Context> =
        values.iter().map(|value| Context::from_json(&value.to_string()).expect("an object")).collect();
    let answers = reference(&values, &requests);
    let render = |template: &str, context: usize| {
        Template::parse(template)
            .and_then(|template| template.render(&contexts[context]))
            .map_err(|error| error.to_string())
    };
    let case = |((template, context), python): ((String, usize), _)| {
        let ours = render(&template, context);
        Case { template, context, python, ours }
    };
    requests.into_iter().zip(answers).map(case).collect()
}

/// Fails with the cases that differ and are not known to. At least one in `share` must render, or little is compared; 0: any number.
fn check(cases: &[Case], share: usize) {
    let mut wrong = Vec::new();
    let mut counts = vec![0; KNOWN.len()];
    let mut rendered = 0;
    for case in cases {
        match (&case.python, &case.ours) {
            (Ok(python), Ok(ours)) if python == ours => rendered += 1,
            (Err(_), Err(_)) => {}
            _ => match KNOWN.iter().position(|(_, is_known)| is_known(case)) {
                Some(index) => counts[index] += 1,
                None => wrong.push(case),
            },
        }
    }
    println!("{} cases: {rendered} rendered the same, {} differ", cases.len(), wrong.len());
    for ((name, _), count) in KNOWN.iter().zip(&counts) {
        println!("{count} known to differ: {name}");
    }
    for case in wrong.iter().take(SHOWN) {
        println!(
            "--- context {}\n{}\n  Jinja2: {:?}\n  ours:   {:?}",
            case.context, case.template, case.python, case.ours
        );
    }
    assert!(wrong.is_empty(), "{} of {} templates differ", wrong.len(), cases.len());
    assert!(rendered * share >= cases.len() || share == 0, "only {rendered} templates render");
}

#[test]
fn generated_templates_render_as_in_jinja2() {
    let mut requests = Vec::new();
    let mut dice = generator::Dice::new(SEED);
    for index in 0..GENERATED {
        requests.push((generator::template(&mut dice), index % contexts_count()));
    }
    check(&compare(requests), 2);
}

fn contexts_count() -> usize {
    4
}

/// Templates with a character too many, too few or in the wrong place: both refuse, or both render.
#[test]
fn damaged_templates_are_refused_as_in_jinja2() {
    let templates: Vec<&str> = include_str!("../netbox/curated.txt").split("\n----\n").collect();
    let mut dice = generator::Dice::new(SEED);
    let mut requests = Vec::new();
    for index in 0..DAMAGED {
        let damaged = generator::damaged(&mut dice, templates[index % templates.len()]);
        requests.push((damaged, index % contexts_count()));
    }
    check(&compare(requests), 0);
}

#[test]
fn templates_as_people_write_them_render_as_in_jinja2() {
    let templates: Vec<&str> = include_str!("../netbox/curated.txt").split("\n----\n").collect();
    assert!(templates.len() >= 200, "{} templates", templates.len());
    let pairs = templates.iter().flat_map(|text| (0..contexts_count()).map(|context| ((*text).to_owned(), context)));
    check(&compare(pairs.collect()), 2);
}
