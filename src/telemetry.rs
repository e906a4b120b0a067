//! Logs to stderr and the numbers of `/metrics`.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, Registry};

use crate::config::{Log, LogFormat};

mod metrics;

pub use metrics::{Metrics, Refusal, Throttle, metrics};

/// Why the log could not be set up as asked.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("\"{0}\" is not a log filter")]
    Filter(String),
    #[error("the log is already set up")]
    Twice,
}

static FILTER: OnceLock<Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging to stderr.
///
/// # Errors
/// A filter that cannot be read, or a second call.
pub fn init(log: &Log) -> Result<(), TelemetryError> {
    let (filter, handle) = reload::Layer::new(filter(&log.level)?);
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let lines = match log.format {
        LogFormat::Pretty => lines.with_ansi(std::io::stderr().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry().with(filter).with(lines).try_init().map_err(|_| TelemetryError::Twice)?;
    FILTER.set(handle).map_err(|_| TelemetryError::Twice)
}

/// Takes over a new `log.level`, as SIGHUP asks for. The format stays as it was at the start.
///
/// # Errors
/// A filter that cannot be read; the old one stays in force.
pub fn set_level(level: &str) -> Result<(), TelemetryError> {
    let filter = filter(level)?;
    match FILTER.get() {
        Some(handle) => handle.reload(filter).map_err(|_| TelemetryError::Filter(level.to_owned())),
        // Nothing logs: there is no filter to replace.
        None => Ok(()),
    }
}

fn filter(level: &str) -> Result<EnvFilter, TelemetryError> {
    EnvFilter::try_new(level).map_err(|_| TelemetryError::Filter(level.to_owned()))
}
