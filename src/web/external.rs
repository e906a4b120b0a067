//! How this service is called from outside: the URLs in its answers.

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
