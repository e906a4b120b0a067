//! Python's format specifications: what stands after the colon in `{:>8.2f}`, and in `%-8.2f`.

use minijinja::Value;
use minijinja::value::ValueKind;

use super::python::{self, as_float, as_int, text, type_name};
use super::text::{Side, center, pad};
use super::value::{Outcome, fail};

/// Widest field and most digits.
const MAX_WIDTH: usize = 99_999;

/// How a value is to be written.
#[derive(Clone, Debug, Default)]
pub(super) struct Spec {
    pub fill: Option<char>,
    /// `<`, `>`, `^` or `=`.
    pub align: Option<char>,
    /// `+`, `-` or a space.
    pub sign: Option<char>,
    pub alternate: bool,
    pub zero: bool,
    pub width: usize,
    /// `,` or `_`.
    pub group: Option<char>,
    pub precision: Option<usize>,
    pub kind: Option<char>,
}

/// Digits at the start of `rest`, taken away from it.
///
/// # Errors
/// A number beyond [`MAX_WIDTH`].
pub(super) fn take_number(rest: &mut &str) -> Outcome<Option<usize>> {
    let length = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (digits, after) = rest.split_at(length);
    *rest = after;
    match digits.parse::<usize>() {
        _ if digits.is_empty() => Ok(None),
        Ok(number) if number <= MAX_WIDTH => Ok(Some(number)),
        _ => fail("the width is too large"),
    }
}

fn take_any(rest: &mut &str, chars: &str) -> Option<char> {
    let found = rest.chars().next().filter(|c| chars.contains(*c))?;
    *rest = &rest[found.len_utf8()..];
    Some(found)
}

impl Spec {
    /// # Errors
    /// Text that is no specification.
    pub fn parse(spec: &str) -> Outcome<Self> {
        let mut rest = spec;
        let mut parsed = Self::default();
        let mut chars = rest.chars();
        if let (Some(fill), Some(align @ ('<' | '>' | '^' | '='))) = (chars.next(), chars.next()) {
            (parsed.fill, parsed.align) = (Some(fill), Some(align));
            rest = chars.as_str();
        } else {
            parsed.align = take_any(&mut rest, "<>^=");
        }
        parsed.sign = take_any(&mut rest, "+- ");
        parsed.alternate = take_any(&mut rest, "#").is_some();
        parsed.zero = take_any(&mut rest, "0").is_some();
        parsed.width = take_number(&mut rest)?.unwrap_or_default();
        parsed.group = take_any(&mut rest, ",_");
        if take_any(&mut rest, ".").is_some() {
            parsed.precision =
                Some(take_number(&mut rest)?.map_or_else(|| fail("format specifier missing precision"), Ok)?);
        }
        parsed.kind = rest.chars().next();
        if rest.chars().count() > 1 {
            return fail("invalid format specifier");
        }
        Ok(parsed)
    }

    /// Python's `format(value, spec)` for a specification that is not empty.
    ///
    /// # Errors
    /// A value that cannot be written so.
    pub fn format(&self, value: &Value) -> Outcome<String> {
        if let Some(text) = value.as_str() {
            return self.string(text);
        }
        match (as_int(value), as_float(value)) {
            (Some(int), _) if self.kind.is_none_or(|kind| "bcdoxXn".contains(kind)) => self.int(int),
            (_, Some(float)) => self.float(float),
            _ => fail(format!("unsupported format string passed to {}.__format__", type_name(value))),
        }
    }

    fn string(&self, text: &str) -> Outcome<String> {
        let is_text = self.kind.is_none_or(|kind| kind == 's');
        if !is_text || self.sign.is_some() || self.group.is_some() || self.alternate || self.align == Some('=') {
            return fail("the format does not fit a string");
        }
        let text: String = text.chars().take(self.precision.unwrap_or(usize::MAX)).collect();
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        Ok(match self.align {
            Some('>') => pad(&text, self.width, fill, Side::Start),
            Some('^') => centered(&text, self.width, fill),
            _ => pad(&text, self.width, fill, Side::End),
        })
    }

    fn int(&self, int: i128) -> Outcome<String> {
        if self.precision.is_some() {
            return fail("precision not allowed in integer format specifier");
        }
        let magnitude = int.unsigned_abs();
        let (prefix, digits) = match self.kind {
            Some('b') => ("0b", format!("{magnitude:b}")),
            Some('o') => ("0o", format!("{magnitude:o}")),
            Some('x') => ("0x", format!("{magnitude:x}")),
            Some('X') => ("0X", format!("{magnitude:X}")),
            Some('c') => {
                let c = u32::try_from(int).ok().and_then(char::from_u32);
                let Some(c) = c.filter(|_| self.sign.is_none()) else { return fail("not a character") };
                return Self { kind: None, zero: false, ..self.clone() }.aligned("", &c.to_string(), '<');
            }
            _ => ("", magnitude.to_string()),
        };
        if self.group == Some(',') && !prefix.is_empty() {
            return fail("cannot specify ',' with this format");
        }
        let prefix = if self.alternate { prefix } else { "" };
        let every = if matches!(self.kind, Some('b' | 'o' | 'x' | 'X')) { 4 } else { 3 };
        self.number(int < 0, prefix, &digits, every)
    }

    fn float(&self, float: f64) -> Outcome<String> {
        let digits = float_digits(float.abs(), self.kind, self.precision, self.alternate);
        let Some(digits) = digits else { return fail("unknown format code for a number") };
        self.number(float.is_sign_negative() && !float.is_nan(), "", &digits, 3)
    }

    fn number(&self, negative: bool, prefix: &str, digits: &str, every: usize) -> Outcome<String> {
        let sign = match (negative, self.sign) {
            (true, _) => "-",
            (false, Some('+')) => "+",
            (false, Some(' ')) => " ",
            _ => "",
        };
        let sign = format!("{sign}{prefix}");
        let zeros = self.zero && self.align.is_none();
        let digits = match self.group {
            Some(separator) => {
                grouped(digits, separator, every, if zeros { self.width.saturating_sub(sign.len()) } else { 0 })
            }
            None => digits.to_owned(),
        };
        if zeros {
            let spec = Self { align: Some('='), fill: Some('0'), ..self.clone() };
            return spec.aligned(&sign, &digits, '=');
        }
        self.aligned(&sign, &digits, '>')
    }

    #[allow(clippy::unnecessary_wraps)]
    fn aligned(&self, sign: &str, digits: &str, default: char) -> Outcome<String> {
        let fill = self.fill.unwrap_or(if self.zero { '0' } else { ' ' });
        let whole = format!("{sign}{digits}");
        Ok(match self.align.unwrap_or(default) {
            '<' => pad(&whole, self.width, fill, Side::End),
            '^' => centered(&whole, self.width, fill),
            '=' => format!("{sign}{}", pad(digits, self.width.saturating_sub(sign.len()), fill, Side::Start)),
            _ => pad(&whole, self.width, fill, Side::Start),
        })
    }
}

/// Unlike `str.center`, the odd one goes to the right.
fn centered(text: &str, width: usize, fill: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    if missing.is_multiple_of(2) {
        center(text, width, fill)
    } else {
        center(text, width - 1, fill) + &fill.to_string()
    }
}

/// Separators between groups of digits, zeros in front up to `width`.
fn grouped(digits: &str, separator: char, every: usize, width: usize) -> String {
    let end = digits.find(|c: char| !c.is_ascii_alphanumeric() || c == 'e').unwrap_or(digits.len());
    let (whole, rest) = digits.split_at(end);
    let mut reversed = String::new();
    let mut source = whole.chars().rev();
    let mut count = 0;
    loop {
        let next = source.next().or_else(|| (reversed.len() + rest.len() < width).then_some('0'));
        let Some(digit) = next else { break };
        if count > 0 && count % every == 0 {
            reversed.push(separator);
        }
        reversed.push(digit);
        count += 1;
    }
    reversed.chars().rev().collect::<String>() + rest
}

/// The digits of a float that is not negative; `None` for a kind that is none.
fn float_digits(float: f64, kind: Option<char>, precision: Option<usize>, alternate: bool) -> Option<String> {
    let digits = precision.unwrap_or(6);
    let text = match kind {
        _ if !float.is_finite() => python::float(float) + if kind == Some('%') { "%" } else { "" },
        Some('f' | 'F') => format!("{float:.digits$}"),
        Some('%') => format!("{:.digits$}%", float * 100.0),
        Some('e' | 'E') => exponent(float, digits),
        Some('g' | 'G' | 'n') => general(float, digits.max(1), alternate, false),
        None => match precision {
            Some(digits) => general(float, digits.max(1), alternate, true),
            None => python::float(float),
        },
        _ => return None,
    };
    Some(if matches!(kind, Some('F' | 'E' | 'G')) { text.to_uppercase() } else { text })
}

fn exponent(float: f64, digits: usize) -> String {
    let text = format!("{float:.digits$e}");
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "0"));
    let (sign, power) = power.strip_prefix('-').map_or(('+', power), |power| ('-', power));
    format!("{mantissa}e{sign}{power:0>2}")
}

/// `g`: fixed if the number is neither too small nor too large for its digits. `point`: shown with a fraction, at least `.0`.
fn general(float: f64, digits: usize, alternate: bool, point: bool) -> String {
    let last = digits - 1;
    let rounded = format!("{float:.last$e}");
    let power: i64 = rounded.split_once('e').and_then(|(_, power)| power.parse().ok()).unwrap_or_default();
    let limit = digits as i64 - i64::from(point);
    let fixed = (-4..limit.max(i64::from(point))).contains(&power);
    let trimmed = |text: String| {
        if alternate || !text.contains('.') {
            text
        } else {
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
    };
    if fixed {
        let decimals = usize::try_from(last as i64 - power).unwrap_or_default();
        let text = trimmed(format!("{float:.decimals$}"));
        return if point && !text.contains('.') { text + ".0" } else { text };
    }
    let text = exponent(float, last);
    let (mantissa, power) = text.split_once('e').unwrap_or((&text, "+00"));
    format!("{}e{power}", trimmed(mantissa.to_owned()))
}

/// A value by a conversion of `%`: `d`, `s`, `r`, … The specification's `kind` is that conversion.
///
/// # Errors
/// A value of the wrong type, or no such conversion.
pub(super) fn percent(spec: &Spec, value: &Value) -> Outcome<String> {
    let wrong = || fail(format!("%{} does not take '{}'", spec.kind.unwrap_or_default(), type_name(value)));
    let as_text = Spec { kind: None, sign: None, zero: false, alternate: false, ..spec.clone() };
    let right = |text: &str| Spec { align: as_text.align.or(Some('>')), ..as_text.clone() }.string(text);
    match spec.kind.unwrap_or_default() {
        's' => right(&text(value)),
        'r' => right(&python::shown(value)),
        'a' => right(&python::ascii(value)),
        'c' => match (value.as_str(), as_int(value)) {
            (Some(text), _) if text.chars().count() == 1 => right(text),
            (None, Some(_)) => Spec { sign: None, ..spec.clone() }.int(as_int(value).unwrap_or_default()),
            _ => wrong(),
        },
        'd' | 'i' | 'u' => match (as_int(value), as_float(value)) {
            (Some(int), _) => percent_int(spec, int, 'd'),
            // Beyond this the integer does not fit 128 bits.
            #[allow(clippy::cast_possible_truncation)]
            (None, Some(float)) if float.abs() < 1e38 => percent_int(spec, float as i128, 'd'),
            _ if value.is_undefined() => Err(python::undefined()),
            _ => wrong(),
        },
        kind @ ('x' | 'X' | 'o') => as_int(value).map_or_else(wrong, |int| percent_int(spec, int, kind)),
        'e' | 'E' | 'f' | 'F' | 'g' | 'G' => match as_float(value) {
            Some(float) => spec.float(float),
            None if value.kind() == ValueKind::Undefined => Err(python::undefined()),
            None => wrong(),
        },
        kind => fail(format!("unsupported format character '{kind}'")),
    }
}

/// A precision means digits at least, with zeros in front.
fn percent_int(spec: &Spec, int: i128, kind: char) -> Outcome<String> {
    let spec = Spec { kind: Some(kind), ..spec.clone() };
    let Some(precision) = spec.precision else { return spec.int(int) };
    let digits = Spec { kind: Some(kind), ..Spec::default() }.int(int.saturating_abs())?;
    let digits = pad(&digits, precision, '0', Side::Start);
    Spec { precision: None, ..spec }.number(int < 0, "", &digits, 3)
}
