//! What single texts of the configuration may be: addresses, networks, models, versions, folders.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use ipnet::IpNet;
use serde_json::Value;
use tracing_subscriber::EnvFilter;
use url::Url;

use super::setting::Setting;
use super::{Backend, NetboxVersion};
use crate::domain::models::parse_extra;

/// Releases whose bodies are known.
const VERSIONS: std::ops::RangeInclusive<NetboxVersion> = NetboxVersion(2, 4)..=NetboxVersion(4, 7);

impl Setting for PathBuf {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        match value.as_str() {
            Some(text) if !text.trim().is_empty() => *self = PathBuf::from(text),
            _ => return Err("must be a folder, as text in quotes".to_owned()),
        }
        Ok(())
    }

    fn show(&self) -> Value {
        self.to_string_lossy().into()
    }
}

impl Setting for Backend {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        match value.as_str() {
            Some("embedded") => *self = Self::Embedded,
            Some("redis") => return Err("\"redis\" is not supported in this version; use \"embedded\"".to_owned()),
            _ => return Err(format!("{value} is not allowed; use \"embedded\"")),
        }
        Ok(())
    }

    fn show(&self) -> Value {
        match self {
            Self::Embedded => "embedded".into(),
        }
    }
}

impl Setting for Option<NetboxVersion> {
    fn set(&mut self, value: &Value) -> Result<(), String> {
        let allowed =
            || format!("{value} is not allowed; a release like \"4.4\" from 2.4 to 4.7, or \"\" to ask NetBox");
        let text = value.as_str().ok_or_else(allowed)?;
        if text.is_empty() {
            *self = None;
            return Ok(());
        }
        let mut parts = text.split('.').map(str::parse);
        let (Some(Ok(major)), Some(Ok(minor))) = (parts.next(), parts.next()) else { return Err(allowed()) };
        let version = NetboxVersion(major, minor);
        *self = Some(Some(version).filter(|v| VERSIONS.contains(v)).ok_or_else(allowed)?);
        Ok(())
    }

    fn show(&self) -> Value {
        self.map_or_else(String::new, |NetboxVersion(major, minor)| format!("{major}.{minor}")).into()
    }
}

pub fn any(text: &str) -> Result<String, String> {
    Ok(text.to_owned())
}

pub fn filled(text: &str) -> Result<String, String> {
    if text.trim().is_empty() { Err("must not be empty".to_owned()) } else { Ok(text.to_owned()) }
}

pub fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("\"{text}\" is not an IP address with a port; give one like \"127.0.0.1:8900\" or \"[::]:8900\"")
    })
}

/// Of a Sentinel.
pub fn host_and_port(text: &str) -> Result<String, String> {
    let port =
        text.rsplit_once(':').filter(|(host, _)| !host.is_empty()).and_then(|(_, port)| port.parse::<u16>().ok());
    match port.filter(|port| *port > 0) {
        Some(_) => Ok(text.to_owned()),
        None => Err(format!("\"{text}\" is not a host and port like \"sentinel-1.example.com:26379\"")),
    }
}

/// A network in CIDR notation; a single address is the network of itself.
pub fn network(text: &str) -> Result<IpNet, String> {
    text.parse()
        .or_else(|_| text.parse().map(|address: IpAddr| IpNet::from(address)))
        .map_err(|_| format!("\"{text}\" is not a network; give one like \"10.0.0.0/8\" or \"fe80::/10\""))
}

pub fn base_path(text: &str) -> Result<String, String> {
    let plain = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || "-._~".contains(c)) && part != ".."
    };
    let valid = text.is_empty() || text.strip_prefix('/').is_some_and(|rest| rest.split('/').all(plain));
    if !valid {
        return Err(format!(
            "\"{text}\" is not a base path; give one like \"/webhooks\" (no slash at its end), or \"\""
        ));
    }
    Ok(text.to_owned())
}

/// The name of a header, or nothing.
///
/// # Source
/// RFC 9110 §5.6.2: a token.
pub fn header_name(text: &str) -> Result<String, String> {
    if text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)) {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not the name of a header; give one like \"X-Remote-User\", or \"\""))
}

/// An extra model in class spelling.
pub fn model(text: &str) -> Result<String, String> {
    match parse_extra(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("\"{text}\" is not a model; give one like \"my_plugin.MyModel\"")),
    }
}

/// An `http` or `https` address, or nothing.
pub fn web_address(text: &str) -> Result<String, String> {
    let parsed = Url::parse(text);
    if parsed.as_ref().is_ok_and(|url| !url.username().is_empty() || url.password().is_some()) {
        return Err("must not hold a password; there is a key for the token".to_owned());
    }
    let valid = parsed.is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    if text.is_empty() || valid {
        return Ok(text.to_owned());
    }
    Err(format!("\"{text}\" is not a web address; give one like \"https://netbox.example.com\", or \"\""))
}

/// A filter of the log.
pub fn log_filter(text: &str) -> Result<String, String> {
    let allowed = "give a level (error, warn, info, debug, trace) or a filter like \"info,netbox_webhookd=debug\"";
    if text.trim().is_empty() {
        return Err(format!("must not be empty; {allowed}"));
    }
    match EnvFilter::try_new(text) {
        // A misspelt level is a legal filter: it would silently name a module.
        Ok(_) if text.split(',').all(names_a_level) => Ok(text.to_owned()),
        _ => Err(format!("\"{text}\" is not a log filter; {allowed}")),
    }
}

fn names_a_level(directive: &str) -> bool {
    const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
    LEVELS.contains(&level.trim().to_ascii_lowercase().as_str())
}
