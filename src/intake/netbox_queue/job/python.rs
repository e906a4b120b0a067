//! Numbers and texts as Python's `json` module writes them with its defaults.

use std::fmt::Write;

/// Python refuses to write integers of more digits (`sys.int_info.default_max_str_digits`).
const MAX_DIGITS: usize = 4_300;
/// No integer of `MAX_DIGITS` digits needs more.
const MAX_INT_BYTES: usize = 1_786;

/// A text in quotes with everything but printable ASCII escaped (`ensure_ascii`).
pub(super) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = rest.bytes().position(needs_escape) {
        let (plain, special) = rest.split_at(at);
        out.push_str(plain);
        // What needs an escape begins a character, and all before it is ASCII.
        let Some(c) = special.chars().next() else { break };
        push_escaped(out, c);
        rest = &special[c.len_utf8()..];
    }
    out.push_str(rest);
    out.push('"');
}

fn needs_escape(byte: u8) -> bool {
    !(b' '..=b'~').contains(&byte) || byte == b'"' || byte == b'\\'
}

fn push_escaped(out: &mut String, c: char) {
    let short = match c {
        '"' => "\\\"",
        '\\' => "\\\\",
        '\n' => "\\n",
        '\r' => "\\r",
        '\t' => "\\t",
        '\u{8}' => "\\b",
        '\u{c}' => "\\f",
        _ => {
            for unit in c.encode_utf16(&mut [0; 2]) {
                push_unit(out, *unit);
            }
            return;
        }
    };
    out.push_str(short);
}

fn push_unit(out: &mut String, unit: u16) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = u32::from(unit >> shift) & 0xf;
        out.push(char::from_digit(digit, 16).unwrap_or('0'));
    }
}

/// A float as `repr` writes it: the fewest digits that read back as the same number. `None`: not a finite number.
pub(super) fn float(number: f64) -> Option<String> {
    if !number.is_finite() {
        return None;
    }
    // Rust finds the same digits; Python lays them out differently.
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    if (-4..16).contains(&exponent) {
        let plain = format!("{number}");
        return Some(if plain.contains('.') { plain } else { plain + ".0" });
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    Some(format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs()))
}

/// A whole number in two's complement, least significant byte first, in decimal. `None`: longer than Python writes.
pub(super) fn integer(bytes: &[u8]) -> Option<String> {
    let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
    let filler = if negative { 0xff } else { 0 };
    let used = bytes.iter().rposition(|b| *b != filler).map_or(0, |last| last + 1);
    if used > MAX_INT_BYTES {
        return None;
    }
    let mut limbs = magnitude(&bytes[..used], negative);
    let mut groups = Vec::new();
    while !limbs.is_empty() {
        groups.push(divide(&mut limbs));
    }
    let mut digits = groups.pop().unwrap_or(0).to_string();
    for group in groups.iter().rev() {
        // Writing to a String cannot fail.
        let _ = write!(digits, "{group:09}");
    }
    if digits.len() > MAX_DIGITS {
        return None;
    }
    Some(if negative { format!("-{digits}") } else { digits })
}

/// The number without its sign, in limbs of 32 bit, least significant first, no leading zeros.
fn magnitude(bytes: &[u8], negative: bool) -> Vec<u32> {
    let mut limbs = Vec::with_capacity(bytes.len() / 4 + 1);
    let mut carry = negative;
    for chunk in bytes.chunks(4) {
        let mut word = [if negative { 0xff } else { 0 }; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        let limb = u32::from_le_bytes(word);
        let (limb, overflow) = if negative { (!limb).overflowing_add(carry.into()) } else { (limb, false) };
        carry = overflow;
        limbs.push(limb);
    }
    if carry {
        limbs.push(1);
    }
    trim(&mut limbs);
    limbs
}

/// Divides by 10⁹ in place; returns the rest.
fn divide(limbs: &mut Vec<u32>) -> u32 {
    const BASE: u64 = 1_000_000_000;
    let mut rest = 0;
    for limb in limbs.iter_mut().rev() {
        let wide = rest << 32 | u64::from(*limb);
        // A quotient of a rest below BASE fits; so does the rest itself.
        *limb = (wide / BASE) as u32;
        rest = wide % BASE;
    }
    trim(limbs);
    rest as u32
}

fn trim(limbs: &mut Vec<u32>) {
    while limbs.last() == Some(&0) {
        limbs.pop();
    }
}
