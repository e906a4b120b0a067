//! `import-netbox`: the webhooks and event rules of a NetBox as definitions here.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::rest::{self, Rest};
use super::{ImportNetbox, output};
use crate::config::{Config, Netbox};
use crate::domain::models::Models;
use crate::netbox::import::{Change, Proposal, proposals};
use crate::netbox::{Client, Rule};

/// Shows what would be created or changed; with `--write` does it.
pub async fn run(config: Option<&Path>, asked: ImportNetbox) -> anyhow::Result<ExitCode> {
    let loaded = Config::load(config)?.config;
    let netbox = Client::new(&source(&loaded, &asked)?);
    let models = Models::with_extra(&loaded.webhooks.models).unwrap_or_else(|_| Models::builtin());
    let (webhooks, rules): (Vec<Value>, Vec<Rule>) = (netbox.webhooks().await?, netbox.rules().await?);
    let ours = rest::open(config, &asked.remote)?;
    let here = ours.all("/api/webhooks/").await?;
    let mut rows = Vec::new();
    let mut refused = 0;
    for proposal in proposals(&webhooks, &rules, &models) {
        let change = proposal.compare(&here);
        let (action, detail) = said(&change);
        let written = if asked.write { write(&ours, &proposal, &change).await } else { Ok(()) };
        let (action, detail) = match written {
            Ok(()) => (action, detail),
            Err(error) => ("refused", error.to_string()),
        };
        refused += usize::from(action == "refused");
        rows.push(json!({
            "action": action, "name": proposal.name(), "models": proposal.fields["models"],
            "payload_url": crate::domain::payload_url::mask_userinfo(proposal.fields["payload_url"].as_str().unwrap_or_default()),
            "detail": detail,
        }));
    }
    if asked.remote.json {
        output::json(&Value::Array(rows))?;
    } else {
        let columns = [("ACTION", "action"), ("NAME", "name"), ("MODELS", "models"), ("PAYLOAD URL", "payload_url")];
        output::print(&output::table(&rows, &[&columns[..], &[("DETAIL", "detail")]].concat()))?;
        let note = if asked.write { "" } else { "Nothing was written; --write does it." };
        output::line(note)?;
    }
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn source(config: &Config, asked: &ImportNetbox) -> anyhow::Result<Netbox> {
    let mut netbox = config.netbox.clone();
    if let Some(url) = &asked.netbox_url {
        netbox.url.clone_from(url);
    }
    if let Some(token) = &asked.netbox_token {
        netbox.token.clone_from(token);
    }
    if netbox.url.is_empty() || netbox.token.is_empty() {
        bail!(
            "which NetBox? set netbox.url and netbox.token in the configuration, or give --netbox-url and --netbox-token"
        );
    }
    Ok(netbox)
}

fn said(change: &Change) -> (&'static str, String) {
    match change {
        Change::Create => ("create", String::new()),
        Change::Update { fields, .. } if fields.is_empty() => ("unchanged", "a secret is written again".to_owned()),
        Change::Update { fields, .. } => ("update", fields.join(", ")),
        Change::Refused(why) => ("refused", why.clone()),
    }
}

async fn write(ours: &Rest, proposal: &Proposal, change: &Change) -> anyhow::Result<()> {
    let mut fields = proposal.fields.clone();
    let answer = match change {
        Change::Refused(_) => return Ok(()),
        Change::Create => ours.post("/api/webhooks/", &Value::Object(fields)).await,
        Change::Update { id, .. } => {
            fields.remove("enabled");
            ours.patch(&format!("/api/webhooks/{id}/"), &Value::Object(fields)).await
        }
    };
    answer.map(drop).with_context(|| format!("\"{}\" could not be written", proposal.name()))
}
