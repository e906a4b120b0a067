//! Composition: store, dispatcher, intake and web put together, and taken down in order.

use std::net::{SocketAddr, TcpListener};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer};
use anyhow::{Context, bail};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::catalog;
use crate::config::{Config, Durability, Loaded, keep_fixed};
use crate::dispatch::{Deps, Dispatcher};
use crate::intake::board::Board;
use crate::intake::netbox_queue::{self, NetboxQueue};
use crate::intake::redis_stream::{self, RedisStream};
use crate::store::admin::NewAudit;
use crate::store::embedded::EmbeddedStore;
use crate::store::{Store, StoreConfig};
use crate::web::{self, AppState};

mod admin_token;
mod definitions;

/// Connections that may wait to be taken.
const BACKLOG: u32 = 1_024;
/// How long answers get to leave when nothing can be stored any more.
const GIVE_UP_WITHIN: Duration = Duration::from_secs(5);
/// Most dispatch threads chosen by ourselves.
const THREADS_MAX: usize = 4;

/// A service that runs on the current actix system.
pub struct Running {
    /// Where it listens; with port 0 in the configuration, the port it was given.
    pub addr: SocketAddr,
    /// The admin token: from the configuration, else as made at the first start.
    pub admin_token: String,
    /// Where the first user can be made, once; `None`: there are users.
    pub setup: Option<String>,
    loaded: Loaded,
    config: watch::Sender<Arc<Config>>,
    store: Arc<dyn Store>,
    embedded: Arc<EmbeddedStore>,
    dispatcher: Dispatcher,
    state: web::State,
    http: ServerHandle,
    queue: Option<NetboxQueue>,
    stream: Option<RedisStream>,
}

impl Running {
    /// Drains and stops: nothing more is started, then those who ask and the requests in flight end, all within one
    /// `server.shutdown_timeout`, then the store.
    pub async fn stop(mut self) {
        let timeout = self.config.borrow().server.shutdown_timeout;
        self.state.close_streams();
        if let Some(queue) = &mut self.queue {
            queue.drain().await;
        }
        if let Some(stream) = self.stream.take() {
            stream.stop().await;
        }
        // The drain is polled first.
        futures_util::future::join(self.dispatcher.drain(timeout), self.http.stop(true)).await;
        if let Some(queue) = self.queue {
            queue.close().await;
        }
        self.dispatcher.stop();
        let embedded = self.embedded.clone();
        // Joining the writer blocks; what it has left takes milliseconds.
        let _ = actix_rt::task::spawn_blocking(move || embedded.close()).await;
    }

    /// Stops without draining: what is in flight could not be recorded and is repeated after the next start.
    async fn give_up(self) {
        self.state.close_streams();
        // Those who wait for an answer get one.
        let _ = tokio::time::timeout(GIVE_UP_WITHIN, self.http.stop(true)).await;
    }

    /// Takes the configuration anew; a bad one is reported and the old one stays in force.
    async fn reload(&mut self) {
        if let Err(error) = self.take_anew().await {
            let error = format!("{error:#}");
            tracing::error!(error, "the new configuration is not valid, the old one stays in force");
        }
    }

    async fn take_anew(&mut self) -> anyhow::Result<()> {
        let (mut reloaded, definitions) = catalog::reload(&self.loaded)?;
        let later = keep_fixed(&self.config.borrow(), &mut reloaded.config);
        // Whatever may be refused is looked at before anything is changed.
        let changes = definitions::changes(&self.store.definitions(), definitions)?;
        admin_token::provide(&self.store, &reloaded.config).await?;
        changes.write(&self.store).await?;
        if let Err(error) = self.store.set_service(reloaded.config.webhooks.enabled).await {
            tracing::error!(%error, "that the service was switched on or off could not be stored, ages may be off");
        }
        let _ = crate::telemetry::set_level(&reloaded.config.log.level);
        if !later.is_empty() {
            tracing::warn!(keys = later.join(", "), "some changes take effect at the next start");
        }
        self.config.send_replace(Arc::new(reloaded.config.clone()));
        self.loaded = reloaded;
        self.dispatcher.refresh().await;
        tracing::info!("the configuration was taken anew");
        Ok(())
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
    let admin_token = admin_token::provide(&store, &config).await?;
    definitions::changes(&store.definitions(), catalog::from_file(&loaded)?)?.write(&store).await?;
    store.set_service(config.webhooks.enabled).await?;
    let (sender, watched) = watch::channel(config.clone());
    let threads = match config.delivery.threads {
        0 => std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX),
        n => n,
    };
    let dispatcher = Dispatcher::start(Deps { store: store.clone(), config: watched.clone(), threads });
    let board = Board::default();
    let state = AppState::start(store.clone(), dispatcher.clone(), watched.clone(), board.clone());
    let queue = config.intake.netbox_queue.enabled.then(|| {
        let (store, dispatcher, config) = (store.clone(), dispatcher.clone(), watched.clone());
        NetboxQueue::start(netbox_queue::Deps { store, dispatcher, config, board: board.clone() })
    });
    let stream = config.intake.redis_stream.enabled.then(|| {
        let (dispatcher, config) = (dispatcher.clone(), watched);
        RedisStream::start(redis_stream::Deps { dispatcher, config, board })
    });
    let served = state.clone();
    let server = HttpServer::new(move || {
        let state = served.clone();
        App::new().configure(move |routes| web::configure(routes, &state))
    })
    .workers(config.server.intake_threads)
    .backlog(BACKLOG)
    // Head and body of an answer are two writes; without this the second waits for a delayed acknowledgement, 40 ms.
    .tcp_nodelay(true)
    .disable_signals()
    .shutdown_timeout(config.server.shutdown_timeout.as_secs().max(1))
    .listen(listener)?
    .run();
    let http = server.handle();
    actix_rt::spawn(server);
    tracing::info!(%addr, "listening");
    let setup = state.store.users().is_empty().then(|| {
        let path = state.setup.make();
        format!("http://{addr}{}{path}", config.server.base_path)
    });
    Ok(Running {
        addr,
        admin_token,
        setup,
        loaded,
        config: sender,
        store,
        embedded,
        dispatcher,
        state,
        http,
        queue,
        stream,
    })
}

fn store_config(config: &Config) -> StoreConfig {
    StoreConfig {
        path: config.store.path.clone(),
        relaxed: config.store.durability == Durability::Relaxed,
        max_backlog: config.store.max_backlog,
        idempotency_window: config.intake.idempotency_window,
        max_template_origins: config.delivery.max_template_origins,
    }
}

fn by_server(action: &'static str, target: impl Into<String>) -> NewAudit {
    NewAudit { actor: "configuration".to_owned(), action, target: target.into(), detail: serde_json::Value::Null }
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

async fn broken(store: Arc<EmbeddedStore>) -> String {
    store.broken().await
}

async fn run(loaded: Loaded) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut running = start(loaded).await?;
    if let Some(link) = &running.setup {
        // The one secret that is logged: it works once, for ten minutes, and only while there are no users.
        tracing::info!(link, "the dashboard has no users yet, make the first admin within ten minutes");
    }
    loop {
        tokio::select! {
            _ = terminate.recv() => break,
            _ = interrupt.recv() => break,
            _ = hangup.recv() => running.reload().await,
            reason = broken(running.embedded.clone()) => {
                running.give_up().await;
                bail!("{reason}; the service ends, start it again: what was accepted is on disk");
            }
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
