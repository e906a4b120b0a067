//! How a receiver's certificate is checked.

use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

/// How the server's certificate is checked. Clients and connections are kept per origin and profile.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum TlsProfile {
    /// The machine's trust store.
    System,
    /// Only the certificates of this PEM file.
    CaFile(Arc<str>),
    /// NetBox's `ssl_verification = false`.
    Unverified,
}

impl TlsProfile {
    /// The configuration of new connections. A CA file is read anew each time, the machine's trust store once.
    ///
    /// # Errors
    /// For people: the file or the machine's store holds no usable certificate.
    pub(super) fn client_config(&self) -> Result<Arc<ClientConfig>, String> {
        match self {
            Self::System => system(),
            Self::CaFile(path) => Ok(Arc::new(trusting(ca_file(path)?))),
            Self::Unverified => Ok(unverified()),
        }
    }
}

fn system() -> Result<Arc<ClientConfig>, String> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let mut roots = RootCertStore::empty();
    // Machines carry a few certificates that cannot be parsed; the others do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        return Err("this machine trusts no certificate authority; install the package ca-certificates".to_owned());
    }
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(trusting(roots)))))
}

fn ca_file(path: &str) -> Result<RootCertStore, String> {
    let unreadable = |e: &dyn std::fmt::Display| format!("ca_file_path {path} cannot be read: {e}");
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|e| unreadable(&e))? {
        let certificate = certificate.map_err(|e| unreadable(&e))?;
        roots.add(certificate).map_err(|e| format!("ca_file_path {path} holds a bad certificate: {e}"))?;
    }
    if roots.is_empty() {
        return Err(format!("ca_file_path {path} holds no certificate in PEM form"));
    }
    Ok(roots)
}

fn unverified() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    let make = || {
        let verifier = Arc::new(AnyCertificate(provider()));
        let config = builder().dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth();
        Arc::new(http1(config))
    };
    Arc::clone(CONFIG.get_or_init(make))
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    http1(builder().with_root_certificates(roots).with_no_client_auth())
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .expect("the ring provider has cipher suites for TLS 1.2 and 1.3")
}

fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(rustls::crypto::ring::default_provider())))
}

/// awc's HTTP/2 opens a connection per request, so it is not offered.
fn http1(mut config: ClientConfig) -> ClientConfig {
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config
}

/// Takes any certificate, even one that cannot be parsed. That the server holds its key proves nothing when anyone's
/// certificate will do, so that is not asked either.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
