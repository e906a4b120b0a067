//! A client for REST APIs in NetBox's manner: NetBox's own, and ours.

use std::sync::Arc;
use std::time::Duration;

use awc::http::Method;
use awc::{Client, Connector};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// How long the other side may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Most rows one answer has.
const PAGE: &str = "1000";

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error("cannot reach {base}: {reason}; {advice}")]
    Unreachable { base: String, reason: String, advice: &'static str },
    #[error("{text} (HTTP {status})")]
    Refused { status: u16, text: String },
}

/// A server and the token it is asked with.
pub struct Rest {
    base: String,
    token: String,
    client: Client,
    advice: &'static str,
}

impl Rest {
    /// `advice` is for people who cannot reach it.
    pub fn new(base: &str, token: String, advice: &'static str) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let client = Client::builder().timeout(TIMEOUT).disable_redirects();
        let client = if base.starts_with("https:") {
            client.connector(Connector::new().rustls_0_23(Arc::new(tls()))).finish()
        } else {
            client.finish()
        };
        Self { base, token, client, advice }
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    pub async fn get(&self, path: &str) -> Result<Value, RestError> {
        self.send(Method::GET, path, &Value::Null).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::POST, path, body).await
    }

    pub async fn patch(&self, path: &str, body: &Value) -> Result<Value, RestError> {
        self.send(Method::PATCH, path, body).await
    }

    pub async fn delete(&self, path: &str) -> Result<Value, RestError> {
        self.send(Method::DELETE, path, &Value::Null).await
    }

    /// All rows of a list, page by page.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>, RestError> {
        let mut rows = Vec::new();
        let mut next = Some(format!("{path}?limit={PAGE}"));
        while let Some(path) = next {
            let mut answer = self.get(&path).await?;
            let Value::Array(results) = answer["results"].take() else {
                let reason = format!("the answer to {path} is not a list");
                return Err(RestError::Unreachable { base: self.base.clone(), reason, advice: self.advice });
            };
            rows.extend(results);
            // The link is absolute and may name a proxy's address; its query is all that differs.
            let query = answer["next"].as_str().and_then(|url| url.split_once('?'));
            next = query.map(|(_, query)| format!("{}?{query}", path.split('?').next().unwrap_or_default()));
        }
        Ok(rows)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, RestError> {
        let unreachable =
            |reason: String| RestError::Unreachable { base: self.base.clone(), reason, advice: self.advice };
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.insert_header(("Authorization", authorization(&self.token)));
        let sent = if body.is_null() { request.send().await } else { request.send_json(body).await };
        let mut answer = sent.map_err(|e| unreachable(e.to_string()))?;
        let bytes = answer.body().limit(MAX_ANSWER).await.map_err(|e| unreachable(e.to_string()))?;
        let status = answer.status();
        let value = serde_json::from_slice(&bytes);
        if status.is_success() {
            // A page of a proxy is no answer, however friendly it is.
            let nothing = bytes.is_empty().then_some(Value::Null);
            return value.ok().or(nothing).ok_or_else(|| unreachable("the answer is not JSON".to_owned()));
        }
        let value = value.unwrap_or(Value::Null);
        Err(RestError::Refused { status: status.as_u16(), text: complaint(&value) })
    }
}

/// What the service has to say against a request.
fn complaint(answer: &Value) -> String {
    match answer {
        Value::Object(fields) => match fields.get("detail").and_then(Value::as_str) {
            Some(detail) => detail.to_owned(),
            None => {
                fields.iter().map(|(field, said)| format!("{field}: {}", sentence(said))).collect::<Vec<_>>().join("; ")
            }
        },
        _ => "no explanation was given".to_owned(),
    }
}

/// Texts of a list as one.
fn sentence(said: &Value) -> String {
    match said {
        Value::String(text) => text.clone(),
        Value::Array(all) => all.iter().map(sentence).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    }
}

/// NetBox's tokens of the second kind (4.5 and later) name themselves.
fn authorization(token: &str) -> String {
    if token.starts_with("nbt_") { format!("Bearer {token}") } else { format!("Token {token}") }
}

/// TLS with the certificates this machine trusts.
fn tls() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn complaints_read_as_sentences() {
        assert_eq!(complaint(&json!({"detail": "it is gone"})), "it is gone");
        assert_eq!(complaint(&json!({"name": ["must be unique", "or so"]})), "name: must be unique or so");
        assert_eq!(complaint(&Value::Null), "no explanation was given");
    }

    #[actix_rt::test]
    async fn nobody_there_is_said_with_the_address() {
        // A port that was free a moment ago and that nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        drop(listener);
        let error =
            Rest::new(&address, "t".to_owned(), "call it").get("/api/status/").await.expect_err("nobody listens");
        assert!(error.to_string().contains(&address) && error.to_string().ends_with("; call it"), "{error}");
    }
}
