//! NetBox's webhooks as definitions of ours: read when a job first names one, read again on a timer and when NetBox says
//! that one changed. What is stored is used while NetBox does not answer.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::clock;
use crate::config::Netbox;
use crate::dispatch::Dispatcher;
use crate::domain::ids::WebhookId;
use crate::domain::payload_url::Target;
use crate::domain::time::Timestamp;
use crate::domain::webhook::{Source, WebhookSpec};
use crate::netbox::{About, Client, Rule, spec};
use crate::rest::RestError;
use crate::store::admin::{NewAudit, WebhookWrite};
use crate::store::{Store, StoreError};

/// How often all definitions are read again.
pub const REFRESH: Duration = Duration::from_secs(60);
/// A webhook that NetBox did not have, or that cannot be sent, is asked for again after this.
const FORGET: Duration = Duration::from_secs(10);

/// What a job names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    Webhook(WebhookId),
    /// NetBox has none of that id, or none that a request can be made of; says so.
    Unusable(String),
}

/// Why it cannot be said what a job names.
#[derive(Debug, thiserror::Error)]
pub enum Unknown {
    #[error(transparent)]
    Netbox(#[from] RestError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Keeps the definitions like NetBox's.
pub struct Definitions {
    netbox: Client,
    store: Arc<dyn Store>,
    dispatcher: Dispatcher,
    /// Those that no request can be made of, and since when that is known.
    unusable: HashMap<u64, (String, Timestamp)>,
}

impl Definitions {
    pub fn new(config: &Netbox, store: Arc<dyn Store>, dispatcher: Dispatcher) -> Self {
        Self { netbox: Client::new(config), store, dispatcher, unusable: HashMap::new() }
    }

    /// The definition of NetBox's webhook `id`, which is not stored.
    ///
    /// # Errors
    /// NetBox does not answer; the job has to wait.
    pub async fn find_new(&mut self, id: u64) -> Result<Found, Unknown> {
        if let Some((reason, since)) = self.unusable.get(&id)
            && clock::now().since(*since) < FORGET
        {
            return Ok(Found::Unusable(reason.clone()));
        }
        self.read(id).await
    }

    /// Reads one webhook anew.
    ///
    /// # Errors
    /// As [`Definitions::find`].
    pub async fn read(&mut self, id: u64) -> Result<Found, Unknown> {
        let Some(webhook) = self.netbox.webhook(id).await? else {
            self.orphan(|known| known == id).await?;
            return Ok(self.give_up(id, format!("NetBox has no webhook {id}")));
        };
        let rules = self.netbox.rules().await?;
        match meant(&webhook, &rules) {
            Ok((spec, target)) => {
                self.write(vec![(id, spec, target)]).await?;
                self.unusable.remove(&id);
                let written = self.dispatcher.catalog().of_netbox(id).map(|webhook| webhook.id);
                written.map(Found::Webhook).ok_or_else(|| StoreError::NotFound(format!("NetBox's webhook {id}")).into())
            }
            Err(reason) => Ok(self.give_up(id, format!("webhook {id} of NetBox: {reason}"))),
        }
    }

    /// Reads everything that is known of anew, and NetBox's version.
    ///
    /// # Errors
    /// NetBox does not answer; everything stays as it is.
    pub async fn refresh(&mut self) -> Result<About, Unknown> {
        let about = self.netbox.about().await?;
        if let Some(version) = about.version
            && self.store.definitions().netbox_version != Some(version)
        {
            self.store.set_netbox_version(version).await?;
            self.dispatcher.refresh().await;
        }
        let (webhooks, rules) = (self.netbox.webhooks().await?, self.netbox.rules().await?);
        self.unusable.clear();
        let there: HashSet<u64> = webhooks.iter().filter_map(|webhook| webhook["id"].as_u64()).collect();
        let catalog = self.dispatcher.catalog();
        let known = webhooks.iter().filter_map(|webhook| {
            let id = webhook["id"].as_u64()?;
            catalog.of_netbox(id)?;
            match meant(webhook, &rules) {
                Ok((spec, target)) => Some((id, spec, target)),
                Err(reason) => {
                    tracing::warn!(
                        netbox.webhook = id,
                        reason,
                        "NetBox changed a webhook to what cannot be sent, the last one is used"
                    );
                    None
                }
            }
        });
        self.write(known.collect()).await?;
        self.orphan(|id| !there.contains(&id)).await?;
        Ok(about)
    }

    fn give_up(&mut self, id: u64, reason: String) -> Found {
        self.unusable.insert(id, (reason.clone(), clock::now()));
        Found::Unusable(reason)
    }

    async fn write(&self, meant: Vec<(u64, WebhookSpec, Target)>) -> Result<(), StoreError> {
        let catalog = self.dispatcher.catalog();
        let mut writes = Vec::new();
        let mut names: HashSet<String> = HashSet::new();
        for (id, mut spec, target) in meant {
            let known = catalog.of_netbox(id);
            let taken = |name: &str| {
                let all = &catalog.definitions().webhooks;
                names.contains(name) || all.iter().any(|w| w.spec.name == name && Some(w.id) != known.map(|k| k.id))
            };
            if spec.name.is_empty() || taken(&spec.name) {
                // Names are unique here, and definitions of our own may have had it first.
                let own = format!("{} (NetBox webhook {id})", spec.name).trim().to_owned();
                let mut numbered = (2..).map(|n| format!("{own} {n}"));
                spec.name = if taken(&own) { numbered.find(|name| !taken(name)).unwrap_or(own) } else { own };
            }
            names.insert(spec.name.clone());
            if known.is_some_and(|known| *known.spec == spec && !known.orphaned) {
                continue;
            }
            let (id, source) = (known.map(|known| known.id), Source::Netbox(id));
            writes.push(WebhookWrite { id, spec, target, based_on: None, source, orphaned: false });
        }
        self.put(writes, "webhook.define").await
    }

    /// What NetBox no longer has holds its deliveries: a NetBox that is being restored must not cost any.
    async fn orphan(&self, gone: impl Fn(u64) -> bool) -> Result<(), StoreError> {
        let catalog = self.dispatcher.catalog();
        let writes = catalog.definitions().webhooks.iter().filter_map(|webhook| match webhook.source {
            Source::Netbox(id) if gone(id) && !webhook.orphaned => Some(WebhookWrite {
                id: Some(webhook.id),
                spec: (*webhook.spec).clone(),
                target: webhook.target.clone(),
                based_on: None,
                source: webhook.source.clone(),
                orphaned: true,
            }),
            _ => None,
        });
        self.put(writes.collect(), "webhook.orphan").await
    }

    async fn put(&self, writes: Vec<WebhookWrite>, action: &'static str) -> Result<(), StoreError> {
        if writes.is_empty() {
            return Ok(());
        }
        for write in &writes {
            let (name, source) = (write.spec.name.as_str(), &write.source);
            tracing::info!(webhook.name = name, ?source, orphaned = write.orphaned, "a webhook is now as in NetBox");
        }
        let audit = NewAudit { actor: "netbox".to_owned(), action, target: String::new(), detail: Value::Null };
        self.store.write_webhooks(writes, audit).await?;
        self.dispatcher.refresh().await;
        Ok(())
    }
}

fn meant(webhook: &Value, rules: &[Rule]) -> Result<(WebhookSpec, Target), String> {
    let spec = spec(webhook, rules)?;
    let target = Target::parse(&spec.payload_url).map_err(|error| format!("payload_url: {error}"))?;
    Ok((spec, target))
}
