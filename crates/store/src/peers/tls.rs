//! TLS of the peer port. Both sides show a certificate of the store's authority, and both take only a peer's: the
//! same authority signs certificates of the store's clients, which have no business here.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::PeerTls;
use crate::error::Error;
use crate::tls::{certificates, refuse};

/// What a peer's certificate is named, before the member's name.
const PEER: &str = "raftsman-peer:";

/// What the port needs, and what connections to others need.
pub fn configs(tls: &PeerTls) -> Result<(Arc<ServerConfig>, Arc<ClientConfig>), Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&tls.ca)? {
        roots.add(certificate).map_err(|error| refuse(&tls.ca, error))?;
    }
    let roots = Arc::new(roots);
    let chain = certificates(&tls.certificate)?;
    if let Some(own) = chain.first() {
        check(own).map_err(|error| refuse(&tls.certificate, error))?;
    }
    let key = || PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| refuse(&tls.key, error));
    let clients = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
    let clients = PeerClients(clients.build().map_err(|error| refuse(&tls.ca, error))?);
    let servers = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
    let servers = PeerServers(servers.build().map_err(|error| refuse(&tls.ca, error))?);
    let mut server = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&tls.certificate, error))?
        .with_client_cert_verifier(Arc::new(clients))
        .with_single_cert(chain.clone(), key()?)
        .map_err(|error| refuse(&tls.certificate, error))?;
    let mut client = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| refuse(&tls.certificate, error))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(servers))
        .with_client_auth_cert(chain, key()?)
        .map_err(|error| refuse(&tls.certificate, error))?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    client.alpn_protocols = vec![b"h2".to_vec()];
    Ok((Arc::new(server), Arc::new(client)))
}

/// A certificate that is no peer's.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is of {0:?}, not of a peer ({PEER}NAME)")]
struct NoPeer(String);

/// Whether a certificate is named as a peer's. Who signed it is not looked at here.
fn check(certificate: &CertificateDer<'_>) -> Result<(), rustls::Error> {
    let (_, read) = X509Certificate::from_der(certificate).map_err(|_| CertificateError::BadEncoding)?;
    let name = read.subject().iter_common_name().next().and_then(|name| name.as_str().ok()).unwrap_or_default();
    match name.strip_prefix(PEER) {
        Some(member) if !member.is_empty() => Ok(()),
        _ => Err(CertificateError::Other(OtherError(Arc::new(NoPeer(name.to_owned())))).into()),
    }
}

/// Who may call.
#[derive(Debug)]
struct PeerClients(Arc<dyn ClientCertVerifier>);

impl ClientCertVerifier for PeerClients {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let verified = self.0.verify_client_cert(certificate, intermediates, now)?;
        check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

/// Who may be called.
#[derive(Debug)]
struct PeerServers(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for PeerServers {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = self.0.verify_server_cert(certificate, intermediates, name, ocsp, now)?;
        check(certificate)?;
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
