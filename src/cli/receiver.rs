//! A receiver for tests: prints what arrives, verifies its signature and answers like a receiver would.

use std::collections::HashSet;
use std::fmt::Write;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};
use anyhow::Context;
use parking_lot::Mutex;
use serde::de::IgnoredAny;

use super::output;
use crate::signing;

/// Largest body that is taken, in bytes; the service's own default limit.
const MAX_BODY: usize = 64 << 20;

/// Header of NetBox's signature.
const SIGNATURE: &str = "X-Hook-Signature";

/// How a receiver answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Always 200.
    Steady,
    /// 500 to one request in three.
    Flaky,
}

/// What a receiver is to do.
#[derive(Clone, Debug)]
pub struct Options {
    pub listen: SocketAddr,
    /// `None`: signatures are not verified.
    pub secret: Option<String>,
    pub manner: Manner,
    /// Whether each request is printed to stdout.
    pub print: bool,
}

/// A receiver that runs on the current actix system.
pub struct Receiver {
    pub addr: SocketAddr,
    seen: Arc<Seen>,
    handle: ServerHandle,
}

/// What a receiver has seen.
#[derive(Debug, Default)]
struct Seen {
    requests: AtomicU64,
    bad_signatures: AtomicU64,
    /// `webhook-id`s answered with 200. Written by server threads, read by the demo: no actor in between is worth it.
    accepted: Mutex<HashSet<String>>,
}

impl Receiver {
    /// Requests that arrived.
    pub fn requests(&self) -> u64 {
        self.seen.requests.load(Ordering::Relaxed)
    }

    /// Requests whose signature was missing or wrong.
    pub fn bad_signatures(&self) -> u64 {
        self.seen.bad_signatures.load(Ordering::Relaxed)
    }

    /// Whether a request with this `webhook-id` was answered with 200.
    pub fn accepted(&self, webhook_id: &str) -> bool {
        self.seen.accepted.lock().contains(webhook_id)
    }

    /// Stops at once.
    pub async fn stop(self) {
        self.handle.stop(false).await;
    }
}

/// `receiver`: runs until a signal ends it.
pub async fn run(listen: SocketAddr, secret: Option<String>) -> anyhow::Result<ExitCode> {
    let options = Options { listen, secret, manner: Manner::Steady, print: true };
    let (server, receiver) = server(options, true).with_context(|| format!("cannot listen on {listen}"))?;
    output::line(&format!("Listening on http://{}/ - press Ctrl+C to stop", receiver.addr))?;
    server.await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts a receiver beside other things; it ends with [`Receiver::stop`] or the system.
///
/// # Errors
/// The address cannot be listened on.
pub fn spawn(options: Options) -> io::Result<Receiver> {
    let (server, receiver) = server(options, false)?;
    actix_rt::spawn(server);
    Ok(receiver)
}

fn server(options: Options, signals: bool) -> io::Result<(actix_web::dev::Server, Receiver)> {
    let listener = TcpListener::bind(options.listen)?;
    let addr = listener.local_addr()?;
    let seen = Arc::new(Seen::default());
    let state = web::Data::new((options, seen.clone()));
    let server = HttpServer::new(move || {
        App::new().app_data(state.clone()).app_data(web::PayloadConfig::new(MAX_BODY)).default_service(web::to(answer))
    });
    let server = server.workers(1).listen(listener)?.shutdown_timeout(1);
    let server = if signals { server.run() } else { server.disable_signals().run() };
    let handle = server.handle();
    Ok((server, Receiver { addr, seen, handle }))
}

async fn answer(request: HttpRequest, body: web::Bytes, state: web::Data<(Options, Arc<Seen>)>) -> HttpResponse {
    let (options, seen) = state.get_ref();
    let number = seen.requests.fetch_add(1, Ordering::Relaxed) + 1;
    let signature = Signature::of(&request, &body, options.secret.as_deref());
    if signature.is_bad() {
        seen.bad_signatures.fetch_add(1, Ordering::Relaxed);
    }
    if options.print {
        // A closed stdout does not keep a receiver from answering.
        let _ = output::line(&describe(number, &request, &body, signature));
    }
    if options.manner == Manner::Flaky && number.is_multiple_of(3) {
        return HttpResponse::InternalServerError().body("one in three fails\n");
    }
    if let Some(id) = header(&request, "webhook-id") {
        seen.accepted.lock().insert(id.to_owned());
    }
    HttpResponse::Ok().body("Webhook received!\n")
}

/// What can be said about a request's signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signature {
    NotChecked,
    Missing,
    Wrong,
    Valid,
}

impl Signature {
    fn of(request: &HttpRequest, body: &[u8], secret: Option<&str>) -> Self {
        match (secret, header(request, SIGNATURE)) {
            (None, _) => Self::NotChecked,
            (Some(_), None) => Self::Missing,
            (Some(secret), Some(sent)) if sent == signing::hook_signature(secret, body) => Self::Valid,
            (Some(_), Some(_)) => Self::Wrong,
        }
    }

    fn is_bad(self) -> bool {
        matches!(self, Self::Missing | Self::Wrong)
    }

    fn text(self) -> &'static str {
        match self {
            Self::NotChecked => "not checked (start with --secret to verify)",
            Self::Missing => "MISSING",
            Self::Wrong => "WRONG: another secret, or the body was changed on its way",
            Self::Valid => "valid",
        }
    }
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> Option<&'r str> {
    request.headers().get(name)?.to_str().ok()
}

/// One request as people read it.
fn describe(number: u64, request: &HttpRequest, body: &[u8], signature: Signature) -> String {
    let peer = request.peer_addr().map_or_else(|| "-".to_owned(), |peer| peer.to_string());
    let mut text = format!("[{number}] {} {peer} \"{} {}\"\n", crate::clock::now(), request.method(), request.uri());
    for (name, value) in request.headers() {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "{name}: {}", String::from_utf8_lossy(value.as_bytes()));
    }
    let _ = writeln!(text, "\n{}\n\n{SIGNATURE}: {}\n------------", pretty(body), signature.text());
    text
}

/// JSON indented, its numbers and key order untouched; anything else as text.
fn pretty(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if body.is_empty() {
        return "(no body)".to_owned();
    }
    if serde_json::from_slice::<IgnoredAny>(body).is_err() {
        return text.into_owned();
    }
    indented(&text)
}

/// Valid JSON with new line breaks.
fn indented(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut in_text, mut escaped) = (0usize, false, false);
    let newline = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"    ".repeat(depth));
    };
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if in_text {
            out.push(c);
            in_text = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_ascii_whitespace()).is_some() {}
                if let Some(close) = chars.next_if(|c| matches!(c, '}' | ']')) {
                    out.push(close);
                } else {
                    depth += 1;
                    newline(&mut out, depth);
                }
            }
            '}' | ']' => {
                depth = depth.saturating_sub(1);
                newline(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                newline(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => {
                in_text = c == '"';
                out.push(c);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_without_touching_numbers_text_or_order() {
        let json = br#"{"z": 1.50, "a": [12345678901234567890, "x, \"y\": {", {}], "e": [ ]}"#;
        let expected = "{\n    \"z\": 1.50,\n    \"a\": [\n        12345678901234567890,\n        \"x, \\\"y\\\": {\",\n        {}\n    ],\n    \"e\": []\n}";
        assert_eq!(pretty(json), expected);
        assert_eq!(pretty(b"a=1&b={"), "a=1&b={");
    }

    fn options(secret: Option<&str>, manner: Manner) -> Options {
        let listen = SocketAddr::from(([127, 0, 0, 1], 0));
        Options { listen, secret: secret.map(str::to_owned), manner, print: false }
    }

    async fn post(receiver: &Receiver, id: &str, signature: Option<&str>) -> u16 {
        let mut request = awc::Client::new().post(format!("http://{}/hook", receiver.addr));
        request = request.insert_header(("webhook-id", id));
        if let Some(signature) = signature {
            request = request.insert_header((SIGNATURE, signature));
        }
        request.send_body("{}").await.expect("an answer").status().as_u16()
    }

    #[actix_rt::test]
    async fn signatures_are_verified() {
        let receiver = spawn(options(Some("s"), Manner::Steady)).expect("a free port");
        assert_eq!(post(&receiver, "a", Some(&signing::hook_signature("s", b"{}"))).await, 200);
        assert_eq!(receiver.bad_signatures(), 0);
        assert_eq!(post(&receiver, "b", Some(&signing::hook_signature("t", b"{}"))).await, 200);
        assert_eq!(post(&receiver, "c", None).await, 200);
        assert_eq!((receiver.requests(), receiver.bad_signatures()), (3, 2));
        receiver.stop().await;
    }

    #[actix_rt::test]
    async fn a_flaky_receiver_refuses_one_in_three() {
        let receiver = spawn(options(None, Manner::Flaky)).expect("a free port");
        let mut answers = Vec::new();
        for id in ["a", "b", "c", "c"] {
            answers.push(post(&receiver, id, None).await);
        }
        assert_eq!(answers, [200, 200, 500, 200]);
        assert!(receiver.accepted("c") && !receiver.accepted("d"));
        receiver.stop().await;
    }
}
