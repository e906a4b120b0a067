//! The methods of Python's strings, dictionaries, lists and tuples.

use minijinja::{Error, ErrorKind, State, Value};

use super::call::{Args, Bound};
use super::text::{self, Side};
use super::value::{Dict, Outcome, Sequence, Shape, dict, fail, list, sequence, tuple};
use super::{format, operators, python};

/// Calls a method by name; attributes that begin with an underscore do not exist here.
///
/// # Errors
/// A method the type does not have, arguments that do not fit.
pub(super) fn call(state: &mut State, value: &Value, method: &str, arguments: &[Value]) -> Outcome<Value> {
    let args = Args::new(arguments);
    if let Some(text) = value.as_str() {
        let result = on_string(state, text, method, args)?;
        return if value.is_safe() { marked(&result) } else { Ok(result) };
    }
    if let Some(dict) = dict(value) {
        return on_dict(state, dict, method, args);
    }
    match sequence(value) {
        Some(sequence) => on_sequence(state, sequence, method, args),
        None if value.is_undefined() => Err(python::undefined()),
        None => unknown(),
    }
}

/// Markup's methods return markup, also within lists.
fn marked(result: &Value) -> Outcome<Value> {
    if result.as_str().is_some() {
        return Ok(Value::from_safe_string(python::text(result)));
    }
    match sequence(result) {
        Some(parts) => Sequence::build(parts.shape, parts.items().iter().map(marked).collect::<Outcome<_>>()?),
        None => Ok(result.clone()),
    }
}

fn unknown<T>() -> Outcome<T> {
    Err(Error::from(ErrorKind::UnknownMethod))
}

fn on_string(state: &mut State, s: &str, method: &str, args: Args) -> Outcome<Value> {
    match method {
        "format" => format::braces(state, s, &args).map(Value::from),
        "split" | "rsplit" => split(s, method == "rsplit", &args.bind(&["sep", "maxsplit"])?),
        "splitlines" => {
            let lines = text::lines(s, args.bind(&["keepends"])?.flag(0));
            list(lines.into_iter().map(Value::from).collect())
        }
        "replace" => {
            let args = args.bind(&["old", "new", "count"])?;
            text::replace(state, s, [args.str(0)?, args.str(1)?], args.int(2, -1)?).map(Value::from)
        }
        "join" => join(state, s, &args.bind(&["iterable"])?),
        "strip" | "lstrip" | "rstrip" => {
            let args = args.bind(&["chars"])?;
            let chars = args.some(0).map(|_| args.str(0)).transpose()?;
            let side = match method {
                "lstrip" => Side::Start,
                "rstrip" => Side::End,
                _ => Side::Both,
            };
            Ok(Value::from(text::strip(s, chars, side)))
        }
        "startswith" | "endswith" => affix(s, method == "startswith", &args.bind(&["affix"])?).map(Value::from),
        "removeprefix" | "removesuffix" | "partition" | "rpartition" | "count" | "find" | "rfind" | "index"
        | "rindex" => search(s, method, &args.bind(&["text"])?),
        "center" | "ljust" | "rjust" | "zfill" => pad(s, method, &args.bind(&["width", "fill"])?),
        _ => {
            args.bind(&[])?;
            changed(s, method)
        }
    }
}

/// Methods without arguments.
fn changed(s: &str, method: &str) -> Outcome<Value> {
    let changed = match method {
        "upper" => s.to_uppercase(),
        "lower" => s.to_lowercase(),
        "casefold" => s.to_lowercase().replace('ß', "ss"),
        "title" => text::title(s),
        "capitalize" => text::capitalize(s),
        "swapcase" => {
            let swap =
                |c: char| if c.is_uppercase() { c.to_lowercase().to_string() } else { c.to_uppercase().to_string() };
            s.chars().map(swap).collect()
        }
        _ => return text::is(s, method).map_or_else(unknown, |answer| Ok(Value::from(answer))),
    };
    Ok(Value::from(changed))
}

fn split(s: &str, from_end: bool, args: &Bound) -> Outcome<Value> {
    let separator = args.some(0).map(|_| args.str(0)).transpose()?;
    let most = usize::try_from(args.int(1, -1)?).unwrap_or(usize::MAX);
    if separator == Some("") {
        return fail("empty separator");
    }
    list(text::split(s, separator, most, from_end).into_iter().map(Value::from).collect())
}

fn join(state: &State, separator: &str, args: &Bound) -> Outcome<Value> {
    let mut out = String::new();
    for (index, item) in python::items(args.need(0)?)?.iter().enumerate() {
        let Some(text) = item.as_str() else {
            return fail(format!("sequence item {index}: expected str instance, {} found", python::type_name(item)));
        };
        state.consume_fuel(1 + (separator.len() + text.len()) as u64 / 64)?;
        out.push_str(if index > 0 { separator } else { "" });
        out.push_str(text);
    }
    Ok(Value::from(out))
}

fn affix(s: &str, at_start: bool, args: &Bound) -> Outcome<bool> {
    let is_affix = |affix: &str| if at_start { s.starts_with(affix) } else { s.ends_with(affix) };
    let value = args.need(0)?;
    match sequence(value) {
        Some(sequence) if sequence.shape == Shape::Tuple => {
            let items = sequence.items();
            if items.iter().any(|item| item.as_str().is_none()) {
                return fail("expected a string or a tuple of strings");
            }
            Ok(items.iter().filter_map(Value::as_str).any(is_affix))
        }
        _ => args.str(0).map(is_affix),
    }
}

fn search(s: &str, method: &str, args: &Bound) -> Outcome<Value> {
    let part = args.str(0)?;
    let position = |found: Option<usize>| found.map_or(-1, |byte| s[..byte].chars().count() as i64);
    Ok(match method {
        "removeprefix" => Value::from(s.strip_prefix(part).unwrap_or(s)),
        "removesuffix" => Value::from(s.strip_suffix(part).unwrap_or(s)),
        "count" if part.is_empty() => Value::from(s.chars().count() + 1),
        "count" => Value::from(s.matches(part).count()),
        "find" => Value::from(position(s.find(part))),
        "rfind" => Value::from(position(s.rfind(part))),
        "index" | "rindex" => match position(if method == "index" { s.find(part) } else { s.rfind(part) }) {
            -1 => return fail("substring not found"),
            position => Value::from(position),
        },
        _ if part.is_empty() => return fail("empty separator"),
        _ => {
            let (parts, rest) = if method == "partition" {
                (s.split_once(part), [s, "", ""])
            } else {
                (s.rsplit_once(part), ["", "", s])
            };
            let parts = parts.map_or(rest, |(before, after)| [before, part, after]);
            return tuple(parts.into_iter().map(Value::from).collect());
        }
    })
}

fn pad(s: &str, method: &str, args: &Bound) -> Outcome<Value> {
    args.need(0)?;
    let width = args.size(0, 0)?;
    let fill = if args.get(1).is_some() { args.str(1)? } else { " " };
    let mut chars = fill.chars();
    let (Some(fill), None) = (chars.next(), chars.next()) else {
        return fail("the fill character must be exactly one character long");
    };
    Ok(Value::from(match method {
        "center" => text::center(s, width, fill),
        "ljust" => text::pad(s, width, fill, Side::End),
        "rjust" => text::pad(s, width, fill, Side::Start),
        _ => text::zfill(s, width),
    }))
}

fn on_dict(state: &mut State, dict: &Dict, method: &str, args: Args) -> Outcome<Value> {
    state.consume_fuel(dict.len() as u64 / 8)?;
    match method {
        "get" => {
            let args = args.bind(&["key", "default"])?;
            python::hashable(args.need(0)?)?;
            Ok(dict.get(args.need(0)?).unwrap_or_else(|| args.get(1).cloned().unwrap_or_else(|| Value::from(()))))
        }
        "items" | "keys" | "values" => {
            args.bind(&[])?;
            view(dict, method)
        }
        "copy" => {
            args.bind(&[])?;
            Dict::build(dict.pairs())
        }
        _ => change_dict(dict, method, args),
    }
}

/// Methods that change the dictionary.
fn change_dict(dict: &Dict, method: &str, args: Args) -> Outcome<Value> {
    match method {
        "update" => {
            let added = match args.positional.as_slice() {
                [] => Vec::new(),
                [value] => operators::pairs(value)?,
                _ => return fail("update takes one argument without a name"),
            };
            let named = args.named.into_iter().map(|(name, value)| (Value::from(name), value));
            insert(dict, added.into_iter().chain(named).collect()).map(|()| Value::from(()))
        }
        "setdefault" => {
            let args = args.bind(&["key", "default"])?;
            let key = args.need(0)?;
            python::hashable(key)?;
            if let Some(value) = dict.get(key) {
                return Ok(value);
            }
            let value = args.get(1).cloned().unwrap_or_else(|| Value::from(()));
            insert(dict, vec![(key.clone(), value.clone())]).map(|()| value)
        }
        "pop" => {
            let args = args.bind(&["key", "default"])?;
            let key = args.need(0)?;
            let Some(value) = dict.get(key) else {
                return args.get(1).cloned().map_or_else(|| fail("KeyError: no such key"), Ok);
            };
            dict.replace(dict.pairs().into_iter().filter(|(other, _)| other != key).collect(), &[])?;
            Ok(value)
        }
        "clear" => {
            args.bind(&[])?;
            dict.replace(Vec::new(), &[]).map(|()| Value::from(()))
        }
        _ => unknown(),
    }
}

fn insert(dict: &Dict, added: Vec<(Value, Value)>) -> Outcome<()> {
    let gained: Vec<Value> = added.iter().map(|(_, value)| value.clone()).collect();
    let mut pairs = dict.pairs();
    pairs.extend(added);
    dict.replace(pairs, &gained)
}

pub(super) fn view(dict: &Dict, method: &str) -> Outcome<Value> {
    let pairs = dict.pairs().into_iter();
    let (name, items) = match method {
        "keys" => ("dict_keys", pairs.map(|(key, _)| key).collect()),
        "values" => ("dict_values", pairs.map(|(_, value)| value).collect()),
        _ => ("dict_items", pairs.map(|(key, value)| tuple(vec![key, value])).collect::<Outcome<_>>()?),
    };
    Sequence::build(Shape::View(name), items)
}

fn on_sequence(state: &mut State, value: &Sequence, method: &str, args: Args) -> Outcome<Value> {
    state.consume_fuel(1)?;
    match method {
        "count" | "index" => {
            let args = args.bind(&["value"])?;
            let wanted = args.need(0)?;
            let mut found = Vec::new();
            for (index, item) in value.items().iter().enumerate() {
                state.consume_fuel(1)?;
                if operators::equal(state, item, wanted)? {
                    found.push(index);
                }
            }
            match found.first() {
                _ if method == "count" => Ok(Value::from(found.len())),
                Some(index) => Ok(Value::from(*index)),
                None => fail("the value is not in the list"),
            }
        }
        _ if value.shape == Shape::List => on_list(state, value, method, args),
        _ => unknown(),
    }
}

/// Methods that change the list, and `copy`.
fn on_list(state: &State, value: &Sequence, method: &str, args: Args) -> Outcome<Value> {
    match method {
        "append" => {
            let args = args.bind(&["object"])?;
            let item = args.need(0)?;
            value.change(std::slice::from_ref(item), |items| items.push(item.clone())).map(Value::from)
        }
        "extend" => {
            let added = python::items(args.bind(&["iterable"])?.need(0)?)?;
            state.consume_fuel(added.len() as u64 / 4)?;
            value.change(&added.clone(), |items| items.extend(added)).map(Value::from)
        }
        "insert" => {
            let args = args.bind(&["index", "object"])?;
            let (index, item) = (args.int(0, 0)?, args.need(1)?);
            let at = position(index, value.len());
            value.change(std::slice::from_ref(item), |items| items.insert(at, item.clone())).map(Value::from)
        }
        "pop" => {
            let index = args.bind(&["index"])?.int(0, -1)?;
            let length = value.len() as i128;
            let at = usize::try_from(if index < 0 { index + length } else { index }).unwrap_or(usize::MAX);
            let popped = value.change(&[], |items| (at < items.len()).then(|| items.remove(at)))?;
            popped.map_or_else(|| fail("pop index out of range"), Ok)
        }
        "clear" | "reverse" => {
            args.bind(&[])?;
            let clear = method == "clear";
            value.change(&[], |items| if clear { items.clear() } else { items.reverse() }).map(Value::from)
        }
        "copy" => {
            args.bind(&[])?;
            list(value.items())
        }
        _ => unknown(),
    }
}

/// Where `list.insert` puts an item.
fn position(index: i128, length: usize) -> usize {
    let length = length as i128;
    let index = if index < 0 { (index + length).max(0) } else { index.min(length) };
    usize::try_from(index).unwrap_or_default()
}
