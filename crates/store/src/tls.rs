//! TLS of the client port: a client shows a certificate of the store's own authority, or is not let in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;

use crate::error::Error;

/// PEM files of the client port.
#[derive(Debug, Clone)]
pub struct Tls {
    /// The server's certificate, with its chain.
    pub certificate: PathBuf,
    /// The certificate's key.
    pub key: PathBuf,
    /// Authority that signs the clients' certificates.
    pub client_ca: PathBuf,
}

/// Reads the files into what the listener needs.
pub fn server_config(tls: &Tls) -> Result<Arc<rustls::ServerConfig>, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.client_ca)? {
        roots.add(certificate).map_err(|error| refuse(&tls.client_ca, error))?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|error| refuse(&tls.client_ca, error))?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| refuse(&tls.key, error))?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&tls.certificate, error))?
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(&tls.certificate)?, key)
        .map_err(|error| refuse(&tls.certificate, error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The certificates of a PEM file, at least one.
pub fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_file_iter(path).map_err(|error| refuse(path, error))?.collect();
    let found = found.map_err(|error| refuse(path, error))?;
    if found.is_empty() {
        return Err(refuse(path, "no certificate in it"));
    }
    Ok(found)
}

/// The file that can't be used.
pub fn refuse(path: &Path, reason: impl ToString) -> Error {
    Error::Tls { path: path.to_owned(), reason: reason.to_string() }
}
