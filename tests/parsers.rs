//! Everything that reads what comes from outside, with arbitrary bytes and with bytes that are nearly right. The same
//! functions are fuzzed at length with the targets in `fuzz/`.

#[path = "../fuzz/drive.rs"]
mod drive;

use proptest::prelude::*;

/// Pieces that what is read is made of: put together at random they get further than noise does.
const PIECES: &[&str] = &[
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "\\u0000",
    "\\ud800",
    "null",
    "true",
    "-1",
    "1e999",
    "18446744073709551616",
    " ",
    "\n",
    "\"event\"",
    "\"updated\"",
    "\"model\"",
    "\"dcim.site\"",
    "\"Site\"",
    "\"data\"",
    "\"id\"",
    "\"timestamp\"",
    "\"2026-02-30T25:61:00Z\"",
    "\"signal_received_timestamp\"",
    "\"snapshots\"",
    "{\"id\":1}",
    "\"name\"",
    "\"payload_url\"",
    "\"models\"",
    "\"type_create\"",
    "\"secret\"",
    "http://",
    "https://",
    "user:pa%40ss@",
    "example.com",
    "[::1]",
    "[::ffff:1.2.3.4]",
    "127.1",
    "0x7f.1",
    ":0",
    ":65536",
    "/",
    "?",
    "#",
    "%",
    "%zz",
    "\u{130}",
    "\u{202e}",
    "xn--",
    "status=",
    "failed",
    "created__gte=",
    "&",
    "=",
    "limit=",
    "cursor=",
    "Sun, 06 Nov 1994 08:49:37 GMT",
    "99999999999999999999",
    "[delivery]\n",
    "[[endpoint]]\n",
    "[[webhook]]\n",
    "rate_limit",
    "\"10/s\"",
    "url",
    "timeout = \"0s\"\n",
    "\"14d\"",
];

fn pieces() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop::sample::select(PIECES).prop_map(|text| text.as_bytes().to_vec());
    let noise = prop::collection::vec(any::<u8>(), 0..4);
    prop::collection::vec(prop_oneof![8 => piece, 1 => noise], 0..40).prop_map(|parts| parts.concat())
}

/// Noise, pieces put together, and something valid with a few bytes changed.
fn input(valid: &'static str) -> impl Strategy<Value = Vec<u8>> {
    let change = (any::<prop::sample::Index>(), any::<u8>());
    let changed = prop::collection::vec(change, 0..4).prop_map(move |changes| {
        let mut bytes = valid.as_bytes().to_vec();
        changes.into_iter().for_each(|(at, byte)| bytes[at.index(valid.len())] = byte);
        bytes
    });
    prop_oneof![prop::collection::vec(any::<u8>(), 0..200), pieces(), changed]
}

const EVENT: &str = r#"{"event": "updated", "model": "dcim.site", "timestamp": "2026-01-02T03:04:05.678901Z", "id": "x",
  "data": {"id": 54, "name": "a\u00e9\ud83d\ude00"}, "snapshots": {"prechange": null, "postchange": {}}, "username": "n"}"#;
const CONFIG: &str =
    "[server]\nlisten = \"[::1]:80\"\nmax_body = \"1MiB\"\n[[endpoint]]\nurl = \"http://a/*\"\nburst = 2\n";
const WEBHOOK: &str = r#"{"name": "w", "models": ["dcim.site", "Device"], "type_create": true, "payload_url": "http://h/x",
  "additional_headers": "A: b", "http_method": "POST", "secret": "s"}"#;

const TEMPLATE: &str =
    "{% for k, v in data.items() %}{{ k|upper }}={{ v|tojson }}{% if not loop.last %}, {% endif %}{% endfor %}";
const CONDITION: &str =
    "{\"and\": [{\"attr\": \"a.b\", \"value\": \"^x+\", \"op\": \"regex\"}]}\n{\"a\": {\"b\": \"xx\"}}";

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, ..ProptestConfig::default() })]

    #[test]
    fn events(data in input(EVENT)) { drive::event(&data) }

    #[test]
    fn requests(first: u8, data in input(EVENT)) { drive::intake(&[&[first], &data[..]].concat()) }

    #[test]
    fn retry_after(data in input("Sun, 06 Nov 1994 08:49:37 GMT")) { drive::retry_after(&data) }

    #[test]
    fn filters(data in input("status=failed&model=dcim.site&created__gte=2026-01-02T03:04:05Z&q=%C3%A9&limit=5")) {
        drive::filter(&data)
    }

    #[test]
    fn bodies_of_bulk_actions(data in input(r#"{"status": ["failed", "canceled"], "endpoint_id": 3, "q": "x"}"#)) {
        drive::filter(&data)
    }

    #[test]
    fn configurations(data in input(CONFIG)) { drive::config(&data) }

    #[test]
    fn payload_urls(data in input("https://us%65r:p@Ex%61mple.COM:443/a/../b?c=d#e")) { drive::url(&data) }

    #[test]
    fn addresses(data in prop::collection::vec(any::<u8>(), 0..20)) { drive::egress(&data) }

    #[test]
    fn webhooks(data in input(WEBHOOK)) { drive::webhook(&data) }

    #[test]
    fn jobs(data in input("\u{80}\u{5}(X\u{3}\0\0\0abcN)}t.")) { drive::rq_job(&data) }

    #[test]
    fn templates(data in input(TEMPLATE)) { drive::template(&data) }

    #[test]
    fn conditions(data in input(CONDITION)) { drive::condition(&data) }
}
