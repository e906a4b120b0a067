//! The real server in a process of its own, on a free port and in a temporary folder.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::{Value, json};

use super::clock::{try_until, wait_until};
use super::http::{Answer, Client, open_stream};
use super::ports;

/// The binary under test, as cargo built it for this test program.
pub const BINARY: &str = env!("CARGO_BIN_EXE_netbox-webhookd");
/// The admin token every server is started with.
pub const TOKEN: &str = "test-token-0123456789abcdef0123456789abcdef";
/// How long a server may take to become ready, to end, and to do what it was told.
const PATIENCE: Duration = Duration::from_secs(40);

/// How a server is started.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// The whole configuration file; address, token, data folder and log format come from the environment.
    pub config: String,
    pub env: Vec<(String, String)>,
    /// Log lines of level ERROR that hold one of these are expected.
    pub expected_errors: Vec<String>,
}

impl Options {
    pub fn config(text: impl Into<String>) -> Self {
        Self { config: text.into(), ..Self::default() }
    }

    pub fn env(mut self, name: &str, value: impl Into<String>) -> Self {
        self.env.push((name.to_owned(), value.into()));
        self
    }

    pub fn expect_error(mut self, part: &str) -> Self {
        self.expected_errors.push(part.to_owned());
        self
    }
}

/// A running (or killed) server. Ends its process on drop, and fails the test if an error was logged that was not
/// declared.
pub struct TestServer {
    process: Option<Process>,
    options: Options,
    address: SocketAddr,
    folder: tempfile::TempDir,
    log: Log,
}

impl TestServer {
    /// With the built-in defaults.
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with_config(config: impl Into<String>) -> Self {
        Self::with(Options::config(config))
    }

    /// # Panics
    /// When it is not ready in 40 s; shows its log.
    #[track_caller]
    pub fn with(options: Options) -> Self {
        let mut server = Self::prepare(options);
        server.start_again();
        server
    }

    /// Everything but the process: for tests of how it starts.
    pub fn prepare(options: Options) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("config.toml"), &options.config).expect("a writable temporary folder");
        let address = SocketAddr::from(([127, 0, 0, 1], ports::free()));
        Self { process: None, options, address, folder, log: Log::default() }
    }

    /// Starts the process on the same port and folder, and waits until it is ready.
    #[track_caller]
    pub fn start_again(&mut self) {
        self.spawn();
        let ready = try_until(PATIENCE, || self.is_ready() || self.exited().is_some());
        assert!(ready && self.exited().is_none(), "the server is not ready; its log:\n{}", self.log.text());
    }

    /// Starts the process and does not wait.
    pub fn spawn(&mut self) {
        assert!(self.process.is_none(), "the server is running already");
        self.process = Some(Process::spawn(&mut self.command(&["serve"]), self.log.clone()));
    }

    /// The binary with this server's configuration and folder: `check`, `token`, `status`, …
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(BINARY);
        command
            .args(arguments)
            .arg("--config")
            .arg(self.folder.path().join("config.toml"))
            .current_dir(self.folder.path())
            .env("NETBOX_WEBHOOKD__SERVER__LISTEN", self.address.to_string())
            .env("NETBOX_WEBHOOKD__AUTH__BOOTSTRAP_TOKEN", TOKEN)
            .env("NETBOX_WEBHOOKD__STORE__PATH", self.data())
            .env("NETBOX_WEBHOOKD__LOG__FORMAT", "json")
            .envs(self.options.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        command
    }

    /// Replaces the options from the next start on.
    pub fn set_options(&mut self, options: Options) {
        std::fs::write(self.folder.path().join("config.toml"), &options.config).expect("a writable temporary folder");
        self.options = options;
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The data folder.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// # Panics
    /// When it is not running.
    pub fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is running").child.id()
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    pub fn is_ready(&self) -> bool {
        TcpStream::connect(self.address).is_ok()
            && Client::with_timeout(self.address, Duration::from_secs(5))
                .request("GET", "/health/ready", &[], b"")
                .is_ok_and(|a| a.status == 200)
    }

    /// How the process ended, if it did.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.process.as_mut().and_then(|p| p.child.try_wait().expect("our own child can be asked"))
    }

    /// SIGKILL; returns when the process is gone.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// Waits until the process ended by itself.
    #[track_caller]
    pub fn wait_for_exit(&mut self) -> ExitStatus {
        wait_until("the server ended", PATIENCE, || self.exited().is_some());
        let status = self.exited().expect("it has ended");
        self.process.take().expect("it was running").join();
        status
    }

    /// SIGTERM; waits for the drain to end.
    #[track_caller]
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal(libc::SIGTERM);
        self.wait_for_exit()
    }

    pub fn signal(&self, signal: libc::c_int) {
        let pid = libc::pid_t::try_from(self.pid()).expect("a process id fits");
        // SAFETY: `kill` touches no memory; the process is our child and not yet waited for.
        unsafe { libc::kill(pid, signal) };
    }

    /// A request with the admin token.
    ///
    /// # Panics
    /// When no answer comes.
    #[track_caller]
    pub fn request(&self, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.request_as(Some(TOKEN), method, path, body)
    }

    /// A request with another token, or none.
    #[track_caller]
    pub fn request_as(&self, token: Option<&str>, method: &str, path: &str, body: Option<&Value>) -> Answer {
        let authorization = token.map(|t| format!("Token {t}"));
        let mut headers = vec![("Content-Type", "application/json"), ("Connection", "close")];
        headers.extend(authorization.as_deref().map(|value| ("Authorization", value)));
        let body = body.map(Value::to_string).unwrap_or_default();
        self.request_raw(method, path, &headers, body.as_bytes())
    }

    /// A request as given: no token, no content type.
    #[track_caller]
    pub fn request_raw(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        Client::new(self.address)
            .request(method, path, headers, body)
            .unwrap_or_else(|e| panic!("{method} {path}: {e}; the server's log:\n{}", self.log.text()))
    }

    #[track_caller]
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, None)
    }

    #[track_caller]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.request("POST", path, Some(body))
    }

    #[track_caller]
    pub fn put(&self, path: &str, body: &Value) -> Answer {
        self.request("PUT", path, Some(body))
    }

    #[track_caller]
    pub fn patch(&self, path: &str, body: &Value) -> Answer {
        self.request("PATCH", path, Some(body))
    }

    #[track_caller]
    pub fn delete(&self, path: &str) -> Answer {
        self.request("DELETE", path, None)
    }

    /// Opens a stream that does not end, after its head.
    pub fn open_stream(&self, path: &str) -> (Answer, BufReader<TcpStream>) {
        open_stream(self.address, path, &[("Authorization", &format!("Token {TOKEN}"))]).expect("an open stream")
    }

    /// Creates a webhook; returns it as the server shows it.
    #[track_caller]
    pub fn create_webhook(&self, webhook: &Value) -> Value {
        self.post("/api/webhooks/", webhook).expect(201).json()
    }

    /// Sends one event and expects 202; returns its id.
    #[track_caller]
    pub fn emit(&self, event: &Value) -> String {
        let answer = self.post("/api/events/", event).expect(202).json();
        answer["events"][0]["id"].as_str().expect("an id").to_owned()
    }

    /// All members of a list, page by page.
    #[track_caller]
    pub fn list(&self, path: &str) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{separator}limit=1000"));
        let mut all = Vec::new();
        while let Some(path) = next {
            let page = self.get(&path).expect(200).json();
            all.extend(page["results"].as_array().cloned().unwrap_or_default());
            // An absolute URL or a path, as the server likes.
            next = page["next"].as_str().map(|url| match url.strip_prefix(&self.url("")) {
                Some(path) => path.to_owned(),
                None => url.to_owned(),
            });
        }
        all
    }

    /// The endpoint of this payload URL, as the server shows it.
    #[track_caller]
    pub fn endpoint(&self, url: &str) -> Value {
        let found = self.list("/api/endpoints/").into_iter().find(|e| e["url"] == json!(url));
        found.unwrap_or_else(|| panic!("no endpoint {url}"))
    }

    /// Waits until a GET answers something that satisfies `condition`; returns it.
    ///
    /// # Panics
    /// When that does not happen in 40 s; shows the last answer.
    #[track_caller]
    pub fn wait_for(&self, path: &str, mut condition: impl FnMut(&Value) -> bool) -> Value {
        let mut last = Value::Null;
        let held = try_until(PATIENCE, || {
            last = self.get(path).json();
            condition(&last)
        });
        assert!(held, "{path} did not come to what was waited for; it says {last}");
        last
    }

    /// ERROR lines and panics that were not declared.
    fn unexpected_errors(&self) -> Vec<String> {
        let expected = |line: &String| self.options.expected_errors.iter().any(|part| line.contains(part.as_str()));
        let bad = |line: &String| line.contains("\"level\":\"ERROR\"") || line.contains("panicked at");
        self.log.lines().into_iter().filter(|line| bad(line) && !expected(line)).collect()
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's log, at most its last 60 lines:\n{}", self.log.tail(60));
            return;
        }
        let errors = self.unexpected_errors();
        assert!(errors.is_empty(), "the server logged errors that were not declared:\n{}", errors.join("\n"));
    }
}

/// A child process whose standard error is read as it comes.
struct Process {
    child: Child,
    reader: Option<JoinHandle<()>>,
}

impl Process {
    fn spawn(command: &mut Command, log: Log) -> Self {
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("{BINARY} does not start: {e}"));
        let stderr = child.stderr.take().expect("standard error is piped");
        let reader = std::thread::spawn(move || {
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                log.push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        Self { child, reader: Some(reader) }
    }

    fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.join();
    }

    /// Reads the log to its end.
    fn join(&mut self) {
        if let Some(reader) = self.reader.take() {
            let _ = reader.join();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Log lines over all starts. A mutex: the reading thread writes, the test reads.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn push(&self, line: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(line);
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn text(&self) -> String {
        self.lines().join("\n")
    }

    fn tail(&self, count: usize) -> String {
        let lines = self.lines();
        lines[lines.len().saturating_sub(count)..].join("\n")
    }
}
