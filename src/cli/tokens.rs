//! `token create | list | revoke`: over the API, or in the data folder while no service runs on it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::folder::OfflineTokens;
use super::rest::{self, Reached, Rest, RestError};
use super::{Remote, TokenCommand, output};

const COLUMNS: [(&str, &str); 4] = [("ID", "id"), ("NAME", "name"), ("SCOPES", "scopes"), ("CREATED", "created")];

/// Carries one token command out.
pub async fn run(config: Option<&Path>, command: TokenCommand) -> anyhow::Result<ExitCode> {
    match command {
        TokenCommand::Create { name, scopes, remote } => {
            let made = match reach(config, &remote).await? {
                Tokens::Online(rest) => rest.post("/api/tokens/", &json!({ "name": name, "scopes": scopes })).await?,
                Tokens::Offline(tokens) => tokens.create(&name, &scopes).await?,
            };
            match made["token"].as_str() {
                _ if remote.json => output::json(&made)?,
                Some(token) => output::line(token)?,
                None => bail!("the service answered without a token"),
            }
        }
        TokenCommand::List { remote } => {
            let tokens = reach(config, &remote).await?.list().await?;
            if remote.json {
                output::json(&Value::Array(tokens))?;
            } else {
                output::print(&output::table(&tokens, &COLUMNS))?;
            }
        }
        TokenCommand::Revoke { which, remote } => {
            let tokens = reach(config, &remote).await?;
            let (id, name) = named(&tokens.list().await?, &which)?;
            match tokens {
                Tokens::Online(rest) => drop(rest.delete(&format!("/api/tokens/{id}/")).await?),
                Tokens::Offline(tokens) => tokens.revoke(id).await?,
            }
            output::line(&format!("token {id} ({name}) is revoked"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Where the tokens are.
enum Tokens {
    Online(Rest),
    Offline(Box<OfflineTokens>),
}

impl Tokens {
    async fn list(&self) -> Result<Vec<Value>, RestError> {
        match self {
            Self::Online(rest) => rest.all("/api/tokens/").await,
            Self::Offline(tokens) => Ok(tokens.list()),
        }
    }
}

/// The service if one runs; else the store, whose lock tells for sure that none does.
async fn reach(config: Option<&Path>, remote: &Remote) -> anyhow::Result<Tokens> {
    match rest::reach(config, remote).await? {
        Reached::Service(rest) => Ok(Tokens::Online(rest)),
        Reached::Nobody(error) => {
            let store = OfflineTokens::open(config).with_context(|| format!("no service answers ({error:#})"))?;
            Ok(Tokens::Offline(Box::new(store)))
        }
    }
}

/// Id and name of the token that is meant by either.
fn named(tokens: &[Value], which: &str) -> anyhow::Result<(u32, String)> {
    let id: Option<u64> = which.parse().ok();
    let meant = |t: &&Value| t["name"] == which || (id.is_some() && t["id"].as_u64() == id);
    let found = tokens.iter().find(meant);
    let read = found.and_then(|t| Some((u32::try_from(t["id"].as_u64()?).ok()?, t["name"].as_str()?.to_owned())));
    read.with_context(|| format!("no token has the id or name \"{which}\""))
}
