//! The first admin token: of the configuration, or made at the first start and left in a file for its owner.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, bail};

use super::by_server;
use crate::config::Config;
use crate::store::admin::{NewToken, Scope};
use crate::store::{Store, StoreError};
use crate::web::auth;

/// Name of the token in the list of tokens.
const BOOTSTRAP: &str = "bootstrap";
/// File in the data folder that holds it.
const FILE: &str = "admin-token";

/// Puts the token into force, unless it was revoked: revoked it stays.
pub async fn provide(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<String> {
    let path = config.store.path.join(FILE);
    let given = config.auth.bootstrap_token.as_str();
    let kept = if given.is_empty() { read(&path)? } else { None };
    let token = match (given, &kept) {
        ("", Some(kept)) => kept.clone(),
        ("", None) => auth::generate(),
        (given, _) => given.to_owned(),
    };
    let hash = auth::hash(&token);
    if !store.tokens().iter().any(|t| t.hash == hash) {
        let audit = by_server("token.create", format!("token {BOOTSTRAP}"));
        let new = NewToken { name: BOOTSTRAP.to_owned(), scopes: vec![Scope::Admin], hash };
        match store.put_token(new, audit).await {
            Ok(_) => {}
            Err(StoreError::Conflict(_)) => {
                let file = path.display().to_string();
                let from = if given.is_empty() { file.as_str() } else { "auth.bootstrap_token" };
                tracing::warn!(from, "the admin token given there was revoked and is not in force");
            }
            Err(error) => return Err(error.into()),
        }
    }
    if given.is_empty() && kept.is_none() {
        write(&path, &token).with_context(|| format!("cannot write {}", path.display()))?;
        tracing::info!(path = %path.display(), "made an admin token");
    }
    Ok(token)
}

/// The token in the file; `None`: there is no file.
fn read(path: &Path) -> anyhow::Result<Option<String>> {
    let shown = path.display();
    match std::fs::read_to_string(path) {
        Ok(text) if text.trim().is_empty() => {
            bail!("{shown} is empty, so nobody has the admin token; remove the file and a new one is made")
        }
        Ok(text) => Ok(Some(text.trim().to_owned())),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(None),
        Err(e) => bail!("{shown}, which holds the admin token, cannot be read: {e}"),
    }
}

/// Whole or not at all, for our user alone, and on disk when it returns.
fn write(path: &Path, token: &str) -> std::io::Result<()> {
    let unfinished = path.with_extension("new");
    match std::fs::remove_file(&unfinished) {
        Err(e) if e.kind() != ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&unfinished)?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(folder) => File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}
