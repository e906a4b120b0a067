//! How this service is called from outside: the URLs in its answers.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::HOST;

use crate::config::Config;

/// The absolute URL of the request without its query. `X-Forwarded-*` is believed from `server.trusted_proxies` only.
pub fn own_url(req: &HttpRequest, config: &Config) -> String {
    let proxied = req.peer_addr().is_some_and(|peer| {
        // A listener on "::" sees IPv4 peers as mapped addresses.
        let ip = peer.ip().to_canonical();
        config.server.trusted_proxies.iter().any(|network| network.contains(&ip))
    });
    if proxied {
        let info = req.connection_info();
        return format!("{}://{}{}", info.scheme(), info.host(), req.path());
    }
    let host = req.headers().get(HOST).and_then(|h| h.to_str().ok()).map(str::to_owned);
    let host = host.unwrap_or_else(|| config.server.listen.to_string());
    format!("http://{host}{}", req.path())
}

/// Whether the client reached us over TLS, as a trusted proxy says; we have none ourselves.
pub fn is_https(req: &HttpRequest, config: &Config) -> bool {
    own_url(req, config).starts_with("https://")
}

/// `scheme://host[:port]` of [`own_url`].
pub fn own_origin(req: &HttpRequest, config: &Config) -> String {
    let url = own_url(req, config);
    url.strip_suffix(req.path()).unwrap_or(&url).to_owned()
}

/// Where the REST API is: [`own_origin`], but behind a proxy, which may hand on no more than the pages, our own address.
pub fn api_origin(req: &HttpRequest, config: &Config) -> String {
    let forwarded = req.headers().contains_key("x-forwarded-for") || req.headers().contains_key("x-forwarded-host");
    if forwarded { format!("http://{}", config.server.listen) } else { own_origin(req, config) }
}

/// Who sent the request: the peer, or whom a trusted proxy names.
pub fn client_ip(req: &HttpRequest, config: &Config) -> Option<IpAddr> {
    let peer = req.peer_addr()?.ip().to_canonical();
    if !config.server.trusted_proxies.iter().any(|network| network.contains(&peer)) {
        return Some(peer);
    }
    // The last one was written by the proxy itself.
    let forwarded = req.headers().get("x-forwarded-for").and_then(|value| value.to_str().ok());
    let named = forwarded.and_then(|list| list.rsplit(',').next()).and_then(|ip| ip.trim().parse().ok());
    Some(named.unwrap_or(peer))
}
