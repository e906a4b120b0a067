//! Credentials in headers: kept out of answers, and what was shown masked out of what is stored.

use crate::catalog::MASK;

/// Parts of header names whose values are credentials.
const CREDENTIALS: [&str; 8] =
    ["authorization", "token", "secret", "password", "api-key", "apikey", "cookie", "credential"];

/// `Name: value` lines as they may be shown.
pub fn masked_headers(lines: &str) -> String {
    map_lines(lines, |name, value| masked_value(name, value).to_owned())
}

/// `new`, where what was shown masked is as in `old` again.
pub fn unmasked_headers(new: &str, old: &str) -> String {
    map_lines(new, |name, value| {
        let kept = if value == MASK { value_of(old, name) } else { None };
        kept.unwrap_or(value).to_owned()
    })
}

/// The value of a header as it may be shown.
pub fn masked_value<'a>(name: &str, value: &'a str) -> &'a str {
    let name = name.to_ascii_lowercase().replace('_', "-");
    let secret = !value.is_empty() && CREDENTIALS.iter().any(|part| name.contains(part));
    if secret { MASK } else { value }
}

fn value_of<'a>(headers: &'a str, name: &str) -> Option<&'a str> {
    let mut pairs = headers.lines().filter_map(|line| line.split_once(':'));
    pairs.find(|(n, _)| n.trim().eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
}

/// Rewrites the values of `Name: value` lines; lines that do not change and line breaks stay as they are.
fn map_lines(headers: &str, change: impl Fn(&str, &str) -> String) -> String {
    let mut out = String::with_capacity(headers.len());
    for line in headers.split_inclusive('\n') {
        let text = line.trim_end_matches(['\n', '\r']);
        let changed = text.split_once(':').map(|(name, value)| (name, value.trim(), change(name.trim(), value.trim())));
        match changed {
            Some((name, old, new)) if old != new => {
                out.push_str(&format!("{name}: {new}{}", &line[text.len()..]));
            }
            _ => out.push_str(line),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADERS: &str = "X-Site: fra1\r\nAuthorization: Bearer abc\nX_Api_Key:  k\nbroken line\n";

    #[test]
    fn credentials_are_masked_and_come_back_unchanged() {
        let shown = masked_headers(HEADERS);
        assert_eq!(shown, "X-Site: fra1\r\nAuthorization: ********\nX_Api_Key: ********\nbroken line\n");
        assert_eq!(unmasked_headers(&shown, HEADERS), HEADERS.replace("Key:  k", "Key: k"));
    }

    #[test]
    fn a_new_value_replaces_the_old_one() {
        assert_eq!(unmasked_headers("Authorization: x", HEADERS), "Authorization: x");
        assert_eq!(unmasked_headers("Cookie: ********", HEADERS), "Cookie: ********");
    }
}
