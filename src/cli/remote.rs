//! The operations of the REST API as commands.

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use serde_json::{Map, Value, json};

use super::rest::{self, Rest, RestError};
use super::{Remote, Which, output};

const ENDPOINT_COLUMNS: [(&str, &str); 9] = [
    ("ID", "id"),
    ("STATE", "state"),
    ("PENDING", "pending"),
    ("FLIGHT", "in_flight"),
    ("RETRYING", "retrying"),
    ("FAILED", "failed"),
    ("DELIVERED", "delivered"),
    ("URL", "url"),
    ("LAST ERROR", "last_error"),
];

const WEBHOOK_COLUMNS: [(&str, &str); 5] =
    [("ID", "id"), ("NAME", "name"), ("ENABLED", "enabled"), ("MODELS", "models"), ("PAYLOAD URL", "payload_url")];

const DELIVERY_COLUMNS: [(&str, &str); 9] = [
    ("ID", "id"),
    ("STATUS", "status"),
    ("EVENT", "event.event"),
    ("MODEL", "model"),
    ("OBJECT", "object_id"),
    ("WEBHOOK", "webhook_id"),
    ("ATTEMPTS", "attempt_count"),
    ("ERROR", "error"),
    ("WAITS FOR", "waiting_for.reason"),
];

/// `status`
pub async fn status(config: Option<&Path>, remote: Remote) -> anyhow::Result<ExitCode> {
    let rest = rest::open(config, &remote)?;
    let status = rest.get("/api/status/").await?;
    let endpoints = rest.all("/api/endpoints/").await?;
    if remote.json {
        output::json(&json!({ "status": status, "endpoints": endpoints }))?;
        return Ok(ExitCode::SUCCESS);
    }
    output::print(&output::fields(&status))?;
    output::print(&format!("\n{}", output::table(&endpoints, &ENDPOINT_COLUMNS)))?;
    Ok(ExitCode::SUCCESS)
}

/// `webhooks`
pub async fn webhooks(config: Option<&Path>, remote: Remote) -> anyhow::Result<ExitCode> {
    let webhooks = rest::open(config, &remote)?.all("/api/webhooks/").await?;
    show(&remote, webhooks, &WEBHOOK_COLUMNS)
}

/// `deliveries`
pub async fn deliveries(
    config: Option<&Path>,
    remote: Remote,
    filter: Vec<(String, String)>,
    limit: u32,
) -> anyhow::Result<ExitCode> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(filter).append_pair("limit", &limit.to_string());
    let mut answer = rest::open(config, &remote)?.get(&format!("/api/deliveries/?{}", query.finish())).await?;
    let rows = match answer["results"].take() {
        Value::Array(rows) => rows,
        _ => Vec::new(),
    };
    show(&remote, rows, &DELIVERY_COLUMNS)
}

/// `retry`
pub async fn retry(config: Option<&Path>, remote: Remote, which: Which, skip: bool) -> anyhow::Result<ExitCode> {
    let rest = rest::open(config, &remote)?;
    if which.filter.is_empty() {
        return each(&rest, &remote, &which.ids, "retry").await;
    }
    let mut body = body_of(which.filter);
    if skip {
        body.insert("skip_if_newer_delivered".to_owned(), Value::Bool(true));
    }
    bulk(&rest, &remote, "retry", body).await
}

/// `cancel`
pub async fn cancel(config: Option<&Path>, remote: Remote, which: Which) -> anyhow::Result<ExitCode> {
    let rest = rest::open(config, &remote)?;
    if which.filter.is_empty() {
        return each(&rest, &remote, &which.ids, "cancel").await;
    }
    bulk(&rest, &remote, "cancel", body_of(which.filter)).await
}

/// `pause` and `resume`
pub async fn order(
    config: Option<&Path>,
    remote: Remote,
    endpoints: Vec<String>,
    order: &str,
) -> anyhow::Result<ExitCode> {
    let rest = rest::open(config, &remote)?;
    let mut outcome = Outcome::new(&remote);
    for endpoint in &endpoints {
        let answer = match endpoint_id(&rest, endpoint).await {
            Ok(id) => rest.post(&format!("/api/endpoints/{id}/{order}/"), &json!({})).await,
            Err(e) => Err(e),
        };
        outcome.add(endpoint, answer, |answer| format!("is {}", answer["state"].as_str().unwrap_or("told")))?;
    }
    outcome.finish()
}

/// An endpoint is named by its id or its URL.
async fn endpoint_id(rest: &Rest, named: &str) -> Result<String, RestError> {
    if named.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(named.to_owned());
    }
    let url = crate::domain::payload_url::Target::parse(named).map(|target| target.endpoint_key().to_string());
    let url = url.unwrap_or_else(|_| named.to_owned());
    let endpoints = rest.all("/api/endpoints/").await?;
    let found = endpoints.iter().find(|endpoint| endpoint["url"] == url.as_str());
    found.map(|endpoint| endpoint["id"].to_string()).ok_or_else(|| RestError::Refused {
        status: 404,
        text: "no endpoint has this URL; `netbox-webhookd status` lists them".to_owned(),
    })
}

async fn each(rest: &Rest, remote: &Remote, ids: &[String], order: &str) -> anyhow::Result<ExitCode> {
    let mut outcome = Outcome::new(remote);
    for id in ids {
        let id_in_path: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
        let answer = rest.post(&format!("/api/deliveries/{id_in_path}/{order}/"), &json!({})).await;
        outcome.add(id, answer, |answer| {
            let newer = answer["newer_delivered"] == true;
            let waits = answer["waiting_for"]["reason"].as_str().map(|reason| format!(", waits for {reason}"));
            let note = if newer { "; a newer event of this object was delivered already" } else { "" };
            format!("{order} accepted{}{note}", waits.unwrap_or_default())
        })?;
    }
    outcome.finish()
}

async fn bulk(rest: &Rest, remote: &Remote, order: &str, body: Map<String, Value>) -> anyhow::Result<ExitCode> {
    let answer = rest.post(&format!("/api/deliveries/{order}/"), &Value::Object(body)).await?;
    if remote.json {
        output::json(&answer)?;
    } else {
        let progress = answer["url"].as_str().unwrap_or("/api/bulk-actions/");
        output::line(&format!("{} deliveries match; progress: GET {progress}", answer["matched"]))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A repeated key means "or".
fn body_of(filter: Vec<(String, String)>) -> Map<String, Value> {
    let mut body = Map::new();
    for (key, value) in filter {
        if let Value::Array(values) = body.entry(key).or_insert_with(|| json!([])) {
            values.push(value.into());
        }
    }
    // A time stands alone: the API takes no list of them.
    body.into_iter().map(|(key, value)| (key, single(value))).collect()
}

fn single(value: Value) -> Value {
    match value {
        Value::Array(mut values) if values.len() == 1 => values.remove(0),
        other => other,
    }
}

fn show(remote: &Remote, rows: Vec<Value>, columns: &[(&str, &str)]) -> anyhow::Result<ExitCode> {
    if remote.json {
        output::json(&Value::Array(rows))?;
    } else {
        output::print(&output::table(&rows, columns))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What came of several orders: each is tried, one that failed makes the exit code 1.
struct Outcome {
    json: bool,
    answers: Vec<Value>,
    failed: usize,
}

impl Outcome {
    fn new(remote: &Remote) -> Self {
        Self { json: remote.json, answers: Vec::new(), failed: 0 }
    }

    fn add(
        &mut self,
        name: &str,
        answer: Result<Value, RestError>,
        say: impl Fn(&Value) -> String,
    ) -> anyhow::Result<()> {
        match answer {
            // Whoever is not there will not be there for the next one either.
            Err(unreachable @ RestError::Unreachable { .. }) => return Err(unreachable.into()),
            Err(refused) => {
                self.failed += 1;
                eprintln!("{name}: {refused}");
            }
            Ok(answer) if self.json => self.answers.push(answer),
            Ok(answer) => output::line(&format!("{name}: {}", say(&answer))).context("cannot print")?,
        }
        Ok(())
    }

    fn finish(self) -> anyhow::Result<ExitCode> {
        if self.json {
            output::json(&Value::Array(self.answers))?;
        }
        Ok(if self.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repeated_filter_means_or() {
        let pairs = [("status", "failed"), ("webhook_id", "1"), ("webhook_id", "2")];
        let body = body_of(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect());
        assert_eq!(Value::Object(body), json!({"status": "failed", "webhook_id": ["1", "2"]}));
    }
}
