//! Composition: store, dispatcher, intake and web put together, and taken down in order.

use std::collections::{HashMap, HashSet};
use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::catalog::validate;
use crate::config::{Config, Durability, FileWebhook, Loaded};
use crate::dispatch::{Deps, Dispatcher};
use crate::domain::models::Models;
use crate::domain::webhook::{Source, Webhook};
use crate::store::admin::{DefinitionSet, NewAudit, Scope, WebhookWrite};
use crate::store::embedded::EmbeddedStore;
use crate::store::{Store, StoreConfig};
use crate::web::{self, AppState, auth};

/// Name of the token made at the first start, or given by `auth.bootstrap_token`.
const BOOTSTRAP: &str = "bootstrap";
/// File in the data folder that holds it.
const TOKEN_FILE: &str = "admin-token";
/// Connections that may wait to be taken.
const BACKLOG: u32 = 1_024;
/// Most dispatch threads chosen by ourselves.
const THREADS_MAX: usize = 4;

/// A service that runs on the current actix system.
pub struct Running {
    /// Where it listens; with port 0 in the configuration, the port it was given.
    pub addr: SocketAddr,
    /// The admin token: from the configuration, else as made at the first start.
    pub admin_token: String,
    loaded: Loaded,
    config: watch::Sender<Arc<Config>>,
    store: Arc<dyn Store>,
    embedded: Arc<EmbeddedStore>,
    dispatcher: Dispatcher,
    state: web::State,
    http: ServerHandle,
}

impl Running {
    /// Drains and stops: intake first, then requests in flight, then the store.
    pub async fn stop(self) {
        let timeout = self.config.borrow().server.shutdown_timeout;
        self.state.close_streams();
        self.http.stop(true).await;
        self.dispatcher.drain(timeout).await;
        let embedded = self.embedded.clone();
        // Joining the writer blocks; what it has left takes milliseconds.
        let _ = actix_rt::task::spawn_blocking(move || embedded.close()).await;
    }

    /// Takes the configuration anew; a bad one is reported and the old one stays in force.
    async fn reload(&mut self) {
        let reloaded = match self.loaded.reload() {
            Ok(reloaded) => reloaded,
            Err(error) => {
                return tracing::error!(%error, "the new configuration is not valid, the old one stays in force");
            }
        };
        if let Err(error) = define_from_files(&self.store, &reloaded.config).await {
            return tracing::error!(%error, "the new configuration is not valid, the old one stays in force");
        }
        let _ = crate::telemetry::set_level(&reloaded.config.log.level);
        let old = self.config.borrow().clone();
        if old.server != reloaded.config.server || old.store != reloaded.config.store {
            tracing::warn!("changes under [server] and [store] take effect at the next start");
        }
        self.config.send_replace(Arc::new(reloaded.config.clone()));
        self.loaded = reloaded;
        self.dispatcher.refresh().await;
        tracing::info!("the configuration was taken anew");
    }
}

/// Starts the service on the current actix system and returns once it listens.
///
/// # Errors
/// Whatever keeps it from running: the store, the address, the definitions.
pub async fn start(loaded: Loaded) -> anyhow::Result<Running> {
    let config = Arc::new(loaded.config.clone());
    let listener = TcpListener::bind(config.server.listen)
        .with_context(|| format!("cannot listen on {} (server.listen)", config.server.listen))?;
    let addr = listener.local_addr()?;
    raise_file_limit(config.delivery.max_in_flight);
    let embedded = Arc::new(EmbeddedStore::open(store_config(&config)).context("cannot open the store")?);
    let store: Arc<dyn Store> = embedded.clone();
    let admin_token = admin_token(&store, &config).await?;
    define_from_files(&store, &config).await?;
    let (sender, watched) = watch::channel(config.clone());
    let threads = match config.delivery.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX),
        n => n,
    };
    let dispatcher = Dispatcher::start(Deps { store: store.clone(), config: watched.clone(), threads });
    let state = AppState::start(store.clone(), dispatcher.clone(), watched);
    let served = state.clone();
    let server = HttpServer::new(move || {
        let state = served.clone();
        App::new().configure(move |routes| web::configure(routes, &state))
    })
    .workers(config.server.intake_threads)
    .backlog(BACKLOG)
    .disable_signals()
    .shutdown_timeout(config.server.shutdown_timeout.as_secs().max(1))
    .listen(listener)?
    .run();
    let http = server.handle();
    actix_rt::spawn(server);
    tracing::info!(%addr, "listening");
    Ok(Running { addr, admin_token, loaded, config: sender, store, embedded, dispatcher, state, http })
}

fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        path: config.store.path.clone(),
        relaxed: config.store.durability == Durability::Relaxed,
        max_backlog: config.store.max_backlog,
        idempotency_window: config.intake.idempotency_window,
    }
}

/// The token of the configuration, or the one made at the first start; either is in force afterwards.
async fn admin_token(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<String> {
    let path = config.store.path.join(TOKEN_FILE);
    let given = !config.auth.bootstrap_token.is_empty();
    let token = if given {
        config.auth.bootstrap_token.clone()
    } else {
        match std::fs::read_to_string(&path) {
            Ok(text) => text.trim().to_owned(),
            Err(_) => auth::generate(),
        }
    };
    let hash = auth::hash(&token);
    let known = store.tokens();
    if !known.iter().any(|t| t.hash == hash) {
        let old = known.iter().find(|t| t.name == BOOTSTRAP).map(|t| t.id);
        if let Some(old) = old {
            store.revoke_token(old, by_server("token.revoke", "token bootstrap")).await?;
        }
        let audit = by_server("token.create", "token bootstrap");
        store.create_token(BOOTSTRAP.to_owned(), vec![Scope::Admin], hash, audit).await?;
    }
    if !given && !path.exists() {
        write_private(&path, &token).with_context(|| format!("cannot write {}", path.display()))?;
        tracing::info!(path = %path.display(), "made an admin token");
    }
    Ok(token)
}

fn write_private(path: &std::path::Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")
}

fn by_server(action: &'static str, target: impl Into<String>) -> NewAudit {
    NewAudit { actor: "configuration".to_owned(), action, target: target.into(), detail: serde_json::Value::Null }
}

/// Puts the `[[webhook]]`s of the file into force. One that the file no longer names is disabled and kept: a typo must
/// not cancel its deliveries.
async fn define_from_files(store: &Arc<dyn Store>, config: &Config) -> anyhow::Result<()> {
    let models = Models::with_extra(&config.webhooks.models).map_err(|e| anyhow::anyhow!("{e}"))?;
    let mut valid = Vec::new();
    for FileWebhook { line, value } in &config.file_webhooks {
        match validate::create(value, &models) {
            Ok((spec, url)) => valid.push((line, spec, url)),
            Err(errors) => bail!("config line {line}: the webhook is not valid: {errors}"),
        }
    }
    let set = store.definitions();
    let by_name: HashMap<&str, &Arc<Webhook>> = set.webhooks.iter().map(|w| (w.spec.name.as_str(), w)).collect();
    let named: HashSet<String> = valid.iter().map(|(_, spec, _)| spec.name.clone()).collect();
    let mut writes = Vec::new();
    for (line, spec, url) in valid {
        let known = by_name.get(spec.name.as_str());
        if let Some(other) = known.filter(|w| w.source != Source::File) {
            bail!("config line {line}: a webhook named \"{}\" was made elsewhere already", other.spec.name);
        }
        if known.is_some_and(|w| *w.spec == spec && !w.orphaned) {
            continue;
        }
        let id = known.map(|w| w.id);
        writes.push(WebhookWrite { id, spec, url, source: Source::File, orphaned: false });
    }
    if !writes.is_empty() {
        store.write_webhooks(writes, by_server("webhook.define", "")).await?;
    }
    let orphans = orphans(&set, &named);
    if !orphans.is_empty() {
        store.write_webhooks(orphans, by_server("webhook.orphan", "")).await?;
    }
    Ok(())
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
            url: webhook.url.clone(),
            source: Source::File,
            orphaned: true,
        }
    };
    set.webhooks.iter().filter(gone).map(orphan).collect()
}

/// Connections need file descriptors: the soft limit is often 1,024.
fn raise_file_limit(max_in_flight: usize) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or fill the struct they are given.
    let raised = unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 && {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit) == 0
        }
    };
    let needed = max_in_flight as u64 + 512;
    if !raised || limit.rlim_max < needed {
        tracing::warn!(
            limit = limit.rlim_max,
            needed,
            "the limit of open files is below what delivery.max_in_flight may need, raise it (LimitNOFILE)"
        );
    }
}

/// Runs the service until a signal ends it; reloads the configuration on SIGHUP.
pub fn serve(loaded: Loaded) -> ExitCode {
    actix_web::rt::System::new().block_on(async move {
        match run(loaded).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                tracing::error!("{error:#}");
                ExitCode::FAILURE
            }
        }
    })
}

async fn run(loaded: Loaded) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut running = start(loaded).await?;
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.reload().await,
        }
    }
    tracing::info!("draining");
    // A second signal ends it at once: what is in flight is repeated at the next start.
    tokio::select! {
        () = running.stop() => {}
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopped");
    Ok(())
}
