//! Durations, sizes and rates as people write them: `"30s"`, `"64KiB"`, `"10/s"`.

use std::time::Duration;

use crate::domain::policy::Rate;

/// Unit and its milliseconds, largest first.
const DURATION_UNITS: [(&str, u64); 5] = [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Unit and its bytes, largest first.
const SIZE_UNITS: [(&str, u64); 5] = [("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Unit and its seconds.
const RATE_UNITS: [(&str, u64); 3] = [("s", 1), ("m", 60), ("h", 3_600)];

/// The largest number of requests in one unit of a rate.
const MAX_RATE: u32 = 1_000_000;

/// Reads a whole number and one of `ms`, `s`, `m`, `h`, `d`.
///
/// # Errors
/// Anything else, with an example of what is right.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    scaled(text, &DURATION_UNITS).map(Duration::from_millis).ok_or_else(|| {
        format!("\"{text}\" is not a duration; give one like \"500ms\", \"30s\", \"5m\", \"1h\" or \"14d\"")
    })
}

/// Writes a duration in the largest unit up to hours that is exact: `"90m"`, `"72h"`.
pub fn show_duration(duration: Duration) -> String {
    show_scaled(millis(duration), &DURATION_UNITS[1..])
}

/// Writes a duration in the largest unit up to days that is exact: `"14d"`.
pub fn show_days(duration: Duration) -> String {
    show_scaled(millis(duration), &DURATION_UNITS)
}

/// Reads a whole number and one of `B`, `KiB`, `MiB`, `GiB`, `TiB`.
///
/// # Errors
/// Anything else, with an example of what is right.
pub fn parse_size(text: &str) -> Result<u64, String> {
    scaled(text, &SIZE_UNITS)
        .ok_or_else(|| format!("\"{text}\" is not a size; give one like \"64KiB\", \"1MiB\" or \"20GiB\""))
}

/// Writes a size in the largest unit that is exact.
pub fn show_size(bytes: u64) -> String {
    show_scaled(bytes, &SIZE_UNITS)
}

/// Reads `count/unit` with one of `s`, `m`, `h`; the empty text is no limit.
///
/// # Errors
/// Anything else, with an example of what is right.
pub fn parse_rate(text: &str) -> Result<Option<Rate>, String> {
    if text.trim().is_empty() {
        return Ok(None);
    }
    let parsed = text.split_once('/').and_then(|(count, unit)| {
        let count = count.trim().parse().ok().filter(|count| (1..=MAX_RATE).contains(count))?;
        let (_, seconds) = RATE_UNITS.iter().find(|(name, _)| *name == unit.trim())?;
        Some(Rate { count, per: Duration::from_secs(*seconds) })
    });
    parsed.map(Some).ok_or_else(|| {
        format!("\"{text}\" is not a rate; give one like \"10/s\", \"600/m\" or \"100/h\" (1 to {MAX_RATE}), or \"\" for none")
    })
}

/// Writes a rate, `""` for none.
pub fn show_rate(rate: Option<Rate>) -> String {
    let Some(rate) = rate else { return String::new() };
    let unit = RATE_UNITS.iter().find(|(_, seconds)| rate.per == Duration::from_secs(*seconds));
    match unit {
        Some((name, _)) => format!("{}/{name}", rate.count),
        None => format!("{}/{}", rate.count, show_duration(rate.per)),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn scaled(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let text = text.trim();
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show_scaled(amount: u64, units: &[(&str, u64)]) -> String {
    let exact = units.iter().find(|(_, factor)| amount > 0 && amount.is_multiple_of(*factor));
    match exact {
        Some((name, factor)) => format!("{}{name}", amount / factor),
        // Zero of what people would name: seconds of time, bytes of size.
        None => format!("0{}", if units.contains(&("s", 1_000)) { "s" } else { "B" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_back_as_written() {
        for text in ["500ms", "30s", "5m", "1h", "72h", "0s", "90m", "1500ms"] {
            assert_eq!(show_duration(parse_duration(text).expect(text)), text);
        }
        for text in ["14d", "1d", "36h"] {
            assert_eq!(show_days(parse_duration(text).expect(text)), text);
        }
        assert_eq!(parse_duration(" 2 m "), Ok(Duration::from_secs(120)));
    }

    #[test]
    fn sizes_and_rates_read_back_as_written() {
        for text in ["1MiB", "64KiB", "20GiB", "100B", "0B", "3TiB"] {
            assert_eq!(show_size(parse_size(text).expect(text)), text);
        }
        for text in ["10/s", "600/m", "100/h", ""] {
            assert_eq!(show_rate(parse_rate(text).expect(text)), text);
        }
    }

    #[test]
    fn what_is_not_exact_is_refused_with_an_example() {
        for text in ["", "30", "s", "1.5s", "-1s", "30 sec", "99999999999999999999s", "400000000000000000d"] {
            assert!(parse_duration(text).expect_err(text).contains("30s"), "{text}");
        }
        for text in ["1MB", "1", "x"] {
            assert!(parse_size(text).expect_err(text).contains("64KiB"), "{text}");
        }
        for text in ["0/s", "10", "10/d", "/s", "1000001/s", "-1/s"] {
            assert!(parse_rate(text).expect_err(text).contains("10/s"), "{text}");
        }
    }
}
