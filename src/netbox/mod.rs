//! NetBox as seen over its REST API: its version, its webhooks and its event rules.

use serde_json::Value;

use crate::config::{Netbox, NetboxVersion};
use crate::rest::{Rest, RestError};

pub mod import;
mod webhook;

pub use webhook::{Rule, spec};

/// For people whose NetBox does not answer.
const ADVICE: &str = "look at netbox.url in the configuration";

/// A NetBox that is asked.
pub struct Client {
    rest: Rest,
}

impl Client {
    pub fn new(config: &Netbox) -> Self {
        Self { rest: Rest::new(&config.url, config.token.clone(), ADVICE) }
    }

    /// Which release it is.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the token.
    pub async fn about(&self) -> Result<About, RestError> {
        let status = self.rest.get("/api/status/").await?;
        let Some(named) = status["netbox-version"].as_str() else {
            let text = "what answers there is not a NetBox: its /api/status/ names no netbox-version".to_owned();
            return Err(RestError::Refused { status: 200, text });
        };
        let version = release(named);
        // `installed_apps` since 4.4.
        let apps = status.get("installed-apps").unwrap_or(&status["installed_apps"]);
        let django_rq = apps["django_rq"].as_str().and_then(release);
        Ok(About { version, rq_1: django_rq.is_some_and(|NetboxVersion(major, _)| major < 3) })
    }

    /// One webhook as it is defined there; `None`: there is none of that id.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the token.
    pub async fn webhook(&self, id: u64) -> Result<Option<Value>, RestError> {
        match self.rest.get(&format!("/api/extras/webhooks/{id}/")).await {
            Ok(webhook) => Ok(Some(webhook)),
            // A proxy before a NetBox that is down says so too: only NetBox itself is believed.
            Err(RestError::Refused { status: 404, .. }) => self.about().await.map(|_| None),
            Err(error) => Err(error),
        }
    }

    /// All webhooks.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the token.
    pub async fn webhooks(&self) -> Result<Vec<Value>, RestError> {
        self.rest.all("/api/extras/webhooks/").await
    }

    /// All event rules whose action is a webhook; none before NetBox 3.7, where webhooks were their own rules.
    ///
    /// # Errors
    /// It cannot be reached, or refuses the token.
    pub async fn rules(&self) -> Result<Vec<Rule>, RestError> {
        match self.rest.all("/api/extras/event-rules/").await {
            Ok(rules) => Ok(rules.iter().filter_map(Rule::read).collect()),
            Err(RestError::Refused { status: 404, .. }) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

/// What a NetBox says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// `None`: it is not named like a release.
    pub version: Option<NetboxVersion>,
    /// Its django-rq is one for RQ 1, as NetBox had it until 4.1.6.
    pub rq_1: bool,
}

/// `4.7.0-beta1` is 4.7.
fn release(text: &str) -> Option<NetboxVersion> {
    let mut parts = text.trim_start_matches('v').split(['.', '-']);
    Some(NetboxVersion(parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_release_is_read_from_what_netbox_calls_itself() {
        assert_eq!(release("4.4.10-Docker-3.4.2"), Some(NetboxVersion(4, 4)));
        assert_eq!(release("v4.7.0-beta1"), Some(NetboxVersion(4, 7)));
        assert_eq!(release("main"), None);
    }
}
