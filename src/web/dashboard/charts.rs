//! What the charts of a page show, for the script and for the table beside them. Pure.

use serde::Serialize;

use super::show;
use crate::dispatch::Minute;
use crate::web::rates::{Point, STEP};

/// Points of the service's chart that make one row of its table: five minutes.
const PER_ROW: usize = 300 / STEP.as_secs() as usize;

/// The last hour of the service.
pub struct Service {
    /// For the script: `[[seconds], [in], [delivered], [failed]]`.
    pub json: String,
    /// The same as a table, newest first, in fewer rows: until when, in, delivered, failed.
    pub rows: Vec<(String, u64, u64, u64)>,
}

impl Service {
    pub fn new(hour: &[Point]) -> Self {
        let column = |of: fn(&Point) -> u64| hour.iter().map(of).collect::<Vec<_>>();
        let seconds: Vec<i64> = hour.iter().map(|p| p.until.as_secs()).collect();
        let columns = (seconds, column(|p| p.happened.accepted), column(|p| p.happened.delivered));
        let json = json(&(columns.0, columns.1, columns.2, column(|p| p.happened.failed)));
        let row = |points: &[Point]| {
            let sum = |of: fn(&Point) -> u64| points.iter().map(of).sum();
            let until = points.last().map_or_else(String::new, |p| show::exact(p.until));
            (until, sum(|p| p.happened.accepted), sum(|p| p.happened.delivered), sum(|p| p.happened.failed))
        };
        Self { json, rows: hour.rchunks(PER_ROW).map(row).collect() }
    }
}

/// The last hour of an endpoint.
pub struct Endpoint {
    /// For the script, each `[[seconds], [one value per minute], …]`.
    pub ended: String,
    pub latency: String,
    pub in_flight: String,
    /// What happened beside: `[[seconds, "429" | "Retry-After" | "breaker opened"], …]`.
    pub marks: String,
    /// The same as a table, newest first.
    pub rows: Vec<MinuteRow>,
}

/// A minute in which anything happened.
pub struct MinuteRow {
    pub since: String,
    pub minute: Minute,
    pub latency: String,
    pub marks: String,
}

impl Endpoint {
    pub fn new(hour: &[Minute]) -> Self {
        let seconds: Vec<i64> = hour.iter().map(|m| m.since.as_secs()).collect();
        let column = |of: fn(&Minute) -> u32| hour.iter().map(of).collect::<Vec<_>>();
        let latency = |which: usize| {
            let ms = |m: &Minute| m.latency_us.map(|us| f64::from(us[which]) / 1_000.0);
            hour.iter().map(ms).collect::<Vec<_>>()
        };
        let marks = hour.iter().flat_map(|m| marks(m).into_iter().map(|(kind, _)| (m.since.as_secs(), kind)));
        let happened = hour.iter().rev().filter(|m| m.attempts + m.delivered + m.failed + m.opened > 0);
        Self {
            ended: json(&(&seconds, column(|m| m.delivered), column(|m| m.failed))),
            latency: json(&(&seconds, latency(0), latency(1))),
            in_flight: json(&(&seconds, column(|m| m.in_flight))),
            marks: json(&marks.collect::<Vec<_>>()),
            rows: happened.map(MinuteRow::new).collect(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }
}

impl MinuteRow {
    fn new(minute: &Minute) -> Self {
        let ms = |micros: u32| show::millis(f64::from(micros) / 1_000.0);
        let named =
            |(kind, n): (&str, u32)| if n > 1 { format!("{kind} × {}", show::number(n)) } else { kind.to_owned() };
        Self {
            since: show::exact(minute.since),
            latency: minute
                .latency_us
                .map_or_else(|| "–".to_owned(), |[p50, p95]| format!("{} / {}", ms(p50), ms(p95))),
            marks: marks(minute).into_iter().map(named).collect::<Vec<_>>().join(", "),
            minute: *minute,
        }
    }
}

/// What a minute is marked with, and how often it happened.
fn marks(minute: &Minute) -> Vec<(&'static str, u32)> {
    let all = [("429", minute.limited), ("Retry-After", minute.retry_after), ("breaker opened", minute.opened)];
    all.into_iter().filter(|(_, n)| *n > 0).collect()
}

/// Numbers and names of our own: always JSON.
fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Points of a small line of the last `minutes`, in a field of 60 by 20; empty: nothing was delivered.
pub fn spark(hour: &[Minute], minutes: usize) -> String {
    let last = &hour[hour.len().saturating_sub(minutes)..];
    let highest = last.iter().map(|m| m.delivered).max().filter(|highest| *highest > 0);
    let Some(highest) = highest else { return String::new() };
    // The newest minute stands at the right edge.
    let first = minutes - last.len();
    let step = 60.0 / minutes as f64;
    let point = |(place, minute): (usize, &Minute)| {
        let y = 19.0 - 18.0 * f64::from(minute.delivered) / f64::from(highest);
        format!("{:.0},{y:.1}", step * (first + place + 1) as f64)
    };
    last.iter().enumerate().map(point).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::Timestamp;

    fn minute(n: i64, delivered: u32, limited: u32) -> Minute {
        let since = Timestamp::from_secs(60 * n);
        let latency_us = (delivered > 0).then_some([1_500, 20_000]);
        Minute {
            since,
            attempts: delivered,
            delivered,
            failed: 0,
            limited,
            retry_after: 0,
            opened: 0,
            in_flight: 2,
            latency_us,
        }
    }

    #[test]
    fn the_small_line_ends_at_the_right_with_its_highest_minute_at_the_top() {
        let hour = [minute(0, 0, 0), minute(1, 5, 0), minute(2, 10, 0)];
        assert_eq!(spark(&hour, 30), "56,19.0 58,10.0 60,1.0");
        assert_eq!((spark(&[], 30), spark(&[minute(0, 0, 3)], 30)), (String::new(), String::new()));
    }

    #[test]
    fn chart_and_table_tell_the_same() {
        let charts = Endpoint::new(&[minute(1, 4, 0), minute(2, 0, 0), minute(3, 1, 7)]);
        assert_eq!(charts.ended, "[[60,120,180],[4,0,1],[0,0,0]]");
        assert_eq!(charts.latency, "[[60,120,180],[1.5,null,1.5],[20.0,null,20.0]]");
        assert_eq!(charts.marks, r#"[[180,"429"]]"#);
        let rows: Vec<_> =
            charts.rows.iter().map(|r| (r.since.as_str(), r.latency.as_str(), r.marks.as_str())).collect();
        let [first, third] = ["1970-01-01 00:01:00 UTC", "1970-01-01 00:03:00 UTC"];
        assert_eq!(rows, [(third, "1.5 ms / 20 ms", "429 × 7"), (first, "1.5 ms / 20 ms", "")]);
        assert!(Endpoint::new(&[]).is_empty());
    }
}
