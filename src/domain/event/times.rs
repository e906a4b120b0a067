//! The two times of an event: NetBox's `timestamp` and the backend's `signal_received_timestamp`, each made from the
//! other where only one is given.

use std::sync::Arc;

use jiff::civil::DateTime;
use jiff::fmt::temporal::DateTimeParser;
use jiff::tz::TimeZone;

use super::super::time::Timestamp;
use super::{EventError, scan, wrong};

const EXPECTED: &str =
    "give ISO 8601 like \"2026-11-23T19:38:15.128880+00:00\" or seconds since 1970 like 1508769597.5";
const PARSER: DateTimeParser = DateTimeParser::new();

/// One time as given.
enum Given<'a> {
    /// As the number is spelled.
    Number(&'a str, Timestamp),
    /// As the text is spelled.
    Text(std::borrow::Cow<'a, str>, Timestamp),
}

/// `signal_received_timestamp` as JSON number text and `timestamp` as ISO 8601 text: what was given as it is spelled,
/// what was not made from the other, or from `received`.
pub(super) fn read(
    signal: Option<&str>,
    timestamp: Option<&str>,
    received: Timestamp,
) -> Result<(Arc<str>, Arc<str>), EventError> {
    let signal = signal.map(|value| given("signal_received_timestamp", value)).transpose()?;
    let timestamp = timestamp.map(|value| given("timestamp", value)).transpose()?;
    let seconds: Arc<str> = match signal.as_ref().or(timestamp.as_ref()) {
        Some(Given::Number(text, _)) => (*text).into(),
        Some(Given::Text(_, at)) => epoch_seconds(*at).into(),
        None => epoch_seconds(received).into(),
    };
    let iso: Arc<str> = match timestamp.as_ref().or(signal.as_ref()) {
        Some(Given::Text(text, _)) => (**text).into(),
        Some(Given::Number(_, at)) => iso(*at).into(),
        None => iso(received).into(),
    };
    Ok((seconds, iso))
}

fn given<'a>(member: &'static str, value: &'a str) -> Result<Given<'a>, EventError> {
    let refused = || wrong(member, value, EXPECTED);
    if let Some(text) = scan::string(value) {
        let at = parse_iso(&text).ok_or_else(refused)?;
        return Ok(Given::Text(text, at));
    }
    let seconds: f64 = value.parse().map_err(|_| refused())?;
    let micros = (seconds * 1e6).round();
    // Beyond what a calendar can show (year 9999) it is no time; below, the cast is exact.
    if micros.abs() >= 2.5e17 {
        return Err(refused());
    }
    Ok(Given::Number(value, Timestamp(micros as i64)))
}

/// With a zone or without: NetBox before 2.7 wrote naive times, taken as UTC.
fn parse_iso(text: &str) -> Option<Timestamp> {
    if let Ok(at) = PARSER.parse_timestamp(text) {
        return Some(Timestamp(at.as_microsecond()));
    }
    let naive: DateTime = PARSER.parse_datetime(text).ok()?;
    Some(Timestamp(TimeZone::UTC.to_timestamp(naive).ok()?.as_microsecond()))
}

/// Seconds since 1970 with up to six decimals, trailing zeros dropped.
fn epoch_seconds(at: Timestamp) -> String {
    let sign = if at.0 < 0 { "-" } else { "" };
    let (seconds, micros) = (at.0.unsigned_abs() / 1_000_000, at.0.unsigned_abs() % 1_000_000);
    if micros == 0 {
        return format!("{sign}{seconds}");
    }
    let text = format!("{sign}{seconds}.{micros:06}");
    text.trim_end_matches('0').to_owned()
}

/// As Python's `isoformat` writes it in UTC, always with microseconds.
fn iso(at: Timestamp) -> String {
    let text = at.to_string();
    text.strip_suffix('Z').map_or_else(|| text.clone(), |naive| format!("{naive}+00:00"))
}
