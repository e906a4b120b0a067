//! How this service is called from outside: the URLs in its answers.

use std::net::IpAddr;

use actix_web::HttpRequest;
use actix_web::http::header::HOST;

use crate::config::Config;

/// Whether the peer is one of `server.trusted_proxies`: only then what it says of the client is believed.
fn is_trusted(peer: IpAddr, config: &Config) -> bool {
    config.server.trusted_proxies.iter().any(|network| network.contains(&peer))
}

/// Who is connected to us. A listener on "::" sees IPv4 peers as mapped addresses.
pub fn peer_ip(req: &HttpRequest) -> Option<IpAddr> {
    req.peer_addr().map(|peer| peer.ip().to_canonical())
}

/// The absolute URL of the request without its query, as a trusted proxy says in `X-Forwarded-*`.
pub fn own_url(req: &HttpRequest, config: &Config) -> String {
    if peer_ip(req).is_some_and(|peer| is_trusted(peer, config)) {
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
    let peer = peer_ip(req)?;
    if !is_trusted(peer, config) {
        return Some(peer);
    }
    // The last one was written by the proxy itself.
    let forwarded = req.headers().get_all("x-forwarded-for").last().and_then(|value| value.to_str().ok());
    let named = forwarded.and_then(|list| list.rsplit(',').next()).map(str::trim).and_then(address);
    Some(named.unwrap_or(peer))
}

/// Some proxies add the port.
fn address(text: &str) -> Option<IpAddr> {
    let with_port = || text.parse::<std::net::SocketAddr>().ok().map(|address| address.ip());
    text.parse().ok().or_else(with_port)
}

/// Whom a proxy says the request is from.
#[derive(Debug, PartialEq, Eq)]
pub enum RemoteUser {
    Nobody,
    Named(String),
    /// Different ones: one of them may be the client's own word.
    Several,
}

/// What a trusted proxy says in `auth.remote_user_header`.
pub fn remote_user(req: &HttpRequest, config: &Config) -> RemoteUser {
    let header = config.auth.remote_user_header.as_str();
    if header.is_empty() || !peer_ip(req).is_some_and(|peer| is_trusted(peer, config)) {
        return RemoteUser::Nobody;
    }
    let mut values = req.headers().get_all(header).map(|value| value.as_bytes().trim_ascii());
    let Some(first) = values.next() else { return RemoteUser::Nobody };
    if values.any(|other| other != first) {
        return RemoteUser::Several;
    }
    match std::str::from_utf8(first) {
        Ok(name) if !name.is_empty() => RemoteUser::Named(name.to_owned()),
        _ => RemoteUser::Nobody,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_remote_user_is_believed_from_a_trusted_proxy_that_names_one() {
        let mut config = Config::default();
        config.server.trusted_proxies = vec!["10.0.0.0/8".parse().expect("a network")];
        config.auth.remote_user_header = "X-Remote-User".to_owned();
        let told = |config: &Config, peer: &str, values: &[&str]| {
            let mut req = TestRequest::default().peer_addr(format!("{peer}:1").parse().expect("an address"));
            for value in values {
                req = req.append_header(("x-remote-user", value.as_bytes()));
            }
            remote_user(&req.to_http_request(), config)
        };
        let named = |name: &str| RemoteUser::Named(name.to_owned());
        for (values, expected) in [
            (&["ann"][..], named("ann")),
            (&[" ann "], named("ann")),
            (&["ann", "ann"], named("ann")),
            (&["Zo\u{eb}"], named("Zo\u{eb}")),
            (&["ann", "root"], RemoteUser::Several),
            (&["", "root"], RemoteUser::Several),
            (&[""], RemoteUser::Nobody),
            (&[], RemoteUser::Nobody),
        ] {
            assert_eq!(told(&config, "10.1.2.3", values), expected, "{values:?}");
            assert_eq!(told(&config, "[::ffff:10.1.2.3]", values), expected, "{values:?}");
            assert_eq!(told(&config, "192.0.2.1", values), RemoteUser::Nobody, "{values:?}");
        }
        config.auth.remote_user_header.clear();
        assert_eq!(told(&config, "10.1.2.3", &["ann"]), RemoteUser::Nobody);
    }
}
