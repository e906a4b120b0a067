//! Reads a definition. What NetBox refuses is refused; so is what it only fails on once an event comes.

use serde_json::{Map, Value};

use super::error::ConditionError;
use super::node::{Comparison, Condition, Node, Order, Test};
use super::operator::Operator;
use super::pattern::Pattern;
use super::place;
use super::python;
use super::values;
use super::{MAX_ATTR, MAX_CONDITIONS, MAX_DEPTH, excerpt};

const AND: &str = "and";
const OR: &str = "or";
const KEYS: [&str; 4] = ["attr", "value", "op", "negate"];

/// The most room all patterns of one definition may take, estimated.
const MAX_PATTERNS_KIB: u64 = 64 * 1024;

type Members = Map<String, Value>;

/// Counts while reading, so that a definition stays within its bounds.
#[derive(Default)]
pub(super) struct Reader {
    conditions: usize,
    sets: usize,
    /// KiB of all patterns.
    weight: u64,
}

impl Reader {
    /// Reads a definition, or part of one, that stands at `path`.
    pub(super) fn node(&mut self, definition: &Value, path: &str, depth: usize) -> Result<Node, ConditionError> {
        let Value::Object(members) = definition else {
            return Err(ConditionError::new(
                path,
                format!("an object is needed, not {}: {SHAPES}", python::kind(definition)),
            ));
        };
        match only_member(members) {
            Some((logic @ (AND | OR), list)) => self.set(logic, list, path, depth),
            Some((key, _)) if !KEYS.contains(&key) => {
                let hint = if matches!(key.to_lowercase().as_str(), AND | OR) { " (in lower case)" } else { "" };
                Err(ConditionError::new(
                    place::key(path, &excerpt::of_name(key)),
                    format!("unknown key: {SHAPES}{hint}"),
                ))
            }
            _ => self.condition(members, path).map(Node::One),
        }
    }

    fn set(&mut self, logic: &str, list: &Value, path: &str, depth: usize) -> Result<Node, ConditionError> {
        let here = place::key(path, logic);
        if depth >= MAX_DEPTH {
            return Err(ConditionError::new(here, format!("sets nest at most {MAX_DEPTH} deep")));
        }
        self.sets += 1;
        if self.sets > MAX_CONDITIONS {
            return Err(ConditionError::new(here, format!("a definition has at most {MAX_CONDITIONS} sets")));
        }
        let Value::Array(rules) = list else {
            let problem = format!("a list of conditions is needed, not {}", python::kind(list));
            return Err(ConditionError::new(here, problem));
        };
        let mut nodes = Vec::new();
        for (index, rule) in rules.iter().enumerate() {
            nodes.push(self.node(rule, &place::member(path, logic, index), depth + 1)?);
        }
        Ok(if logic == OR { Node::Any(nodes) } else { Node::All(nodes) })
    }

    fn condition(&mut self, members: &Members, path: &str) -> Result<Condition, ConditionError> {
        self.conditions += 1;
        if self.conditions > MAX_CONDITIONS {
            return Err(ConditionError::new(path, format!("a definition has at most {MAX_CONDITIONS} conditions")));
        }
        if let Some(unknown) = members.keys().find(|key| !KEYS.contains(&key.as_str())) {
            let place = place::key(path, &excerpt::of_name(unknown));
            return Err(ConditionError::new(place, format!("unknown key: {SHAPES}")));
        }
        let attr = attr(members, path)?;
        let operator = operator(members, path)?;
        let test = match (operator.compares_snapshots(), members.get("value")) {
            (true, None) => snapshots(operator, &attr, path)?,
            (true, Some(_)) => {
                let problem = format!("`{operator}` compares the snapshots and takes no value");
                return Err(ConditionError::new(place::key(path, "value"), problem));
            }
            (false, None) => {
                return Err(ConditionError::new(path, format!("`value` is missing, `{operator}` needs one")));
            }
            (false, Some(value)) => Test::Value(comparison(operator, value, &place::key(path, "value"))?),
        };
        self.weigh(&test, path)?;
        Ok(Condition {
            keys: attr.split('.').map(Box::from).collect(),
            attr,
            test,
            // Whatever Python takes for true, as NetBox does not check it.
            negated: members.get("negate").is_some_and(python::truth),
        })
    }

    fn weigh(&mut self, test: &Test, path: &str) -> Result<(), ConditionError> {
        if let Test::Value(Comparison::Regex(pattern)) = test {
            self.weight = self.weight.saturating_add(pattern.weight());
        }
        if self.weight > MAX_PATTERNS_KIB {
            let problem = "the definition's patterns are too large together; shorten counts like `{1,64}`";
            return Err(ConditionError::new(place::key(path, "value"), problem));
        }
        Ok(())
    }
}

const SHAPES: &str = "allowed are one key `and` or `or` with a list, or a condition of `attr`, `value`, `op`, `negate`";

fn only_member(members: &Members) -> Option<(&str, &Value)> {
    let mut all = members.iter();
    match (all.next(), all.next()) {
        (Some((key, value)), None) => Some((key.as_str(), value)),
        _ => None,
    }
}

fn attr(members: &Members, path: &str) -> Result<String, ConditionError> {
    let here = || place::key(path, "attr");
    match members.get("attr") {
        Some(Value::String(attr)) if attr.len() > MAX_ATTR => {
            Err(ConditionError::new(here(), format!("a path has at most {MAX_ATTR} bytes")))
        }
        Some(Value::String(attr)) => Ok(attr.clone()),
        Some(other) => Err(ConditionError::new(here(), format!("a string is needed, not {}", python::kind(other)))),
        None => Err(ConditionError::new(path, format!("`attr` is missing: {SHAPES}"))),
    }
}

fn operator(members: &Members, path: &str) -> Result<Operator, ConditionError> {
    let given = match members.get("op") {
        None => return Ok(Operator::Eq),
        Some(Value::String(name)) => match Operator::named(name) {
            Some(operator) => return Ok(operator),
            None => excerpt::of_text(name),
        },
        Some(other) => python::kind(other).to_owned(),
    };
    let allowed = Operator::ALL.map(Operator::name).join(", ");
    Err(ConditionError::new(place::key(path, "op"), format!("{given} is no operator; allowed are {allowed}")))
}

fn snapshots(operator: Operator, attr: &str, path: &str) -> Result<Test, ConditionError> {
    if attr.starts_with("snapshots.") {
        let problem =
            format!("`{operator}` looks into both snapshots by itself; give the attribute alone, like `status`");
        return Err(ConditionError::new(place::key(path, "attr"), problem));
    }
    Ok(Test::Snapshots { equal: operator == Operator::Unchanged })
}

/// Puts the operator and its value together; `here` is the value's place.
fn comparison(operator: Operator, value: &Value, here: &str) -> Result<Comparison, ConditionError> {
    values::check(value, here)?;
    let order = |wanted| Comparison::Order { wanted, bound: value.clone() };
    match (operator, value) {
        (_, Value::Object(_)) => {
            Err(ConditionError::new(here, "an object cannot be compared with; compare its members one by one"))
        }
        (Operator::Eq, _) => Ok(Comparison::Eq(value.clone())),
        (Operator::Gt, Value::Number(_)) => Ok(order(Order::Gt)),
        (Operator::Gte, Value::Number(_)) => Ok(order(Order::Gte)),
        (Operator::Lt, Value::Number(_)) => Ok(order(Order::Lt)),
        (Operator::Lte, Value::Number(_)) => Ok(order(Order::Lte)),
        (Operator::In, Value::Array(items)) => Ok(Comparison::In(items.clone())),
        (Operator::Contains, Value::String(_) | Value::Bool(_) | Value::Number(_) | Value::Array(_)) => {
            Ok(Comparison::Contains(value.clone()))
        }
        (Operator::Regex, Value::String(pattern)) => match Pattern::new(pattern) {
            Ok(pattern) => Ok(Comparison::Regex(pattern)),
            Err(error) => Err(ConditionError::new(here, error.to_string())),
        },
        _ => {
            let problem = format!("`{operator}` takes {}, not {}", takes(operator), python::kind(value));
            Err(ConditionError::new(here, problem))
        }
    }
}

/// The kinds of value an operator takes.
fn takes(operator: Operator) -> &'static str {
    match operator {
        Operator::Eq => "a string, boolean, number, list or null",
        Operator::Gt | Operator::Gte | Operator::Lt | Operator::Lte => "a number",
        Operator::In => "a list",
        Operator::Contains => "a string, boolean, number or list",
        Operator::Regex => "a string",
        Operator::Changed | Operator::Unchanged => "no value",
    }
}
