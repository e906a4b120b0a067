//! What is done with the data folder itself, without a running service: copies, rescue, first tokens.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde_json::{Value, json};

use super::output;
use crate::config::Config;
use crate::store::admin::{MAX_TOKEN_NAME, NewAudit, NewToken, Scope, Token, token_name};
use crate::store::embedded::{self, EmbeddedStore};
use crate::store::{Definitions, StoreConfig, StoreError};
use crate::web::auth;

/// Who did it, in the audit log.
pub const ACTOR: &str = "command line";

/// `backup FILE`
pub fn backup(config: Option<&Path>, file: &Path) -> anyhow::Result<ExitCode> {
    let config = Config::load(config)?.config;
    embedded::backup(&config.store.path, file)?;
    output::line(&format!("{} is a copy of the store in {}", file.display(), config.store.path.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// `recover DIR`
pub fn recover(config: Option<&Path>, to: &Path) -> anyhow::Result<ExitCode> {
    let from = Config::load(config)?.config.store.path;
    std::fs::create_dir_all(to).with_context(|| format!("cannot make the folder {}", to.display()))?;
    let report = embedded::recover(&from, to)?;
    output::line(&format!(
        "{} events, {} deliveries and {} webhooks of {} are readable and now in {}",
        report.events,
        report.deliveries,
        report.webhooks,
        from.display(),
        to.display()
    ))?;
    if report.damaged_events > 0 {
        output::line(&format!("{} events are damaged and left out", report.damaged_events))?;
    }
    for problem in &report.problems {
        output::line(&format!("damaged: {problem}"))?;
    }
    output::line(&format!("set store.path = \"{}\" to run on it; the damaged store is unchanged", to.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the store of the configuration.
///
/// # Errors
/// A service holds the folder, or it is no store.
pub fn open(config: Option<&Path>) -> anyhow::Result<EmbeddedStore> {
    let config = Config::load(config)?.config;
    Ok(EmbeddedStore::open(StoreConfig {
        path: config.store.path,
        relaxed: false,
        max_backlog: config.store.max_backlog,
        idempotency_window: config.intake.idempotency_window,
        max_template_origins: config.delivery.max_template_origins,
    })?)
}

/// The tokens of a store that no service works on.
pub struct OfflineTokens {
    store: EmbeddedStore,
}

impl OfflineTokens {
    /// Opens the store of the configuration.
    ///
    /// # Errors
    /// A service holds the folder, or it is no store.
    pub fn open(config: Option<&Path>) -> anyhow::Result<Self> {
        Ok(Self { store: open(config)? })
    }

    /// As the API answers: the token's text is in it, this once.
    pub async fn create(&self, name: &str, scopes: &[String]) -> anyhow::Result<Value> {
        let Some(name) = token_name(name) else { bail!("the name must be 1 to {MAX_TOKEN_NAME} characters") };
        let scopes = scopes.iter().map(|s| scope(s)).collect::<anyhow::Result<Vec<Scope>>>()?;
        let text = auth::generate();
        let audit = self.audit("token.create", name, json!({ "scopes": scopes }));
        let new = NewToken { name: name.to_owned(), scopes, hash: auth::hash(&text) };
        let token = self.store.create_token(new, audit).await?;
        let mut shown = shown(&token);
        shown["token"] = text.into();
        Ok(shown)
    }

    pub fn list(&self) -> Vec<Value> {
        self.store.tokens().iter().map(shown).collect()
    }

    pub async fn revoke(&self, id: u32) -> Result<(), StoreError> {
        let audit = self.audit("token.revoke", &id.to_string(), Value::Null);
        self.store.revoke_token(id, audit).await
    }

    fn audit(&self, action: &'static str, token: &str, detail: Value) -> NewAudit {
        NewAudit { actor: ACTOR.to_owned(), action, target: format!("token {token}"), detail }
    }
}

fn shown(token: &Token) -> Value {
    json!({ "id": token.id, "name": token.name, "scopes": token.scopes, "created": token.created })
}

fn scope(name: &str) -> anyhow::Result<Scope> {
    match Scope::ALL.into_iter().find(|scope| scope.as_str() == name) {
        Some(scope) => Ok(scope),
        None => bail!("\"{name}\" is not a scope; one of {}", Scope::ALL.map(Scope::as_str).join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A configuration file for a store below `folder`.
    fn configured(folder: &Path) -> std::path::PathBuf {
        let file = folder.join("config.toml");
        std::fs::write(&file, format!("[store]\npath = \"{}\"\n", folder.join("data").display())).expect("writable");
        file
    }

    #[actix_rt::test]
    async fn tokens_are_made_and_revoked_without_a_service() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = configured(folder.path());
        let tokens = OfflineTokens::open(Some(&config)).expect("a new store");
        let made = tokens.create("ci", &["read".to_owned(), "ingest".to_owned()]).await.expect("a token");
        assert_eq!(made["token"].as_str().map(str::len), Some(64));
        assert!(tokens.create("x", &["root".to_owned()]).await.is_err());
        assert_eq!(tokens.list().len(), 1);
        assert!(tokens.list()[0].get("token").is_none());
        let second = OfflineTokens::open(Some(&config)).err().expect("the folder is in use").to_string();
        assert!(second.contains("in use"), "{second}");
        let id = made["id"].as_u64().and_then(|id| u32::try_from(id).ok()).expect("an id");
        tokens.revoke(id).await.expect("it exists");
        assert!(tokens.list().is_empty());
    }

    #[actix_rt::test]
    async fn a_backup_is_a_store_and_never_overwrites() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = configured(folder.path());
        assert!(backup(Some(&config), &folder.path().join("none")).is_err());
        let tokens = OfflineTokens::open(Some(&config)).expect("a new store");
        tokens.create("ci", &["read".to_owned()]).await.expect("a token");
        std::fs::create_dir(folder.path().join("copy")).expect("a new folder");
        let copy = folder.path().join("copy/webhookd.sqlite3");
        // The store is open: a copy is made beside a running service.
        backup(Some(&config), &copy).expect("a copy");
        assert!(backup(Some(&config), &copy).is_err());
        std::fs::write(&config, format!("[store]\npath = \"{}\"\n", folder.path().join("copy").display()))
            .expect("writable");
        assert_eq!(OfflineTokens::open(Some(&config)).expect("the copy opens").list().len(), 1);
        recover(Some(&config), &folder.path().join("rescued")).expect("an intact store is readable too");
    }
}
