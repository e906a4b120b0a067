//! TLS, against a rustls server on a thread of its own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicU32, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection};
use rustls_pki_types::PrivateKeyDer;

use super::*;

static AUTHORITIES: AtomicU32 = AtomicU32::new(0);

struct TlsReceiver {
    address: SocketAddr,
    ca_pem: String,
}

impl TlsReceiver {
    /// A server with a certificate for `names`, answering one request per read for as long as its peers stay.
    fn start(names: &[&str]) -> Self {
        let mut ca = CertificateParams::new(vec![]).expect("no names");
        // Told apart by name: a signature is only looked at under a name that is known.
        ca.distinguished_name
            .push(DnType::CommonName, format!("authority {}", AUTHORITIES.fetch_add(1, Ordering::Relaxed)));
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate().expect("a key")).expect("a CA");
        let key = KeyPair::generate().expect("a key");
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let leaf = CertificateParams::new(names).expect("valid names").signed_by(&key, &ca).expect("a certificate");

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).expect("a key"))
            .expect("a matching key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let config = Arc::new(config);
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let config = Arc::clone(&config);
                std::thread::spawn(move || serve(config, stream.expect("a connection")));
            }
        });
        Self { address, ca_pem: ca.pem() }
    }

    /// Sends with the server's CA in a file.
    fn ca_file(&self) -> (tempfile::NamedTempFile, TlsProfile) {
        let mut file = tempfile::NamedTempFile::new().expect("a temporary file");
        file.write_all(self.ca_pem.as_bytes()).expect("written");
        let path = file.path().to_str().expect("a UTF-8 path").into();
        (file, TlsProfile::CaFile(path))
    }

    fn request(&self, host: &str, tls: TlsProfile) -> Request {
        Request { tls, ..request(&format!("https://{host}:{}/", self.address.port())) }
    }
}

/// Answers with what the handshake agreed upon: server name and protocol.
fn serve(config: Arc<ServerConfig>, mut stream: std::net::TcpStream) {
    let mut connection = ServerConnection::new(config).expect("a valid configuration");
    let mut buffer = [0; 16 * 1024];
    loop {
        let mut tls = rustls::Stream::new(&mut connection, &mut stream);
        match tls.read(&mut buffer) {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        let name = connection.server_name().unwrap_or("-").to_owned();
        let protocol = String::from_utf8_lossy(connection.alpn_protocol().unwrap_or(b"-")).into_owned();
        let body = format!("{name} {protocol}");
        let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
        if rustls::Stream::new(&mut connection, &mut stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn excerpt(attempt: &Attempt) -> String {
    String::from_utf8_lossy(&attempt.response_excerpt).into_owned()
}

#[actix_rt::test]
async fn a_ca_file_makes_its_servers_trusted() {
    let server = TlsReceiver::start(&["localhost", "127.0.0.1"]);
    let (_file, profile) = server.ca_file();
    let sender = sender();
    let first = sender.send(server.request("localhost", profile.clone())).await;
    assert_eq!((first.outcome.clone(), first.detail.clone()), (answered(200), None));
    assert_eq!(excerpt(&first), "localhost http/1.1");
    assert!(first.timings.tls.is_some() && first.timings.dns.is_some());
    assert_eq!(first.remote_address, Some(server.address));
    let second = sender.send(server.request("localhost", profile.clone())).await;
    assert_eq!((second.outcome, second.timings.tls), (answered(200), None));
    let by_address = sender.send(server.request("127.0.0.1", profile)).await;
    assert_eq!(excerpt(&by_address), "- http/1.1");
}

#[actix_rt::test]
async fn a_certificate_of_another_host_or_authority_is_refused() {
    let server = TlsReceiver::start(&["other.example"]);
    let (_file, profile) = server.ca_file();
    let wrong_host = sender().send(server.request("localhost", profile)).await;
    assert_eq!(wrong_host.outcome, Outcome::Unreached { kind: ErrorKind::Tls });
    let detail = wrong_host.detail.expect("a reason");
    assert!(detail.starts_with("TLS handshake failed: ") && detail.ends_with("it is for another host"), "{detail}");

    let (_file, profile) = TlsReceiver::start(&["localhost"]).ca_file();
    let wrong_authority = sender().send(server.request("localhost", profile)).await;
    assert_eq!(wrong_authority.outcome, Outcome::Unreached { kind: ErrorKind::Tls });
    assert!(wrong_authority.detail.is_some_and(|d| d.contains("ca_file_path")));

    let unknown = sender().send(server.request("localhost", TlsProfile::System)).await;
    assert_eq!(unknown.outcome, Outcome::Unreached { kind: ErrorKind::Tls });
}

#[actix_rt::test]
async fn without_verification_any_certificate_will_do() {
    let server = TlsReceiver::start(&["other.example"]);
    let attempt = sender().send(server.request("localhost", TlsProfile::Unverified)).await;
    assert_eq!((attempt.outcome.clone(), excerpt(&attempt)), (answered(200), "localhost http/1.1".to_owned()));
}

#[actix_rt::test]
async fn trust_is_not_shared_between_profiles() {
    let server = TlsReceiver::start(&["other.example"]);
    let (_file, profile) = server.ca_file();
    let sender = sender();
    assert!(sender.send(server.request("localhost", TlsProfile::Unverified)).await.succeeded());
    assert!(!sender.send(server.request("localhost", profile)).await.succeeded());
}

#[actix_rt::test]
async fn a_ca_file_that_cannot_be_used_is_named() {
    let server = TlsReceiver::start(&["localhost"]);
    let empty = tempfile::NamedTempFile::new().expect("a temporary file");
    let empty = empty.path().to_str().expect("a UTF-8 path");
    for (path, words) in [("/no/such/file.pem", "cannot be read"), (empty, "holds no certificate")] {
        let attempt = sender().send(server.request("localhost", TlsProfile::CaFile(path.into()))).await;
        assert_eq!(attempt.outcome, Outcome::Unreached { kind: ErrorKind::Tls });
        let detail = attempt.detail.expect("a reason");
        assert!(detail.contains(path) && detail.contains(words), "{detail}");
    }
}

#[actix_rt::test]
async fn a_server_without_tls_is_a_tls_failure() {
    let plain = Receiver::answering("HTTP/1.1 400 Bad Request\r\n\r\n").await;
    let url = format!("https://{}/", plain.address);
    let attempt = sender().send(Request { tls: TlsProfile::Unverified, ..impatient(&url) }).await;
    assert_eq!(attempt.outcome, Outcome::Unreached { kind: ErrorKind::Tls }, "{:?}", attempt.detail);
}
