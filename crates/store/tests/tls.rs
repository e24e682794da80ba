//! The client port in TLS: certificates of the store's own authority are let in, nothing else.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity};

use proto::etcdserverpb::RangeRequest;
use proto::etcdserverpb::kv_client::KvClient;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap().pem(), key.serialize_pem())
    }
}

async fn reach(port: u16, server: &Authority, client: Option<(String, String)>) -> Result<(), String> {
    let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(server.0.pem())).domain_name("localhost");
    if let Some((certificate, key)) = client {
        tls = tls.identity(Identity::from_pem(certificate, key));
    }
    let endpoint = Channel::from_shared(format!("https://127.0.0.1:{port}")).unwrap().tls_config(tls).unwrap();
    let channel = endpoint.connect().await.map_err(|error| error.to_string())?;
    let range = RangeRequest { key: "a".into(), ..Default::default() };
    KvClient::new(channel).range(range).await.map(|_| ()).map_err(|status| status.to_string())
}

/// Bytes that are no handshake, and a handshake that ends early.
async fn garbage(port: u16) {
    use tokio::io::AsyncWriteExt;
    for bytes in [
        &b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..],
        b"\x16\x03\x01\xff\xff\x01",
        b"\x16\x03\x01\0\x05\x01\0\0\x01\0",
        &[0xff; 300],
    ] {
        let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        socket.write_all(bytes).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_certificates_of_the_own_authority_are_let_in() {
    let _second = rustls::crypto::ring::default_provider().install_default().is_err();
    let (own, foreign) = (Authority::new(), Authority::new());
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let (certificate, key) = own.issue("store");
    let tls = store::Tls {
        certificate: file("store.crt", &certificate),
        key: file("store.key", &key),
        client_ca: file("ca.crt", &own.0.pem()),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (said, ready) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let config = store::Config {
        name: "a".into(),
        data_dir: dir.path().join("data"),
        tls: Some(tls),
        ready: Some(said),
        ..Default::default()
    };
    let task = tokio::spawn(store::run(config, listener, async {
        let _gone = stopped.await.is_err();
    }));
    ready.await.unwrap();
    reach(port, &own, Some(own.issue("client"))).await.unwrap();
    assert!(reach(port, &own, None).await.is_err());
    assert!(reach(port, &own, Some(foreign.issue("client"))).await.is_err());
    garbage(port).await;
    reach(port, &own, Some(own.issue("client"))).await.unwrap();
    stop.send(()).unwrap();
    task.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_missing_certificate_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("none.crt");
    let tls = store::Tls { certificate: missing.clone(), key: missing.clone(), client_ca: missing.clone() };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = store::Config { data_dir: dir.path().join("data"), tls: Some(tls), ..Default::default() };
    let refused = store::run(config, listener, std::future::pending()).await.unwrap_err();
    assert!(refused.to_string().contains("none.crt"), "{refused}");
}
