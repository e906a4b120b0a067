//! `Retry-After`: how long a receiver asks us to wait. Pure.

use std::time::{Duration, UNIX_EPOCH};

use crate::domain::time::Timestamp;

/// Nobody means more; keeps a silly number from overflowing what it is added to.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// How long to wait from `now`: delta-seconds or an HTTP-date, whose past is no wait at all. Anything else is `None`,
/// never an error. At most a year.
///
/// # Source
/// RFC 9110 §10.2.3.
pub fn parse(value: &[u8], now: Timestamp) -> Option<Duration> {
    let text = std::str::from_utf8(value).ok()?.trim();
    if text.is_empty() {
        return None;
    }
    if text.bytes().all(|b| b.is_ascii_digit()) {
        // Too many digits for a number is still a number of seconds.
        return Some(text.parse().map_or(LONGEST, Duration::from_secs).min(LONGEST));
    }
    let at = httpdate::parse_http_date(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    let at = Timestamp::from_secs(i64::try_from(at.as_secs()).unwrap_or(i64::MAX));
    Some(at.since(now).min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: Timestamp = Timestamp::from_secs(784_111_777);

    fn seconds(value: &str) -> Option<u64> {
        parse(value.as_bytes(), NOW).map(|d| d.as_secs())
    }

    #[test]
    fn seconds_and_all_three_dates_are_understood() {
        assert_eq!(seconds("120"), Some(120));
        assert_eq!(seconds(" 0 "), Some(0));
        // RFC 9110 §5.6.7: the same instant three times, then ten seconds later.
        for date in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            assert_eq!(seconds(date), Some(0), "{date}");
        }
        assert_eq!(seconds("Sun, 06 Nov 1994 08:49:47 GMT"), Some(10));
        assert_eq!(seconds("Sun, 06 Nov 1983 08:49:47 GMT"), Some(0));
    }

    #[test]
    fn anything_else_is_ignored() {
        for other in ["", " ", "-1", "+5", "1.5", "1e3", "soon", "10s", "Sun, 06 Nov 1994", "\u{665}"] {
            assert_eq!(seconds(other), None, "{other:?}");
        }
        assert_eq!(parse(b"\xff\xfe", NOW), None);
        assert_eq!(seconds("99999999999999999999999999"), Some(LONGEST.as_secs()));
    }

    proptest! {
        #[test]
        fn no_header_upsets_it(value in proptest::collection::vec(any::<u8>(), 0..64), now in any::<i64>()) {
            let wait = parse(&value, Timestamp(now));
            prop_assert!(wait.is_none_or(|w| w <= LONGEST));
        }

        #[test]
        fn seconds_are_taken_as_they_are(wait in 0u64..LONGEST.as_secs(), now in any::<i64>()) {
            prop_assert_eq!(parse(wait.to_string().as_bytes(), Timestamp(now)), Some(Duration::from_secs(wait)));
        }

        #[test]
        fn a_date_means_the_time_until_then(at in 0i64..4_000_000_000, now in 0i64..4_000_000_000) {
            let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at.unsigned_abs()));
            let expected = Duration::from_secs(u64::try_from(at - now).unwrap_or(0)).min(LONGEST);
            prop_assert_eq!(parse(date.as_bytes(), Timestamp::from_secs(now)), Some(expected));
        }
    }
}
