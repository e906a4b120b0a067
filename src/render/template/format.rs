//! `%` and `str.format`.

use minijinja::{State, Value};

use super::call::Args;
use super::spec::{self, Spec, take_number};
use super::value::{Dict, Outcome, Shape, dict, fail, sequence, tuple};
use super::{html, operators, python};

/// `template % value`.
///
/// # Errors
/// Values that do not fit, in number or type.
pub(super) fn percent(state: &State, template: &Value, value: &Value) -> Outcome<Value> {
    let is_tuple = matches!(sequence(value).map(|sequence| sequence.shape), Some(Shape::Tuple | Shape::Group));
    let values = if is_tuple { python::items(value)? } else { vec![value.clone()] };
    // A value with items by key (in Python: `__getitem__`) need not be used up.
    let lenient = !is_tuple && value.as_object().is_some();
    let text = template.as_str().unwrap_or_default();
    let mut formatter = Percent { state, values, next: 0, mapping: dict(value), markup: template.is_safe() };
    let out = formatter.run(text)?;
    if formatter.next < formatter.values.len() && !lenient {
        return fail("not all arguments converted during string formatting");
    }
    Ok(if template.is_safe() { Value::from_safe_string(out) } else { Value::from(out) })
}

struct Percent<'a, 't, 'e> {
    state: &'a State<'t, 'e>,
    values: Vec<Value>,
    next: usize,
    mapping: Option<&'a Dict>,
    markup: bool,
}

impl Percent<'_, '_, '_> {
    fn run(&mut self, template: &str) -> Outcome<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let field = self.field(&mut rest)?;
            self.state.consume_fuel(1 + field.len() as u64 / 64)?;
            out.push_str(&field);
        }
        Ok(out + rest)
    }

    fn take(&mut self) -> Outcome<Value> {
        let value = self.values.get(self.next).cloned();
        self.next += 1;
        value.map_or_else(|| fail("not enough arguments for format string"), Ok)
    }

    /// One conversion, after its `%`.
    fn field(&mut self, rest: &mut &str) -> Outcome<String> {
        let key = match rest.strip_prefix('(') {
            Some(after) => {
                let Some((key, after)) = after.split_once(')') else { return fail("incomplete format key") };
                *rest = after;
                Some(key)
            }
            None => None,
        };
        let mut spec = flags(rest);
        spec.width = self.size(rest, &mut spec.align)?.unwrap_or_default();
        if let Some(after) = rest.strip_prefix('.') {
            *rest = after;
            spec.precision = Some(self.size(rest, &mut None)?.unwrap_or_default());
        }
        *rest = rest.trim_start_matches(['h', 'l', 'L']);
        let Some(kind) = rest.chars().next() else { return fail("incomplete format") };
        *rest = &rest[kind.len_utf8()..];
        if kind == '%' {
            return Ok("%".to_owned());
        }
        spec.kind = Some(kind);
        let value = match (key, self.mapping) {
            (Some(key), Some(mapping)) => {
                self.next = self.values.len();
                mapping.get(&Value::from(key)).map_or_else(|| fail(format!("KeyError: '{key}'")), Ok)?
            }
            (Some(_), None) => return fail("format requires a mapping"),
            (None, _) => self.take()?,
        };
        let is_number = python::as_float(&value).is_some();
        let value = if self.markup && !is_number { Value::from(html::escaped(&value)) } else { value };
        spec::percent(&spec, &value)
    }

    /// A width or precision, written out or taken from the values.
    fn size(&mut self, rest: &mut &str, align: &mut Option<char>) -> Outcome<Option<usize>> {
        let Some(after) = rest.strip_prefix('*') else { return take_number(rest) };
        *rest = after;
        let Some(size) = python::as_int(&self.take()?) else { return fail("* wants int") };
        if size < 0 {
            *align = Some('<');
        }
        let digits = size.unsigned_abs().to_string();
        take_number(&mut digits.as_str())
    }
}

/// The flags of a conversion, taken away from `rest`.
fn flags(rest: &mut &str) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = rest.chars().next().filter(|c| "#0- +".contains(*c)) {
        match flag {
            '#' => spec.alternate = true,
            '0' => spec.zero = true,
            '-' => spec.align = Some('<'),
            sign => spec.sign = if spec.sign == Some('+') { Some('+') } else { Some(sign) },
        }
        *rest = &rest[1..];
    }
    if spec.align.is_some() {
        spec.zero = false;
    }
    spec
}

/// The filter `format`: `%` with its arguments.
///
/// # Errors
/// As [`percent`]; arguments with and without names together.
pub(super) fn filter(state: &mut State, mut args: Args) -> Outcome<Value> {
    if args.positional.is_empty() {
        return fail("argument \"value\" is missing");
    }
    let template = args.positional.remove(0);
    let template = if template.as_str().is_some() { template } else { Value::from(python::text(&template)) };
    if !args.positional.is_empty() && !args.named.is_empty() {
        return fail("can't handle positional and keyword arguments at the same time");
    }
    let value = if args.named.is_empty() {
        tuple(args.positional)?
    } else {
        Dict::build(args.named.into_iter().map(|(name, value)| (Value::from(name), value)).collect())?
    };
    percent(state, &template, &value)
}

/// `template.format(…)`.
///
/// # Errors
/// Values that do not fit, in number or type.
pub(super) fn braces(state: &State, template: &str, args: &Args) -> Outcome<String> {
    Braces { state, args, automatic: 0, numbered: false }.run(template, 0)
}

struct Braces<'a, 't, 'e> {
    state: &'a State<'t, 'e>,
    args: &'a Args,
    automatic: usize,
    numbered: bool,
}

impl Braces<'_, '_, '_> {
    fn run(&mut self, template: &str, depth: usize) -> Outcome<String> {
        let mut out = String::new();
        let mut rest = template;
        while let Some(at) = rest.find(['{', '}']) {
            out.push_str(&rest[..at]);
            let brace = &rest[at..=at];
            rest = &rest[at + 1..];
            if let Some(after) = rest.strip_prefix(brace) {
                out.push_str(brace);
                rest = after;
                continue;
            }
            let Some(end) = closing(rest).filter(|_| brace == "{" && depth < 2) else {
                return fail("single brace in a format string");
            };
            let field = self.field(&rest[..end], depth)?;
            self.state.consume_fuel(1 + field.len() as u64 / 64)?;
            out.push_str(&field);
            rest = &rest[end + 1..];
        }
        Ok(out + rest)
    }

    fn field(&mut self, field: &str, depth: usize) -> Outcome<String> {
        let split = field.char_indices().scan(0, |brackets, (at, c)| {
            *brackets += i32::from(c == '[') - i32::from(c == ']');
            Some((at, c, *brackets))
        });
        let colon =
            split.into_iter().find(|(_, c, brackets)| *brackets == 0 && matches!(c, ':' | '!')).map(|(at, ..)| at);
        let (name, rest) = field.split_at(colon.unwrap_or(field.len()));
        let (conversion, spec) = match rest.strip_prefix('!') {
            None => (None, rest.strip_prefix(':').unwrap_or_default()),
            Some(rest) => match rest.split_once(':') {
                None => (Some(rest), ""),
                Some((conversion, spec)) => (Some(conversion), spec),
            },
        };
        let value = self.value(name)?;
        let value = match conversion {
            None => value,
            Some("r") => Value::from(python::shown(&value)),
            Some("s") => Value::from(python::text(&value)),
            Some("a") => Value::from(python::ascii(&value)),
            Some(_) => return fail("unknown conversion specifier"),
        };
        let spec = if spec.contains(['{', '}']) { self.run(spec, depth + 1)? } else { spec.to_owned() };
        if spec.is_empty() { Ok(python::text(&value)) } else { Spec::parse(&spec)?.format(&value) }
    }

    /// The value a field names: `0.a[b]`.
    fn value(&mut self, name: &str) -> Outcome<Value> {
        let end = name.find(['.', '[']).unwrap_or(name.len());
        let (first, mut rest) = name.split_at(end);
        if first.is_empty() && !rest.is_empty() {
            return fail("a field with an attribute needs a number or name");
        }
        let is_number = first.bytes().all(|b| b.is_ascii_digit());
        let mut value = if is_number {
            let index = if first.is_empty() { self.automatic } else { first.parse().unwrap_or(usize::MAX) };
            let mixed = if first.is_empty() { self.numbered } else { self.automatic > 0 };
            if mixed {
                return fail("cannot switch between automatic and manual field numbering");
            }
            self.automatic += usize::from(first.is_empty());
            self.numbered = self.numbered || !first.is_empty();
            self.args.positional.get(index).cloned()
        } else {
            self.args.named.iter().find(|(given, _)| given == first).map(|(_, value)| value.clone())
        };
        while let Some(found) = value.clone().filter(|_| !rest.is_empty()) {
            let (key, after) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
                Some(split) => split,
                None => {
                    let rest = rest.strip_prefix('.').unwrap_or(rest);
                    rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
                }
            };
            if key.is_empty() {
                return fail("empty attribute in format string");
            }
            if found.is_undefined() && key.starts_with("__") && key.ends_with("__") {
                return Ok(Value::UNDEFINED);
            }
            let index = if key.bytes().all(|b| b.is_ascii_digit()) { key.parse::<i64>().ok() } else { None };
            value = Some(operators::item(&found, &index.map_or_else(|| Value::from(key), Value::from))?);
            rest = after;
        }
        value.map_or_else(|| fail(format!("there is no argument \"{name}\" to format")), Ok)
    }
}

/// Where the brace that closes a field is.
fn closing(rest: &str) -> Option<usize> {
    let mut open = 0;
    for (at, byte) in rest.bytes().enumerate() {
        match byte {
            b'{' => open += 1,
            b'}' if open == 0 => return Some(at),
            b'}' => open -= 1,
            _ => {}
        }
    }
    None
}
