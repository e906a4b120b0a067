//! Names, numbers and strings as Python writes them.

use super::lexer::Kind;

/// What Python's `str.isspace` and `\s` hold to be whitespace.
pub(super) fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\x1c'..='\x1f').contains(&c)
}

/// The name at the start of `text` and its length.
pub(super) fn name(text: &str) -> (Kind, usize) {
    let length = text.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(text.len());
    (Kind::Name(text[..length].to_owned()), length)
}

/// The number at the start of `text` and its length. After a dot it is an index and has no fraction.
///
/// # Errors
/// Integers above 127 bits, floats that are infinite.
pub(super) fn number(text: &str, after_dot: bool) -> Result<(Kind, usize), String> {
    let bytes = text.as_bytes();
    let radix = match bytes.get(1).map(u8::to_ascii_lowercase) {
        Some(b'x') if bytes[0] == b'0' => 16,
        Some(b'o') if bytes[0] == b'0' => 8,
        Some(b'b') if bytes[0] == b'0' => 2,
        _ => 10,
    };
    if radix != 10 {
        let length = 2 + digits(&text[2..], radix);
        return integer(&text[2..length], radix).map(|kind| (kind, length));
    }
    let whole = digits(text, 10);
    let mut length = whole;
    if !after_dot && text[length..].starts_with('.') {
        let fraction = digits(&text[length + 1..], 10);
        length += if fraction > 0 { 1 + fraction } else { 0 };
    }
    if !after_dot && text[length..].starts_with(['e', 'E']) {
        let sign = usize::from(text[length + 1..].starts_with(['+', '-']));
        let exponent = digits(&text[length + 1 + sign..], 10);
        length += if exponent > 0 { 1 + sign + exponent } else { 0 };
    }
    if length == whole {
        return integer(&text[..length], 10).map(|kind| (kind, length));
    }
    let value: f64 = text[..length].replace('_', "").parse().map_err(|_| "the number cannot be read".to_owned())?;
    if value.is_finite() { Ok((Kind::Float(value), length)) } else { Err("the number is too large".to_owned()) }
}

/// How many bytes are digits, with single underscores between them.
fn digits(text: &str, radix: u32) -> usize {
    let bytes = text.as_bytes();
    let is_digit = |i: usize| bytes.get(i).is_some_and(|b| char::from(*b).is_digit(radix));
    let mut length = 0;
    while is_digit(length) || (bytes.get(length) == Some(&b'_') && is_digit(length + 1) && (length > 0 || radix != 10))
    {
        length += 1;
    }
    length
}

fn integer(text: &str, radix: u32) -> Result<Kind, String> {
    let text = text.replace('_', "");
    // Python has no octal "0123": a leading zero ends the number and what follows is a token too many.
    if radix == 10 && text.len() > 1 && text.starts_with('0') && text.bytes().any(|b| b != b'0') {
        return Err(format!("a number may not start with zero: {text}"));
    }
    i128::from_str_radix(&text, radix).map(Kind::Int).map_err(|_| "the number is too large".to_owned())
}

/// The string at the start of `text`, escapes resolved, and its length.
///
/// # Errors
/// No closing quote, or an escape that Python refuses.
pub(super) fn text(text: &str) -> Result<(Kind, usize), String> {
    let quote = text.chars().next().unwrap_or_default();
    let mut value = String::new();
    let mut chars = text.char_indices().skip(1);
    while let Some((index, c)) = chars.next() {
        match c {
            '\\' => {
                let rest = &text[index + 1..];
                let (unescaped, length) = escape(rest)?;
                value.extend(unescaped);
                for _ in rest[..length].chars() {
                    chars.next();
                }
            }
            c if c == quote => return Ok((Kind::Text(value), index + 1)),
            c => value.push(c),
        }
    }
    Err("the string is not closed".to_owned())
}

/// What an escape stands for and how many bytes follow its backslash.
fn escape(rest: &str) -> Result<(Vec<char>, usize), String> {
    let c = rest.chars().next().ok_or("the string is not closed")?;
    let simple = |c: char| Ok((vec![c], 1));
    match c {
        '\n' => Ok((Vec::new(), 1)),
        '\\' | '\'' | '"' => simple(c),
        'a' => simple('\x07'),
        'b' => simple('\x08'),
        'f' => simple('\x0c'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\x0b'),
        'x' => hex(rest, 2),
        'u' => hex(rest, 4),
        'U' => hex(rest, 8),
        'N' => Err("characters by name, \"\\N{...}\", are not supported".to_owned()),
        '0'..='7' => {
            let length = rest.bytes().take(3).take_while(|b| (b'0'..=b'7').contains(b)).count();
            let code = u32::from_str_radix(&rest[..length], 8).unwrap_or_default();
            Ok((vec![char::from_u32(code).unwrap_or_default()], length))
        }
        // Python keeps the backslash of an escape it does not know.
        c => Ok((vec!['\\', c], c.len_utf8())),
    }
}

fn hex(rest: &str, digits: usize) -> Result<(Vec<char>, usize), String> {
    let wrong = || format!("\"\\{}\" needs {digits} hexadecimal digits of a character", &rest[..1]);
    let text = rest.get(1..=digits).filter(|text| text.bytes().all(|b| b.is_ascii_hexdigit())).ok_or_else(wrong)?;
    let code = u32::from_str_radix(text, 16).map_err(|_| wrong())?;
    Ok((vec![char::from_u32(code).ok_or_else(wrong)?], 1 + digits))
}
