//! The awc clients of one thread: one per origin and TLS profile, gone soon after their last use.
//!
//! awc closes idle connections only when it is next asked for one, so a client nobody uses would keep its connections
//! half open for ever. Dropping it closes them.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::time::Duration;

use awc::http::header::HeaderValue;
use awc::http::uri::Authority;
use url::Url;

use super::connector::{Guard, GuardedConnector, Target};
use super::failure::Failure;
use super::tls::TlsProfile;
use crate::clock;
use crate::domain::attempt::ErrorKind;
use crate::domain::payload_url::{Origin, PayloadUrl};
use crate::domain::time::Timestamp;

/// Below the 5 s after which common servers close an idle connection, so that ours closes first.
const KEEP_ALIVE: Duration = Duration::from_secs(4);
/// A client unused for this long is dropped.
const IDLE: Duration = Duration::from_secs(10);
/// How often that is looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// Most clients of one thread.
const MAX_CLIENTS: usize = 16_384;
/// The probe's timeouts hold; awc's own are only kept from firing first.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// A client and what all requests to its origin have in common.
pub(super) struct Client {
    pub http: awc::Client,
    pub authority: Authority,
    /// With the port where it is not the scheme's own. awc would leave out 80 and 443 whatever the scheme.
    pub host: HeaderValue,
    last_used: Cell<Timestamp>,
}

#[derive(Clone, PartialEq, Eq, Hash)]
struct Key {
    origin: Origin,
    tls: TlsProfile,
}

#[derive(Default)]
pub(super) struct Clients {
    pub guard: Rc<Guard>,
    table: RefCell<HashMap<Key, Rc<Client>>>,
    sweeping: Cell<bool>,
}

impl Clients {
    /// The client for a request to `url`, made if there is none.
    pub(super) fn get(self: &Rc<Self>, url: &PayloadUrl, tls: &TlsProfile) -> Result<Rc<Client>, Failure> {
        let key = key(url, tls);
        let now = clock::now();
        if let Some(client) = self.table.borrow().get(&key) {
            client.last_used.set(now);
            return Ok(Rc::clone(client));
        }
        let client = Rc::new(self.connectable(&key, now)?);
        let mut table = self.table.borrow_mut();
        if table.len() >= MAX_CLIENTS {
            drop_oldest(&mut table);
        }
        table.insert(key, Rc::clone(&client));
        drop(table);
        self.sweep_from_now_on();
        Ok(client)
    }

    /// Forgets `client` and with it the idle connections it keeps. Requests it is making go on.
    pub(super) fn discard(&self, client: &Rc<Client>, url: &PayloadUrl, tls: &TlsProfile) {
        let key = key(url, tls);
        let mut table = self.table.borrow_mut();
        // Another request may have replaced it already.
        if table.get(&key).is_some_and(|current| Rc::ptr_eq(current, client)) {
            table.remove(&key);
        }
    }

    pub(super) fn discard_all(&self) {
        self.table.borrow_mut().clear();
    }

    fn connectable(&self, key: &Key, now: Timestamp) -> Result<Client, Failure> {
        let (target, authority) = target(key)?;
        let host = HeaderValue::from_str(authority.as_str()).map_err(|e| unusable(&e))?;
        let connector = GuardedConnector { target: Rc::new(target), guard: Rc::clone(&self.guard) };
        let connector = awc::Connector::new()
            .connector(connector)
            // In flight is bounded by whoever calls, per endpoint, origin and node.
            .limit(0)
            .timeout(NEVER)
            .conn_keep_alive(KEEP_ALIVE);
        let http = awc::Client::builder().connector(connector).disable_redirects().disable_timeout();
        Ok(Client { http: http.no_default_headers().finish(), authority, host, last_used: Cell::new(now) })
    }

    /// Starts the sweeper unless it runs; it ends when there is nothing left to sweep.
    fn sweep_from_now_on(self: &Rc<Self>) {
        if self.sweeping.replace(true) {
            return;
        }
        let clients: Weak<Self> = Rc::downgrade(self);
        actix_rt::spawn(async move {
            loop {
                tokio::time::sleep(SWEEP).await;
                let Some(clients) = clients.upgrade() else { return };
                if clients.sweep(clock::now()) == 0 {
                    clients.sweeping.set(false);
                    return;
                }
            }
        });
    }

    /// Drops what has been idle too long; how many are left.
    pub(super) fn sweep(&self, now: Timestamp) -> usize {
        let mut table = self.table.borrow_mut();
        table.retain(|_, client| in_use(client) || now.since(client.last_used.get()) < IDLE);
        // A burst of origins must not hold its memory for ever.
        if table.capacity() > 64 && table.len() < table.capacity() / 4 {
            table.shrink_to_fit();
        }
        table.len()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.table.borrow().len()
    }
}

fn key(url: &PayloadUrl, tls: &TlsProfile) -> Key {
    let tls = if url.origin.0.starts_with("https:") { tls.clone() } else { TlsProfile::System };
    Key { origin: url.origin.clone(), tls }
}

fn target(key: &Key) -> Result<(Target, Authority), Failure> {
    let url = Url::parse(&key.origin.0).map_err(|e| unusable(&e))?;
    let (Some(host), Some(port)) = (url.host(), url.port_or_known_default()) else {
        return Err(unusable(&"it names no host"));
    };
    let authority = key.origin.0.split("://").nth(1).unwrap_or_default();
    let authority = authority.parse().map_err(|e| unusable(&e))?;
    let tls = match url.scheme() {
        "https" => Some(key.tls.client_config().map_err(|e| Failure::unreached(ErrorKind::Tls, e))?),
        _ => None,
    };
    Ok((Target { host: host.to_owned(), port, tls }, authority))
}

fn unusable(why: &dyn std::fmt::Display) -> Failure {
    Failure::refused(ErrorKind::Template, format!("the URL cannot be requested: {why}"))
}

fn in_use(client: &Rc<Client>) -> bool {
    Rc::strong_count(client) > 1
}

fn drop_oldest(table: &mut HashMap<Key, Rc<Client>>) {
    let idle = table.iter().filter(|(_, client)| !in_use(client));
    let oldest = idle.min_by_key(|(_, client)| client.last_used.get()).map(|(key, _)| key.clone());
    if let Some(key) = oldest {
        table.remove(&key);
    }
}
