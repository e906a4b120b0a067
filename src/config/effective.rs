//! The configuration in force as `check` prints it: TOML that could be loaded again, but for its secrets.

use std::fmt::Write;

use serde_json::Value;

use super::policy::EndpointRule;
use super::sections::SECTIONS;
use super::setting::{Setting, Visitor};
use super::units::show_duration;
use super::{Config, FileWebhook};
use crate::domain::backoff;
use crate::domain::credentials::{MASK, masked_headers};
use crate::domain::payload_url::mask_userinfo;
use crate::domain::policy::Policy;

/// Every key with the value in force, secrets masked, and the retry schedule as comments.
pub fn effective(config: &Config) -> String {
    // Visiting takes the values mutably, as loading does.
    let mut config = config.clone();
    let mut out = String::new();
    for (name, section) in SECTIONS {
        table(&mut out, &format!("[{name}]"));
        section(&mut config).visit(&mut Writer { out: &mut out });
        if name == "delivery" {
            schedule(&mut out, &config.delivery.policy);
        }
    }
    for rule in &config.endpoints {
        endpoint(&mut out, &config, rule);
    }
    for webhook in &config.file_webhooks {
        file_webhook(&mut out, webhook);
    }
    out
}

struct Writer<'a> {
    out: &'a mut String,
}

impl Visitor for Writer<'_> {
    fn key(&mut self, name: &'static str, setting: &mut dyn Setting) {
        entry(self.out, name, &setting.show());
    }
}

fn table(out: &mut String, header: &str) {
    let gap = if out.is_empty() { "" } else { "\n" };
    push(out, format_args!("{gap}{header}\n"));
}

fn entry(out: &mut String, key: &str, value: &Value) {
    // JSON's null is a key that is not there.
    if let Some(value) = toml_value(value) {
        push(out, format_args!("{key} = {value}\n"));
    }
}

fn endpoint(out: &mut String, config: &Config, rule: &EndpointRule) {
    table(out, &format!("[[endpoint]] # line {}", rule.line));
    entry(out, "url", &Value::from(mask_userinfo(&rule.url)));
    for (key, value) in &rule.set {
        entry(out, key, value);
    }
    if rule.set.keys().any(|key| key.starts_with("backoff_") || key == "max_attempts") {
        schedule(out, &rule.over(&config.delivery.policy));
    }
}

fn file_webhook(out: &mut String, webhook: &FileWebhook) {
    table(out, &format!("[[webhook]] # line {}", webhook.line));
    let Value::Object(fields) = &webhook.value else { return };
    for (key, value) in fields {
        let shown = match (key.as_str(), value.as_str()) {
            ("secret", Some("")) => Value::from(""),
            ("secret", _) => Value::from(MASK),
            ("payload_url", Some(url)) => Value::from(mask_userinfo(url)),
            ("additional_headers", Some(headers)) => Value::from(masked_headers(headers)),
            _ => value.clone(),
        };
        entry(out, key, &shown);
    }
}

/// The waits between attempts, runs of equal ones counted: `1s, 2s, …, 12 x 1h; 13.1 h in all`.
fn schedule(out: &mut String, policy: &Policy) {
    let waits = backoff::schedule(policy);
    let runs = waits.chunk_by(|a, b| a == b).map(|run| match run.len() {
        1 => show_duration(run[0]),
        n => format!("{n} x {}", show_duration(run[0])),
    });
    let runs: Vec<String> = runs.collect();
    let total = match waits.iter().sum::<std::time::Duration>().as_secs_f64() {
        seconds if seconds < 120.0 => format!("{seconds} s"),
        seconds if seconds < 7_200.0 => format!("{:.0} min", seconds / 60.0),
        seconds => format!("{:.1} h", seconds / 3_600.0),
    };
    let runs = if runs.is_empty() { "none".to_owned() } else { runs.join(", ") };
    push(out, format_args!("# waits between attempts: {runs}; {total} in all, jitter adds up to 10 %\n"));
}

fn toml_value(value: &Value) -> Option<toml::Value> {
    Some(match value {
        Value::Null => return None,
        Value::Bool(flag) => (*flag).into(),
        Value::Number(number) => match number.as_i64() {
            Some(integer) => integer.into(),
            None => number.as_f64()?.into(),
        },
        Value::String(text) => text.as_str().into(),
        Value::Array(items) => toml::Value::Array(items.iter().filter_map(toml_value).collect()),
        Value::Object(fields) => {
            let fields = fields.iter().filter_map(|(key, value)| Some((key.clone(), toml_value(value)?)));
            toml::Value::Table(fields.collect())
        }
    })
}

fn push(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = out.write_fmt(text);
}
