//! The guarded connector: every connection is resolved, checked, dialled and encrypted here.
//!
//! awc's own resolver is not asked for IP literals, so a guard there would have a gap. This service sees every
//! connection, and the address that is checked is the address that is dialled.

use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use actix_service::Service;
use actix_tls::connect::rustls_0_23::TlsConnector;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection, Host};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use rustls::ClientConfig;

use super::dial::dial;
use super::egress::Egress;
use super::failure::Failure;
use super::names::Names;
use super::probe::{Probe, Stage};
use super::wire::Wire;
use crate::clock;
use crate::domain::attempt::ErrorKind;

/// What all connections of a thread share.
#[derive(Default)]
pub(super) struct Guard {
    pub egress: RefCell<Arc<Egress>>,
    names: Names,
}

/// Where the connections of one client lead.
pub(super) struct Target {
    pub host: url::Host,
    pub port: u16,
    /// `None` for plain HTTP.
    pub tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone)]
pub(super) struct GuardedConnector {
    pub target: Rc<Target>,
    pub guard: Rc<Guard>,
}

impl Service<ConnectInfo<Uri>> for GuardedConnector {
    type Response = Connection<Uri, Wire>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            // Without a probe nobody waits for the connection.
            let probe = Probe::current().ok_or(ConnectError::Unresolved)?;
            let established = tokio::time::timeout(probe.connect_timeout, this.establish(&probe)).await;
            match established.unwrap_or_else(|_| Err(probe.connect_deadline())) {
                Ok(wire) => Ok(Connection::new(info.request().clone(), wire)),
                Err(failure) => {
                    probe.fail(failure);
                    Err(ConnectError::Unresolved)
                }
            }
        })
    }
}

impl GuardedConnector {
    async fn establish(&self, probe: &Probe) -> Result<Wire, Failure> {
        probe.enter(Stage::Resolving);
        let addresses = self.admitted(self.resolve(probe).await?)?;
        probe.enter(Stage::Connecting);
        let began = clock::now();
        let stream = dial(addresses).await.map_err(|(address, e)| unconnected(address, &e))?;
        probe.time(|t| t.connect = Some(clock::now().since(began)));
        let remote = stream.peer_addr().map_err(|e| unconnected(None, &e))?;
        probe.reached(remote);
        let Some(config) = &self.target.tls else {
            probe.enter(Stage::Connected);
            return Ok(Wire::plain(stream, remote));
        };
        probe.enter(Stage::Handshaking);
        let began = clock::now();
        let name = ServerHost(server_name(&self.target.host));
        let handshake = TlsConnector::service(Arc::clone(config)).call(Connection::new(name, stream)).await;
        let (stream, _) = handshake.map_err(|e| Failure::unreached(ErrorKind::Tls, handshake_failed(&e)))?.into_parts();
        probe.time(|t| t.tls = Some(clock::now().since(began)));
        probe.enter(Stage::Connected);
        Ok(Wire::tls(stream, remote))
    }

    async fn resolve(&self, probe: &Probe) -> Result<Rc<[IpAddr]>, Failure> {
        let name = match &self.target.host {
            url::Host::Ipv4(v4) => return Ok(Rc::new([IpAddr::V4(*v4)])),
            url::Host::Ipv6(v6) => return Ok(Rc::new([IpAddr::V6(*v6)])),
            url::Host::Domain(name) => name,
        };
        let began = clock::now();
        let resolved = self.guard.names.resolve(name).await;
        probe.time(|t| t.dns = Some(clock::now().since(began)));
        resolved.map_err(|e| Failure::unreached(ErrorKind::Dns, format!("{name} was not resolved: {e}")))
    }

    /// The addresses that may be dialled; if there are none, the first refusal.
    fn admitted(&self, addresses: Rc<[IpAddr]>) -> Result<Vec<SocketAddr>, Failure> {
        let egress = self.guard.egress.borrow();
        let mut refusal = None;
        let mut admitted = Vec::with_capacity(addresses.len());
        for address in addresses.iter() {
            match egress.check(*address) {
                Ok(()) => admitted.push(SocketAddr::new(*address, self.target.port)),
                Err(e) => refusal = refusal.or(Some(e)),
            }
        }
        match refusal {
            Some(refusal) if admitted.is_empty() => {
                Err(Failure::refused(ErrorKind::Blocked, format!("connection refused by our own rules: {refusal}")))
            }
            _ => Ok(admitted),
        }
    }
}

fn unconnected(address: Option<SocketAddr>, error: &std::io::Error) -> Failure {
    let to = address.map_or_else(String::new, |a| format!(" to {a}"));
    Failure::unreached(ErrorKind::Connect, format!("no connection{to}: {error}"))
}

/// What went wrong, and what to do about the commonest case.
fn handshake_failed(error: &std::io::Error) -> String {
    use rustls::CertificateError::{NotValidForName, NotValidForNameContext, UnknownIssuer};
    use rustls::Error::InvalidCertificate;
    let cause = error.get_ref().and_then(|e| e.downcast_ref::<rustls::Error>());
    let hint = match cause {
        Some(InvalidCertificate(UnknownIssuer)) => "; is it signed by your own authority? then name it in ca_file_path",
        Some(InvalidCertificate(NotValidForName | NotValidForNameContext { .. })) => "; it is for another host",
        _ => "",
    };
    format!("TLS handshake failed: {error}{hint}")
}

/// The host for SNI and for the certificate check.
struct ServerHost(String);

impl Host for ServerHost {
    fn hostname(&self) -> &str {
        &self.0
    }
}

fn server_name(host: &url::Host) -> String {
    match host {
        // A name with the root's dot is the same name, and certificates are without.
        url::Host::Domain(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
        url::Host::Ipv4(v4) => v4.to_string(),
        url::Host::Ipv6(v6) => v6.to_string(),
    }
}
