//! A Redis of the test's own.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::support::{ports, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);

/// Ends with the test.
pub struct Redis {
    child: Option<Child>,
    port: u16,
    folder: tempfile::TempDir,
    arguments: Vec<String>,
}

impl Redis {
    /// Keeps what it was told across a restart, not across the test.
    pub fn start() -> Self {
        Self::with(&[])
    }

    pub fn with(arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let arguments = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        let mut redis = Self { child: None, port: ports::free(), folder, arguments };
        redis.up();
        redis
    }

    pub fn up(&mut self) {
        let port = self.port.to_string();
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "yes", "--appendfsync", "always"]);
        command.args(["--loglevel", "warning", "--dir"]).arg(self.folder.path());
        if !self.arguments.iter().any(|argument| argument == "--port") {
            command.args(["--port", &port]);
        }
        command.args(&self.arguments).stdin(Stdio::null()).stdout(Stdio::null());
        self.child = Some(command.spawn().expect("redis-server is installed"));
        // It refuses while it reads what it had.
        let answers = || self.connection().is_some_and(|mut open| ::redis::cmd("PING").exec(&mut open).is_ok());
        wait_until("Redis answers", PATIENCE, answers);
    }

    /// Killed, as by a power cut.
    pub fn down(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/0", self.port)
    }

    fn connection(&self) -> Option<::redis::Connection> {
        let client = ::redis::Client::open(self.url()).expect("an address");
        client.get_connection_with_timeout(Duration::from_secs(5)).ok()
    }

    /// One command.
    #[track_caller]
    pub fn ask<T: ::redis::FromRedisValue>(&self, command: &[&str]) -> T {
        let mut connection = self.connection().expect("Redis is up");
        let mut asked = ::redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query(&mut connection).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        self.down();
    }
}
