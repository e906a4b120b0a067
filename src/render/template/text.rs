//! What Python's strings can do.

use minijinja::State;

use super::literal::is_space;
use super::value::Outcome;

/// Which end of a text is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Start,
    End,
    Both,
}

pub(super) fn strip<'a>(text: &'a str, chars: Option<&str>, side: Side) -> &'a str {
    let unwanted = |c: char| chars.map_or_else(|| is_space(c), |chars| chars.contains(c));
    match side {
        Side::Start => text.trim_start_matches(unwanted),
        Side::End => text.trim_end_matches(unwanted),
        Side::Both => text.trim_matches(unwanted),
    }
}

/// # Errors
/// The result costs more fuel than there is.
pub(super) fn replace(state: &State, text: &str, [old, new]: [&str; 2], count: i128) -> Outcome<String> {
    let count = usize::try_from(count).unwrap_or(usize::MAX);
    let matches = if old.is_empty() { text.len() + 1 } else { text.len() / old.len() };
    let grown = matches.min(count).saturating_mul(new.len()).saturating_add(text.len());
    state.consume_fuel(grown as u64 / 64)?;
    Ok(text.replacen(old, new, count))
}

/// Every run of letters with a capital first.
pub(super) fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_lowercase() || c.is_uppercase();
    }
    out
}

pub(super) fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + &chars.as_str().to_lowercase())
        .unwrap_or_default()
}

/// `str.split` and `str.rsplit`.
pub(super) fn split<'a>(text: &'a str, separator: Option<&str>, most: usize, from_end: bool) -> Vec<&'a str> {
    let most_parts = most.saturating_add(1);
    match separator {
        Some(separator) if from_end => {
            let mut parts: Vec<&str> = text.rsplitn(most_parts, separator).collect();
            parts.reverse();
            parts
        }
        Some(separator) => text.splitn(most_parts, separator).collect(),
        None if from_end => split_space_from_end(text, most),
        None => split_space(text, most),
    }
}

fn split_space(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_start_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest.trim_end_matches(is_space));
            break;
        }
        let end = rest.find(is_space).unwrap_or(rest.len());
        parts.push(&rest[..end]);
        rest = rest[end..].trim_start_matches(is_space);
    }
    parts
}

fn split_space_from_end(text: &str, most: usize) -> Vec<&str> {
    let mut parts = Vec::new();
    let mut rest = text.trim_end_matches(is_space);
    while !rest.is_empty() {
        if parts.len() == most {
            parts.push(rest.trim_start_matches(is_space));
            break;
        }
        let start = rest.char_indices().rev().find(|(_, c)| is_space(*c)).map_or(0, |(at, c)| at + c.len_utf8());
        parts.push(&rest[start..]);
        rest = rest[..start].trim_end_matches(is_space);
    }
    parts.reverse();
    parts
}

/// `str.splitlines`.
pub(super) fn lines(text: &str, keep_ends: bool) -> Vec<&str> {
    let is_end =
        |c: char| matches!(c, '\n' | '\r' | '\x0b' | '\x0c' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(is_end) {
        let length =
            if rest[at..].starts_with("\r\n") { 2 } else { rest[at..].chars().next().map_or(1, char::len_utf8) };
        lines.push(&rest[..if keep_ends { at + length } else { at }]);
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

pub(super) fn center(text: &str, width: usize, fill: char) -> String {
    let missing = width.saturating_sub(text.chars().count());
    // CPython puts the odd one to the left if the width is odd.
    let left = missing / 2 + (missing & width & 1);
    let fill = |count: usize| std::iter::repeat_n(fill, count);
    fill(left).chain(text.chars()).chain(fill(missing - left)).collect()
}

/// Fills up at one side.
pub(super) fn pad(text: &str, width: usize, fill: char, side: Side) -> String {
    let missing: String = std::iter::repeat_n(fill, width.saturating_sub(text.chars().count())).collect();
    if side == Side::Start { missing + text } else { text.to_owned() + &missing }
}

pub(super) fn zfill(text: &str, width: usize) -> String {
    match text.chars().next() {
        Some(sign @ ('+' | '-')) => sign.to_string() + &pad(&text[1..], width.saturating_sub(1), '0', Side::Start),
        _ => pad(text, width, '0', Side::Start),
    }
}

/// The `is…` methods; `None` for a name that is none.
pub(super) fn is(text: &str, method: &str) -> Option<bool> {
    let all = |test: fn(char) -> bool| !text.is_empty() && text.chars().all(test);
    let cased =
        |wanted: fn(char) -> bool, unwanted: fn(char) -> bool| text.chars().any(wanted) && !text.chars().any(unwanted);
    Some(match method {
        "isdigit" | "isdecimal" => all(|c| c.is_ascii_digit() || is_digit_elsewhere(c)),
        "isnumeric" => all(char::is_numeric),
        "isalpha" => all(char::is_alphabetic),
        "isalnum" => all(char::is_alphanumeric),
        "isspace" => all(is_space),
        "isascii" => text.is_ascii(),
        "islower" => cased(char::is_lowercase, char::is_uppercase),
        "isupper" => cased(char::is_uppercase, char::is_lowercase),
        "istitle" => text.chars().any(char::is_uppercase) && title(text) == text,
        "isidentifier" => {
            let starts = text.starts_with(|c: char| c == '_' || c.is_alphabetic());
            starts && text.chars().all(|c| c == '_' || c.is_alphanumeric())
        }
        _ => return None,
    })
}

/// Superscripts and the digits of other scripts that occur in Latin text.
fn is_digit_elsewhere(c: char) -> bool {
    matches!(c, '²' | '³' | '¹' | '\u{660}'..='\u{669}' | '\u{ff10}'..='\u{ff19}')
}

/// Jinja2's filter `title`: words begin after whitespace, `-`, and opening brackets.
pub(super) fn title_words(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut start = true;
    for c in text.chars() {
        if is_space(c) || "-({[<".contains(c) {
            start = true;
            out.push(c);
        } else if std::mem::take(&mut start) {
            out.extend(c.to_uppercase());
        } else {
            out.extend(c.to_lowercase());
        }
    }
    out
}

/// Jinja2's filter `truncate` for text that is longer than it may be.
pub(super) fn truncate(text: &str, length: usize, end: &str, kill_words: bool) -> String {
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let cut = if kill_words { kept.len() } else { kept.rfind(' ').unwrap_or(kept.len()) };
    kept[..cut].to_owned() + end
}

/// Jinja2's filter `wordcount`: runs of letters, digits and underscores.
pub(super) fn words(text: &str) -> usize {
    text.split(|c: char| c != '_' && !c.is_alphanumeric()).filter(|word| !word.is_empty()).count()
}
