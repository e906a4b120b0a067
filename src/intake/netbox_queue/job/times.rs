//! Dates and times out of the bytes Python pickles them in, in the form REST framework's JSON encoder gives them.
//!
//! # Source
//! `datetime.datetime.__reduce__` and its siblings in CPython's `Lib/_pydatetime.py`; `JSONEncoder.default` in
//! `rest_framework/utils/encoders.py` (3.14 to 3.16): ISO 8601 with microseconds if there are any, `Z` for `+00:00`.

/// `date`: year (two bytes), month, day.
pub(super) fn date(bytes: &[u8]) -> Option<String> {
    let &[high, low, month, day] = bytes else { return None };
    let year = u16::from_be_bytes([high, low]);
    let valid = (1..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    valid.then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// `time`: hour, minute, second, microsecond (three bytes). The first bit of the hour says which of two equal hours of a
/// change of clocks it is, and is not written.
pub(super) fn time(bytes: &[u8]) -> Option<String> {
    let &[hour, minute, second, a, b, c] = bytes else { return None };
    let (hour, micros) = (hour & 0x7f, u32::from_be_bytes([0, a, b, c]));
    if hour > 23 || minute > 59 || second > 59 || micros > 999_999 {
        return None;
    }
    let whole = format!("{hour:02}:{minute:02}:{second:02}");
    Some(if micros == 0 { whole } else { format!("{whole}.{micros:06}") })
}

/// `datetime`: a date and a time; the extra bit is that of the month. `offset`: from UTC, in microseconds.
pub(super) fn datetime(bytes: &[u8], offset: Option<i64>) -> Option<String> {
    let (day, clock) = bytes.split_at_checked(4)?;
    let &[high, low, month, day] = day else { return None };
    let hour = *clock.first()?;
    if hour > 23 {
        return None;
    }
    let mut text = date(&[high, low, month & 0x7f, day])? + "T" + &time(clock)?;
    match offset {
        None => {}
        Some(0) => text.push('Z'),
        Some(offset) => text += &utc_offset(offset)?,
    }
    Some(text)
}

/// A span in microseconds, which a zone may have as its offset: less than a day.
pub(super) fn span(days: i64, seconds: i64, micros: i64) -> Option<i64> {
    days.checked_mul(86_400)?.checked_add(seconds)?.checked_mul(1_000_000)?.checked_add(micros)
}

fn utc_offset(micros: i64) -> Option<String> {
    const DAY: u64 = 86_400_000_000;
    let sign = if micros < 0 { '-' } else { '+' };
    let micros = micros.unsigned_abs();
    if micros >= DAY {
        return None;
    }
    let seconds = micros / 1_000_000;
    let mut text = format!("{sign}{:02}:{:02}", seconds / 3_600, seconds / 60 % 60);
    if !micros.is_multiple_of(60_000_000) {
        text += &format!(":{:02}", seconds % 60);
    }
    if !micros.is_multiple_of(1_000_000) {
        text += &format!(".{:06}", micros % 1_000_000);
    }
    Some(text)
}

/// `timedelta`: its seconds as a float, read as Python divides: rounded once.
pub(super) fn seconds(days: i64, seconds: i64, micros: i64) -> Option<f64> {
    let total = i128::from(days)
        .checked_mul(86_400)?
        .checked_add(seconds.into())?
        .checked_mul(1_000_000)?
        .checked_add(micros.into())?;
    let (sign, total) = (if total < 0 { "-" } else { "" }, total.unsigned_abs());
    format!("{sign}{}.{:06}", total / 1_000_000, total % 1_000_000).parse().ok()
}
