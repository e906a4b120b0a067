//! The service as the command line talks to it: its own REST API.

use std::net::IpAddr;
use std::path::Path;

use anyhow::Context;

use super::Remote;
use crate::config::{Config, Server};
pub use crate::rest::{Rest, RestError};

/// For those who cannot reach the service.
pub const ADVICE: &str = "is the service running there? --url names another address";

/// Uses the address and token given, else those of the configuration.
///
/// # Errors
/// A broken configuration, or no token.
pub fn open(config: Option<&Path>, remote: &Remote) -> anyhow::Result<Rest> {
    let (base, token) = match (&remote.url, &remote.token) {
        (Some(url), Some(token)) => (url.clone(), token.clone()),
        (url, token) => {
            let config = Config::load(config)?.config;
            let base = url.clone().unwrap_or_else(|| own_address(&config.server));
            (base, token.clone().map_or_else(|| admin_token(&config), Ok)?)
        }
    };
    Ok(Rest::new(&base, token.trim().to_owned(), ADVICE))
}

/// Who carries out what can also be done in the data folder.
pub enum Reached {
    Service(Rest),
    /// Nobody answers where the configuration says; whether none runs the folder's lock tells for sure.
    Nobody(anyhow::Error),
}

/// The service if one runs.
///
/// # Errors
/// An address or token was named, and no service answers to it.
pub async fn reach(config: Option<&Path>, remote: &Remote) -> anyhow::Result<Reached> {
    let online = match open(config, remote) {
        Ok(rest) => match rest.get("/health/live").await {
            Err(gone @ RestError::Unreachable { .. }) => Err(gone.into()),
            _ => Ok(rest),
        },
        Err(error) => Err(error),
    };
    match online {
        Ok(rest) => Ok(Reached::Service(rest)),
        Err(error) if remote.url.is_some() || remote.token.is_some() => Err(error),
        Err(error) => Ok(Reached::Nobody(error)),
    }
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

#[cfg(test)]
mod tests {
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
}
