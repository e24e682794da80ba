//! The API port's TLS: our certificate, and the authority that clients' certificates are checked against.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio_rustls::TlsAcceptor;

/// Certificates that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file is missing or holds no PEM of its kind.
    #[error("cannot read {what} from {path}: {source}; `raftsman pki create` makes one")]
    File {
        /// What was wanted.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::pki_types::pem::Error,
    },
    /// Unreadable text.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The authority is no usable certificate.
    #[error("the authority {path} is not usable: {source}")]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: rustls::server::VerifierBuilderError,
    },
    /// Certificate and key do not fit.
    #[error("certificate {path} and its key do not fit: {source}")]
    Pair {
        /// The certificate's file.
        path: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// Accepts TLS 1.2 and 1.3 with HTTP/2 and HTTP/1.1; a client's certificate is asked for, not required (tokens).
///
/// # Errors
/// [`Error`], which names the file.
pub(crate) fn acceptor(cert: &Path, key: &Path, ca: &Path) -> Result<TlsAcceptor, Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for authority in certificates("the authority", ca)? {
        roots.add(authority).map_err(|source| Error::Pair { path: ca.into(), source })?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .allow_unauthenticated()
        .build()
        .map_err(|source| Error::Authority { path: ca.into(), source })?;
    let chain = certificates("the API's certificate", cert)?;
    let file = |source| Error::File { what: "the API's key", path: key.into(), source };
    let key = PrivateKeyDer::from_pem_file(key).map_err(file)?;
    let pair = |source| Error::Pair { path: cert.into(), source };
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(pair)?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let file = |source| Error::File { what, path: path.into(), source };
    CertificateDer::pem_file_iter(path).map_err(file)?.collect::<Result<_, _>>().map_err(file)
}

/// A PEM file as text.
///
/// # Errors
/// [`Error::Read`].
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    std::fs::read_to_string(path).map_err(|source| Error::Read { path: path.into(), source })
}
