//! How times, numbers, texts and states read on a page. Pure.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// A `<time>` element: how long ago or how soon, the instant itself on hover.
pub fn time_element(at: Timestamp, now: Timestamp) -> String {
    let exact = exact(at);
    let (iso, text) = (at.to_string(), relative(at, now));
    // Digits, letters and punctuation of our own.
    format!("<time datetime=\"{iso}\" title=\"{exact}\">{text}</time>")
}

/// `2026-01-31 12:00:05 UTC`
pub fn exact(at: Timestamp) -> String {
    let text = at.to_string();
    match (text.get(..10), text.get(11..19)) {
        (Some(day), Some(time)) => format!("{day} {time} UTC"),
        _ => text,
    }
}

/// `in 5 s`, `3 min ago`
pub fn relative(at: Timestamp, now: Timestamp) -> String {
    if at > now {
        return format!("in {}", span(at.since(now)));
    }
    match now.since(at) {
        age if age < Duration::from_secs(1) => "just now".to_owned(),
        age => format!("{} ago", span(age)),
    }
}

/// A length of time in its largest unit, two where the first is small: `45 s`, `3 min`, `1 h 20 min`, `5 d`.
pub fn span(length: Duration) -> String {
    let s = length.as_secs();
    match s {
        0 => format!("{} ms", length.as_millis()),
        1..60 => format!("{s} s"),
        60..600 if !s.is_multiple_of(60) => format!("{} min {} s", s / 60, s % 60),
        60..3_600 => format!("{} min", s / 60),
        3_600..86_400 if s % 3_600 >= 60 => format!("{} h {} min", s / 3_600, s % 3_600 / 60),
        3_600..86_400 => format!("{} h", s / 3_600),
        _ => format!("{} d", s / 86_400),
    }
}

/// `12,345`
pub fn number(n: impl Into<u64>) -> String {
    let digits = n.into().to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `1 delivery`, `1,200 deliveries`
pub fn counted(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", number(n), if n == 1 { one } else { many })
}

/// `1 delivery is`, `2 deliveries are`
pub fn counted_are(n: u64, one: &str, many: &str) -> String {
    format!("{} {}", counted(n, one, many), if n == 1 { "is" } else { "are" })
}

/// Milliseconds with as many digits as say something: `3.2 ms`, `450 ms`, `2.1 s`.
pub fn millis(ms: f64) -> String {
    match ms {
        ms if ms < 10.0 => format!("{ms:.1} ms"),
        ms if ms < 1_000.0 => format!("{ms:.0} ms"),
        ms if ms < 60_000.0 => format!("{:.1} s", ms / 1_000.0),
        ms => span(Duration::from_secs_f64(ms / 1_000.0)),
    }
}

/// A rate per second: `0.3/s`, `120/s`; nothing is a dash.
pub fn rate(per_second: f64) -> String {
    match per_second {
        r if r <= 0.0 => "0/s".to_owned(),
        r if r < 10.0 => format!("{r:.1}/s"),
        r => format!("{}/s", number(r.round() as u64)),
    }
}

/// `1.4 GiB`
pub fn bytes(n: u64) -> String {
    let mut size = n as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if size < 1_024.0 {
            return if unit == "B" { format!("{n} B") } else { format!("{size:.1} {unit}") };
        }
        size /= 1_024.0;
    }
    format!("{size:.1} TiB")
}

/// The words of a name with underscores: `in_flight` is `in flight`.
pub fn words(name: &str) -> String {
    name.replace('_', " ")
}

/// The colour of a badge, by the state it names. The text says the same.
pub fn colour(state: &str) -> &'static str {
    match state {
        "delivered" | "sending" | "ok" | "finished" | "matched" | "active" | "created" | "enabled" => "green",
        "failed" | "open" | "quarantined" | "problem" | "deleted" => "red",
        "retrying" | "backing_off" | "half_open" | "full" | "throttled" => "orange",
        "in_flight" | "running" | "updated" => "blue",
        "paused" | "disabled" => "purple",
        _ => "grey",
    }
}

/// How `what a delivery waits for` reads; `until` and the rest are added by the page.
pub fn waiting(reason: &str) -> &'static str {
    match reason {
        "behind" => "behind another delivery of its object",
        "rate_limit" => "for the rate limit",
        "concurrency" => "for a free place among the requests in flight",
        "retry_after" => "because the receiver asked for a pause",
        "backoff" => "for its next attempt",
        "breaker" => "because the circuit breaker is open",
        "paused" => "because the endpoint is paused",
        "disabled" => "because its webhook is disabled",
        "service_disabled" => "because the service is switched off",
        "quarantined" => "because the endpoint is quarantined",
        "node_limit" => "for a free place on this node",
        "origin_limit" => "for the limit of its host",
        "moving" => "while its webhook moves to another URL",
        "store" => "for the store",
        _ => "for its turn",
    }
}

/// The path of NetBox's page of an object: the words of its class in the plural, with hyphens. Of what has no page of its
/// own there is none.
///
/// # Source
/// NetBox's `urls.py` of each application, 4.4.
pub fn netbox_path(class: &str) -> Option<String> {
    let of_another =
        class.ends_with("Template") && !matches!(class, "ConfigTemplate" | "ExportTemplate" | "ServiceTemplate");
    let path = match class {
        "VMInterface" => "interfaces".to_owned(),
        "CustomFieldChoiceSet" => "custom-field-choices".to_owned(),
        "CableTermination" | "ContactAssignment" | "FHRPGroupAssignment" | "ImageAttachment" | "Secret" => return None,
        _ if of_another => return None,
        _ => plural(hyphenated(class).replace("ip-sec", "ipsec")),
    };
    Some(path)
}

fn plural(name: String) -> String {
    match name.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'o', 'u']) => format!("{stem}ies"),
        _ if name.ends_with("chassis") => name,
        _ if name.ends_with(['s', 'x']) => format!("{name}es"),
        _ => format!("{name}s"),
    }
}

/// `IPAddress` as `ip-address`.
fn hyphenated(class: &str) -> String {
    let letters: Vec<char> = class.chars().collect();
    let mut out = String::with_capacity(class.len() + 4);
    for (at, letter) in letters.iter().enumerate() {
        let before = at.checked_sub(1).and_then(|at| letters.get(at));
        let begins = before.is_some_and(|before| {
            let word_follows = letters.get(at + 1).is_some_and(|next| next.is_ascii_lowercase());
            before.is_ascii_lowercase() || (before.is_ascii_uppercase() && word_follows)
        });
        if begins && letter.is_ascii_uppercase() {
            out.push('-');
        }
        out.push(letter.to_ascii_lowercase());
    }
    out
}

/// Bytes of a text that a page shows; the REST API has all of it.
pub const TEXT_MAX: usize = 256 << 10;

/// The start of a text, as much as a page shows, with a word on the rest.
pub fn cut(text: &str) -> std::borrow::Cow<'_, str> {
    if text.len() <= TEXT_MAX {
        return text.into();
    }
    let end = (0..=TEXT_MAX).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}\n… {} in all; the REST API has the rest", &text[..end], bytes(text.len() as u64)).into()
}

/// JSON with line breaks and indents; every number and string stays as it was written. What is no JSON stays too. As much
/// as a page shows.
pub fn pretty(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(TEXT_MAX) * 2);
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    if serde_json::from_str::<serde::de::IgnoredAny>(text).is_err() {
        return cut(text).into_owned();
    }
    let mut chars = text.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.extend(std::iter::repeat_n("  ", depth));
    };
    while let Some(c) = chars.next() {
        if out.len() > TEXT_MAX {
            out.push_str(&format!("\n… {} in all; the REST API has the rest", bytes(text.len() as u64)));
            break;
        }
        if in_string {
            out.push(c);
            (in_string, escaped) = (c != '"' || escaped, c == '\\' && !escaped);
            continue;
        }
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            c if c.is_ascii_whitespace() => {}
            '{' | '[' => {
                out.push(c);
                while chars.peek().is_some_and(char::is_ascii_whitespace) {
                    chars.next();
                }
                if let Some(end) = chars.next_if(|next| matches!(next, '}' | ']')) {
                    out.push(end);
                } else {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_read_as_people_say_them() {
        let now = Timestamp::from_secs(1_000_000);
        let ago = |s: i64| relative(Timestamp::from_secs(1_000_000 - s), now);
        assert_eq!([ago(0), ago(5), ago(60), ago(95)], ["just now", "5 s ago", "1 min ago", "1 min 35 s ago"]);
        assert_eq!([ago(1_200), ago(3_600), ago(4_800)], ["20 min ago", "1 h ago", "1 h 20 min ago"]);
        assert_eq!([ago(200_000), ago(-5)], ["2 d ago", "in 5 s"]);
        assert_eq!(exact(Timestamp::from_secs(0)), "1970-01-01 00:00:00 UTC");
    }

    #[test]
    fn numbers_are_grouped_and_exact() {
        assert_eq!([number(0u64), number(999u64), number(1_000u64)], ["0", "999", "1,000"]);
        assert_eq!(number(18_446_744_073_709_551_615u64), "18,446,744,073,709,551,615");
        assert_eq!([bytes(12), bytes(2_048), bytes(5 << 30)], ["12 B", "2.0 KiB", "5.0 GiB"]);
    }

    #[test]
    fn pretty_json_keeps_what_was_written() {
        let text = r#"{"a":9007199254740993,"b":[],"c":[1.10,"x\"{,:"],"d":{ }}"#;
        let shown = pretty(text);
        assert_eq!(
            shown,
            "{\n  \"a\": 9007199254740993,\n  \"b\": [],\n  \"c\": [\n    1.10,\n    \"x\\\"{,:\"\n  ],\n  \"d\": {}\n}"
        );
        assert_eq!(pretty("a=1&b=[2"), "a=1&b=[2");
        // However deep and long: a page stays a page.
        let deep = format!("{}{}{}", "[".repeat(90), vec!["1"; 500_000].join(","), "]".repeat(90));
        for shown in [pretty(&deep), cut(&deep).into_owned(), pretty(&"x".repeat(1 << 20))] {
            assert!(shown.len() < TEXT_MAX + 1_000 && shown.ends_with("the REST API has the rest"), "{}", shown.len());
        }
    }

    #[test]
    fn objects_are_where_netbox_has_them() {
        for (class, path) in [
            ("Device", Some("devices")),
            ("IPAddress", Some("ip-addresses")),
            ("MACAddress", Some("mac-addresses")),
            ("ASNRange", Some("asn-ranges")),
            ("FHRPGroup", Some("fhrp-groups")),
            ("L2VPN", Some("l2vpns")),
            ("L2VPNTermination", Some("l2vpn-terminations")),
            ("IPSecProfile", Some("ipsec-profiles")),
            ("IKEPolicy", Some("ike-policies")),
            ("VirtualChassis", Some("virtual-chassis")),
            ("VirtualDeviceContext", Some("virtual-device-contexts")),
            ("Prefix", Some("prefixes")),
            ("VMInterface", Some("interfaces")),
            ("JournalEntry", Some("journal-entries")),
            ("ModuleBay", Some("module-bays")),
            ("WirelessLANGroup", Some("wireless-lan-groups")),
            ("ConfigTemplate", Some("config-templates")),
            ("InterfaceTemplate", None),
        ] {
            assert_eq!(netbox_path(class).as_deref(), path);
        }
    }
}
