//! Python's `pprint.pformat`: one line if it fits, else one line an item.

use minijinja::{State, Value};

use super::super::call::Bound;
use super::super::literal::is_space;
use super::super::operators::order;
use super::super::python::{quoted, shown, type_name};
use super::super::text::lines;
use super::super::value::{Dict, Outcome, Shape, dict, sequence};
use super::try_sort;

const WIDTH: usize = 80;

pub(super) fn pprint(state: &mut State, args: &Bound) -> Outcome<Value> {
    let mut out = String::new();
    print(state, args.need(0)?, [0, 0], &mut out)?;
    Ok(Value::from(out))
}

/// `at` is the column the value begins at, `after` how much is to follow its last line.
fn print(state: &State, value: &Value, [at, after]: [usize; 2], out: &mut String) -> Outcome<()> {
    state.consume_fuel(1)?;
    let line = one_line(state, value)?;
    if at + after + line.chars().count() <= WIDTH {
        out.push_str(&line);
        return Ok(());
    }
    if let Some(text) = value.as_str().filter(|text| !text.is_empty() && !value.is_safe()) {
        print_text(text, [at, after], out);
        return Ok(());
    }
    if let Some(dict) = dict(value).filter(|dict| dict.len() > 0) {
        return print_dict(state, dict, [at, after], out);
    }
    let Some(sequence) = sequence(value).filter(|sequence| sequence.len() > 0) else {
        out.push_str(&line);
        return Ok(());
    };
    let items = sequence.items();
    let (open, close) = match sequence.shape {
        Shape::List => ('[', "]"),
        Shape::Tuple if items.len() == 1 => ('(', ",)"),
        Shape::Tuple => ('(', ")"),
        _ => {
            out.push_str(&line);
            return Ok(());
        }
    };
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        let is_last = index + 1 == items.len();
        print(state, item, [at + 1, if is_last { after + close.len() } else { 1 }], out)?;
        if !is_last {
            out.push_str(",\n");
            out.push_str(&" ".repeat(at + 1));
        }
    }
    out.push_str(close);
    Ok(())
}

/// A string over several lines, broken after whitespace; in parentheses if it stands alone.
fn print_text(text: &str, [at, after]: [usize; 2], out: &mut String) {
    let alone = at == 0;
    let (at, after) = if alone { (1, after + 1) } else { (at, after) };
    let width = WIDTH.saturating_sub(at);
    let fits = |part: &str, width: usize| quoted(part).chars().count() <= width;
    let lines = lines(text, true);
    let mut chunks = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let last_line = index + 1 == lines.len();
        let room = if last_line { width.saturating_sub(after) } else { width };
        if fits(line, room) {
            chunks.push(quoted(line));
            continue;
        }
        let mut current = String::new();
        let words = words(line);
        for (index, word) in words.iter().enumerate() {
            let room = if last_line && index + 1 == words.len() { room } else { width };
            let candidate = format!("{current}{word}");
            if fits(&candidate, room) {
                current = candidate;
            } else {
                chunks.extend(Some(quoted(&current)).filter(|_| !current.is_empty()));
                current = (*word).to_owned();
            }
        }
        chunks.extend(Some(quoted(&current)).filter(|_| !current.is_empty()));
    }
    let text = chunks.join(&format!("\n{}", " ".repeat(at)));
    out.push_str(&if alone && chunks.len() > 1 { format!("({text})") } else { text });
}

/// Words with the whitespace after them.
fn words(line: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = line;
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let end = rest[word..].find(|c| !is_space(c)).map_or(rest.len(), |space| word + space);
        words.push(&rest[..end]);
        rest = &rest[end..];
    }
    words
}

fn print_dict(state: &State, dict: &Dict, [at, after]: [usize; 2], out: &mut String) -> Outcome<()> {
    let pairs = ordered(state, dict)?;
    out.push('{');
    for (index, (key, value)) in pairs.iter().enumerate() {
        let is_last = index + 1 == pairs.len();
        let key = shown(key);
        out.push_str(&key);
        out.push_str(": ");
        print(state, value, [at + key.chars().count() + 3, if is_last { after + 1 } else { 1 }], out)?;
        if !is_last {
            out.push_str(",\n");
            out.push_str(&" ".repeat(at + 1));
        }
    }
    out.push('}');
    Ok(())
}

/// Like `repr`, with the keys of dictionaries in order.
fn one_line(state: &State, value: &Value) -> Outcome<String> {
    state.consume_fuel(1)?;
    if let Some(dict) = dict(value) {
        let mut parts = Vec::new();
        for (key, value) in ordered(state, dict)? {
            parts.push(format!("{}: {}", shown(&key), one_line(state, &value)?));
        }
        return Ok(format!("{{{}}}", parts.join(", ")));
    }
    let Some(sequence) = sequence(value) else { return Ok(shown(value)) };
    let parts: Vec<String> = sequence.items().iter().map(|item| one_line(state, item)).collect::<Outcome<_>>()?;
    Ok(match sequence.shape {
        Shape::List => format!("[{}]", parts.join(", ")),
        Shape::Tuple if parts.len() == 1 => format!("({},)", parts[0]),
        Shape::Tuple => format!("({})", parts.join(", ")),
        _ => shown(value),
    })
}

/// Keys of one type by their order, others by the names of their types.
fn ordered(state: &State, dict: &Dict) -> Outcome<Vec<(Value, Value)>> {
    try_sort(state, dict.pairs(), &|(a, _), (b, _)| {
        let by_type = type_name(a).cmp(type_name(b));
        Ok(order(state, a, b).ok().flatten().unwrap_or(by_type))
    })
}
