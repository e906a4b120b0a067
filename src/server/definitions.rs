//! The `[[webhook]]`s of the file put into force.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use anyhow::bail;

use super::by_server;
use crate::catalog::FromFile;
use crate::domain::webhook::{Source, Webhook};
use crate::store::Store;
use crate::store::admin::{DefinitionSet, WebhookWrite};

/// What differs from what is in force.
pub struct Changes {
    writes: Vec<WebhookWrite>,
    orphans: Vec<WebhookWrite>,
}

impl Changes {
    pub async fn write(self, store: &Arc<dyn Store>) -> anyhow::Result<()> {
        for (changes, action) in [(self.writes, "webhook.define"), (self.orphans, "webhook.orphan")] {
            if !changes.is_empty() {
                store.write_webhooks(changes, by_server(action, "")).await?;
            }
        }
        Ok(())
    }
}

/// Finds out what differs. A definition that the file no longer names is disabled and kept: a typo must not cancel its
/// deliveries.
pub fn changes(set: &DefinitionSet, definitions: Vec<FromFile>) -> anyhow::Result<Changes> {
    let by_name: HashMap<&str, &Arc<Webhook>> = set.webhooks.iter().map(|w| (w.spec.name.as_str(), w)).collect();
    let named: HashSet<String> = definitions.iter().map(|d| d.valid.0.name.clone()).collect();
    let mut writes = Vec::new();
    for FromFile { line, valid: (spec, target) } in definitions {
        let known = by_name.get(spec.name.as_str());
        if let Some(other) = known.filter(|w| w.source != Source::File) {
            bail!("config line {line}: a webhook named \"{}\" was made elsewhere already", other.spec.name);
        }
        if known.is_some_and(|w| *w.spec == spec && !w.orphaned) {
            continue;
        }
        let id = known.map(|w| w.id);
        writes.push(WebhookWrite { id, spec, target, based_on: None, source: Source::File, orphaned: false });
    }
    Ok(Changes { writes, orphans: orphans(set, &named) })
}

/// Webhooks of the file that it no longer names.
fn orphans(set: &DefinitionSet, named: &HashSet<String>) -> Vec<WebhookWrite> {
    let gone = |w: &&Arc<Webhook>| w.source == Source::File && !w.orphaned && !named.contains(&w.spec.name);
    let orphan = |webhook: &Arc<Webhook>| {
        tracing::warn!(webhook.id = %webhook.id, webhook.name = %webhook.spec.name,
            "the configuration no longer names this webhook, it is disabled and its deliveries are held");
        WebhookWrite {
            id: Some(webhook.id),
            spec: (*webhook.spec).clone(),
            target: webhook.target.clone(),
            based_on: None,
            source: Source::File,
            orphaned: true,
        }
    };
    set.webhooks.iter().filter(gone).map(orphan).collect()
}
