//! Every route. `configure` is the one place that lists them, see [`urls`].

use std::sync::Arc;

use actix_web::middleware::{Compress, from_fn};
use actix_web::web::{self, Data, ServiceConfig};
use actix_web::{HttpRequest, HttpResponse, guard};
use parking_lot::Mutex;

use crate::config::{Config, ConfigWatch};
use crate::dispatch::Dispatcher;
use crate::domain::models::Models;
use crate::domain::time::Timestamp;
use crate::intake::board::Board;
use crate::store::Store;

pub mod api;
pub mod auth;
mod body;
pub mod dashboard;
pub mod error;
mod external;
pub mod filter;
pub mod passwords;
pub mod query;
pub(crate) mod rates;
mod room;
pub mod urls;

use auth::TokenCache;
use error::ApiError;
use rates::{Rates, Sample};
use room::{InProgress, Room};
use urls::URLS;

/// What handlers work with; one per process.
pub struct AppState {
    pub store: Arc<dyn Store>,
    pub dispatcher: Dispatcher,
    config: ConfigWatch,
    tokens: TokenCache,
    // Rebuilt when the configuration is another one; the lock is held for a comparison only.
    models: Mutex<Option<(Arc<Config>, Arc<Models>)>>,
    /// Bytes of events on their way to the disk.
    intake: InProgress,
    pub(crate) rates: Rates,
    streams: api::stream::Streams,
    traffic: api::metrics::Traffic,
    /// How the sources of events other than requests are.
    pub sources: Board,
    /// Failed logins to the dashboard.
    logins: dashboard::Backoff,
    /// The link that makes the first user.
    pub setup: dashboard::setup::Link,
}

/// How handlers take it.
pub type State = Data<AppState>;

impl AppState {
    /// Called once, on the system that serves; also starts the sampling of rates.
    pub fn start(store: Arc<dyn Store>, dispatcher: Dispatcher, config: ConfigWatch, sources: Board) -> State {
        let state = Data::new(Self {
            store,
            dispatcher,
            config,
            tokens: TokenCache::default(),
            models: Mutex::default(),
            intake: InProgress::default(),
            rates: Rates::default(),
            streams: api::stream::Streams::default(),
            traffic: api::metrics::Traffic::default(),
            sources,
            logins: dashboard::Backoff::default(),
            setup: dashboard::setup::Link::default(),
        });
        rates::sample_until_dropped(&state);
        state
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        self.config.borrow().clone()
    }

    /// For one request that brings events. One body of the largest size always fits.
    pub(crate) fn room(&self) -> Room {
        let config = self.config();
        self.intake.enter(config.intake.max_bytes.max(config.server.max_body))
    }

    /// The models known now.
    pub fn models(&self) -> Arc<Models> {
        let config = self.config();
        let mut cached = self.models.lock();
        if let Some((of, models)) = &*cached
            && Arc::ptr_eq(of, &config)
        {
            return models.clone();
        }
        // The configuration was checked when it was loaded, so the fallback never shows.
        let models = Arc::new(Models::with_extra(&config.webhooks.models).unwrap_or_else(|_| Models::builtin()));
        *cached = Some((config, models.clone()));
        models
    }

    /// Events in and deliveries out per second, over the last minute.
    fn rates_at(&self, now: Timestamp) -> (f64, f64) {
        self.rates.per_second(now, Sample::now())
    }

    /// Ends the live streams, which would otherwise keep their connections open through a shutdown.
    pub fn close_streams(&self) {
        self.streams.close();
    }
}

/// Adds every URL, below `server.base_path`.
pub fn configure(config: &mut ServiceConfig, state: &State) {
    let base = state.config().server.base_path.clone();
    let mut scope = web::scope(&base);
    for url in URLS {
        let mut resource = web::resource(url.path).default_service(web::to(method_not_allowed));
        for (method, _, to) in url.methods {
            resource = resource.route(to(route(method)));
        }
        scope = scope.service(resource);
    }
    for url in dashboard::urls::PAGES {
        let mut resource = web::resource(url.path).default_service(web::to(method_not_allowed));
        for (method, _, to) in url.methods {
            resource = resource.route(to(route(method)));
        }
        // The first one wrapped is the innermost: failures become pages, then all are compressed.
        scope = scope.service(resource.wrap(from_fn(dashboard::explain)).wrap(Compress::default()));
    }
    let pages = [dashboard::PATH, dashboard::HOOKS].map(|path| format!("{path}/{{tail}}*"));
    scope = scope.service(web::resource(pages).to(dashboard::not_found));
    let bad_path = web::PathConfig::default().error_handler(|_, req| not_found_error(req.path()).into());
    config
        .app_data(state.clone())
        .app_data(bad_path)
        .service(scope.default_service(web::to(not_found)))
        .default_service(web::to(not_found));
}

/// `HEAD` is answered wherever `GET` is (RFC 9110 §9.1).
fn route(method: &'static str) -> actix_web::Route {
    match method {
        "GET" => web::route().guard(guard::Any(guard::Get()).or(guard::Head())),
        "POST" => web::post(),
        "PUT" => web::put(),
        "PATCH" => web::patch(),
        "DELETE" => web::delete(),
        other => web::route().guard(guard::fn_guard(move |ctx| ctx.head().method.as_str() == other)),
    }
}

async fn not_found(req: HttpRequest) -> Result<HttpResponse, ApiError> {
    Err(not_found_error(req.path()))
}

fn not_found_error(path: &str) -> ApiError {
    let hint = if path.ends_with('/') { "" } else { "; URLs end with a slash" };
    ApiError::not_found(format!("nothing is here{hint}"))
}

async fn method_not_allowed(req: HttpRequest, state: State) -> Result<HttpResponse, ApiError> {
    let base = state.config().server.base_path.clone();
    let pattern = req.match_pattern().unwrap_or_default();
    let path = pattern.strip_prefix(&base).unwrap_or(&pattern);
    let allowed = URLS.iter().chain(dashboard::urls::PAGES).find(|url| url.path == path).map(|url| {
        let methods: Vec<_> = url.methods.iter().map(|(method, ..)| *method).collect();
        methods.join(", ")
    });
    Err(ApiError::method_not_allowed(req.method().as_str(), allowed.unwrap_or_default()))
}
