//! Credentials in what is shown: masked on the way out, and taken for what is stored on the way back.

use std::collections::HashMap;

/// What stands where a credential is set.
pub const MASK: &str = "********";

/// Parts of header names whose values are credentials.
const CREDENTIALS: [&str; 7] = ["auth", "token", "secret", "passw", "key", "cookie", "credential"];

/// `Name: value` lines as they may be shown.
pub fn masked_headers(lines: &str) -> String {
    map_lines(lines, |name, value| masked_value(name, value).to_owned())
}

/// `new`, where what was shown masked is as in `old` again; of a name given twice the first is the first. What `old` does
/// not have stays masked, see [`is_masked`].
pub fn unmasked_headers(new: &str, old: &str) -> String {
    let mut seen: HashMap<String, usize> = HashMap::new();
    map_lines(new, |name, value| {
        let place = seen.entry(name.to_ascii_lowercase()).or_default();
        let kept = if value == MASK { value_of(old, name, *place) } else { None };
        *place += 1;
        kept.unwrap_or(value).to_owned()
    })
}

/// Names of headers whose value is the mask itself.
pub fn is_masked(headers: &str) -> impl Iterator<Item = &str> {
    let pairs = headers.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(_, value)| value.trim() == MASK).map(|(name, _)| name.trim())
}

/// The value of a header as it may be shown.
pub fn masked_value<'a>(name: &str, value: &'a str) -> &'a str {
    let name = name.to_ascii_lowercase();
    let secret = !value.is_empty() && CREDENTIALS.iter().any(|part| name.contains(part));
    if secret { MASK } else { value }
}

fn value_of<'a>(headers: &'a str, name: &str, place: usize) -> Option<&'a str> {
    let pairs = headers.lines().filter_map(|line| line.split_once(':'));
    let mut named = pairs.filter(|(n, _)| n.trim().eq_ignore_ascii_case(name));
    named.nth(place).map(|(_, value)| value.trim())
}

/// Rewrites the values of `Name: value` lines; lines that do not change and line breaks stay as they are.
fn map_lines(headers: &str, mut change: impl FnMut(&str, &str) -> String) -> String {
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

    const HEADERS: &str =
        "X-Site: fra1\r\nAuthorization: Bearer abc\nX_Api_Key:  k\nOcp-Apim-Subscription-Key: s\nbroken\n";

    #[test]
    fn credentials_are_masked_and_come_back_unchanged() {
        let shown = masked_headers(HEADERS);
        assert_eq!(
            shown,
            "X-Site: fra1\r\nAuthorization: ********\nX_Api_Key: ********\nOcp-Apim-Subscription-Key: ********\nbroken\n"
        );
        assert_eq!(unmasked_headers(&shown, HEADERS), HEADERS.replace("Key:  k", "Key: k"));
        let twice = "X-Token: a\nx-token: b";
        assert_eq!(unmasked_headers(&masked_headers(twice), twice), twice);
    }

    #[test]
    fn a_new_value_replaces_the_old_one() {
        assert_eq!(unmasked_headers("Authorization: x", HEADERS), "Authorization: x");
        let unknown = unmasked_headers("Cookie: ********\nX-Site: ams2", HEADERS);
        assert_eq!(is_masked(&unknown).collect::<Vec<_>>(), ["Cookie"]);
    }
}
