//! A request as awc takes it.

use std::time::Duration;

use awc::http::header::{AUTHORIZATION, HOST, HeaderName, HeaderValue, USER_AGENT};
use awc::http::uri::{PathAndQuery, Scheme};
use awc::http::{Method, Uri};
use awc::{ClientRequest, SendClientRequest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

use super::clients::Client;
use super::failure::Failure;
use super::tls::TlsProfile;
use crate::domain::attempt::ErrorKind;
use crate::domain::payload_url::{BasicAuth, PayloadUrl};
use crate::domain::webhook::HttpMethod;

/// A request ready to be sent.
#[derive(Clone, Debug)]
pub struct Request {
    pub url: PayloadUrl,
    pub method: HttpMethod,
    /// Of a name given twice the last one is sent. `Content-Length`, and unless they are given `Host`, `User-Agent` and
    /// `Authorization` of userinfo, are added.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
    pub tls: TlsProfile,
    /// For name, connection and TLS together.
    pub connect_timeout: Duration,
    /// From connect to the last body byte.
    pub timeout: Duration,
    /// Copied into the attempt.
    pub revision: u32,
    /// Number of the attempt: decides how much of the answer is kept.
    pub number: u32,
}

const AGENT: HeaderValue = HeaderValue::from_static(concat!("netbox-webhookd/", env!("CARGO_PKG_VERSION")));

/// Every request has these; ready-made names are compared rather than parsed.
static OWN_NAMES: [(&str, HeaderName); 6] = [
    ("Content-Type", awc::http::header::CONTENT_TYPE),
    ("X-Hook-Signature", HeaderName::from_static("x-hook-signature")),
    ("webhook-id", HeaderName::from_static("webhook-id")),
    ("webhook-timestamp", HeaderName::from_static("webhook-timestamp")),
    ("webhook-signature", HeaderName::from_static("webhook-signature")),
    ("X-Webhook-Attempt", HeaderName::from_static("x-webhook-attempt")),
];

impl Request {
    /// Starts the request on `client`.
    pub(super) fn send(&self, client: &Client) -> Result<SendClientRequest, Failure> {
        let mut request: ClientRequest = client.http.request(method(self.method), self.uri(client)?);
        let headers = request.headers_mut();
        headers.insert(HOST, client.host.clone());
        headers.insert(USER_AGENT, AGENT);
        if let Some(auth) = &self.url.basic_auth {
            headers.insert(AUTHORIZATION, basic(auth)?);
        }
        for (name, value) in &self.headers {
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|e| unsendable(name, &e))?;
            headers.insert(header_name(name)?, value);
        }
        Ok(request.send_body(self.body.clone()))
    }

    /// It says `http` for `https` too: the connector has encrypted the connection already, and awc has no TLS of its
    /// own here.
    fn uri(&self, client: &Client) -> Result<Uri, Failure> {
        let path = self.url.url.get(self.url.origin.0.len()..).unwrap_or("/");
        let refused = |e: &dyn std::fmt::Display| {
            Failure::refused(ErrorKind::Template, format!("the URL cannot be requested: {e}"))
        };
        let path = PathAndQuery::try_from(path).map_err(|e| refused(&e))?;
        let uri = Uri::builder().scheme(Scheme::HTTP).authority(client.authority.clone()).path_and_query(path);
        uri.build().map_err(|e| refused(&e))
    }
}

fn header_name(name: &str) -> Result<HeaderName, Failure> {
    if let Some((_, known)) = OWN_NAMES.iter().find(|(text, _)| *text == name) {
        return Ok(known.clone());
    }
    HeaderName::from_bytes(name.as_bytes()).map_err(|e| unsendable(name, &e))
}

fn unsendable(name: &str, why: &dyn std::fmt::Display) -> Failure {
    Failure::refused(ErrorKind::Template, format!("header {} cannot be sent: {why}", name.escape_debug()))
}

fn basic(auth: &BasicAuth) -> Result<HeaderValue, Failure> {
    let credentials = STANDARD.encode(format!("{}:{}", auth.user, auth.password));
    let mut value =
        HeaderValue::from_str(&format!("Basic {credentials}")).map_err(|e| unsendable("Authorization", &e))?;
    value.set_sensitive(true);
    Ok(value)
}

fn method(method: HttpMethod) -> Method {
    match method {
        HttpMethod::Get => Method::GET,
        HttpMethod::Post => Method::POST,
        HttpMethod::Put => Method::PUT,
        HttpMethod::Patch => Method::PATCH,
        HttpMethod::Delete => Method::DELETE,
    }
}
