//! The service as the command line talks to it: its own REST API.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use awc::http::Method;
use awc::{Client, Connector};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;

use super::Remote;
use crate::config::{Config, Server};

/// Longest answer that is read, in bytes.
const MAX_ANSWER: usize = 64 << 20;

/// How long the service may take to answer.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Most rows the API gives in one answer.
const PAGE: &str = "1000";

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    #[error("cannot reach {base}: {reason}; is the service running there? --url names another address")]
    Unreachable { base: String, reason: String },
    #[error("{0}")]
    Refused(String),
}

/// A connection to a running service.
pub struct Rest {
    base: String,
    token: String,
    client: Client,
}

impl Rest {
    /// Uses the address and token given, else those of the configuration.
    ///
    /// # Errors
    /// A broken configuration, or no token.
    pub fn open(config: Option<&Path>, remote: &Remote) -> anyhow::Result<Self> {
        let (base, token) = match (&remote.url, &remote.token) {
            (Some(url), Some(token)) => (url.clone(), token.clone()),
            (url, token) => {
                let config = Config::load(config)?.config;
                let base = url.clone().unwrap_or_else(|| own_address(&config.server));
                (base, token.clone().map_or_else(|| admin_token(&config), Ok)?)
            }
        };
        Ok(Self::new(&base, token.trim().to_owned()))
    }

    pub fn new(base: &str, token: String) -> Self {
        let base = base.trim_end_matches('/').to_owned();
        let client = Client::builder().timeout(TIMEOUT).disable_redirects();
        let client = if base.starts_with("https:") {
            client.connector(Connector::new().rustls_0_23(Arc::new(tls()))).finish()
        } else {
            client.finish()
        };
        Self { base, token, client }
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

    pub async fn delete(&self, path: &str) -> Result<Value, RestError> {
        self.send(Method::DELETE, path, &Value::Null).await
    }

    /// All rows of a list, page by page.
    pub async fn all(&self, path: &str) -> Result<Vec<Value>, RestError> {
        let mut rows = Vec::new();
        let mut next = Some(format!("{path}?limit={PAGE}"));
        while let Some(path) = next {
            let mut answer = self.get(&path).await?;
            if let Value::Array(results) = answer["results"].take() {
                rows.extend(results);
            }
            // The link is absolute and may name a proxy's address; its query is all that differs.
            let query = answer["next"].as_str().and_then(|url| url.split_once('?'));
            next = query.map(|(_, query)| format!("{}?{query}", path.split('?').next().unwrap_or_default()));
        }
        Ok(rows)
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<Value, RestError> {
        let unreachable = |reason: String| RestError::Unreachable { base: self.base.clone(), reason };
        let request = self.client.request(method, format!("{}{path}", self.base));
        let request = request.insert_header(("Authorization", format!("Token {}", self.token)));
        let sent = if body.is_null() { request.send().await } else { request.send_json(body).await };
        let mut answer = sent.map_err(|e| unreachable(e.to_string()))?;
        let bytes = answer.body().limit(MAX_ANSWER).await.map_err(|e| unreachable(e.to_string()))?;
        let status = answer.status();
        let value = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        if status.is_success() {
            return Ok(value);
        }
        Err(RestError::Refused(complaint(status.as_u16(), &value)))
    }
}

/// What the service has to say against a request.
fn complaint(status: u16, answer: &Value) -> String {
    let text = match answer {
        Value::Object(fields) => match fields.get("detail").and_then(Value::as_str) {
            Some(detail) => detail.to_owned(),
            None => super::output::fields(answer).trim_end().replace('\n', "; "),
        },
        _ => "no explanation was given".to_owned(),
    };
    format!("{text} (HTTP {status})")
}

/// Where a service with this configuration listens, as seen from the same machine.
fn own_address(server: &Server) -> String {
    let mut listen = server.listen;
    if listen.ip().is_unspecified() {
        let loopback: [IpAddr; 2] = [std::net::Ipv4Addr::LOCALHOST.into(), std::net::Ipv6Addr::LOCALHOST.into()];
        listen.set_ip(loopback[usize::from(listen.is_ipv6())]);
    }
    format!("http://{listen}{}", server.base_path)
}

fn admin_token(config: &Config) -> anyhow::Result<String> {
    if !config.auth.bootstrap_token.is_empty() {
        return Ok(config.auth.bootstrap_token.clone());
    }
    let file = config.store.path.join("admin-token");
    std::fs::read_to_string(&file).with_context(|| {
        format!("no --token was given and the service's admin token {} cannot be read", file.display())
    })
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
    fn the_own_address_can_be_connected_to() {
        let server = |listen: &str| Server {
            listen: listen.parse().expect("an address"),
            base_path: "/x".to_owned(),
            ..Server::default()
        };
        assert_eq!(own_address(&server("0.0.0.0:80")), "http://127.0.0.1:80/x");
        assert_eq!(own_address(&server("[::]:80")), "http://[::1]:80/x");
        assert_eq!(own_address(&server("10.0.0.1:8900")), "http://10.0.0.1:8900/x");
    }

    #[test]
    fn complaints_read_as_sentences() {
        assert_eq!(complaint(404, &json!({"detail": "it is gone"})), "it is gone (HTTP 404)");
        assert_eq!(complaint(400, &json!({"name": ["must be unique"]})), "name  must be unique (HTTP 400)");
        assert_eq!(complaint(502, &Value::Null), "no explanation was given (HTTP 502)");
    }

    #[actix_rt::test]
    async fn nobody_there_is_said_with_the_address() {
        // A port that was free a moment ago and that nobody listens on.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("bound"));
        drop(listener);
        let error = Rest::new(&address, "t".to_owned()).get("/api/status/").await.expect_err("nobody listens");
        assert!(error.to_string().contains(&address), "{error}");
    }
}
