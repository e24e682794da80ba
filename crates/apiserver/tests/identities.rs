//! Who may do what, over TLS: certificates, bearer tokens, nodes that see only what is theirs.

mod plane;

use plane::{meta, pod};
use proto::core_v1::{Node, Pod, PodStatus};
use proto::raftsman_v1 as pb;
use proto::raftsman_v1::commit_service_client::CommitServiceClient;
use proto::raftsman_v1::node_service_client::NodeServiceClient;
use proto::raftsman_v1::pod_service_client::PodServiceClient;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tonic::Code;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("signed").pem();
        Authority { issuer: Issuer::new(params, key), pem }
    }

    fn issue(&self, name: &str, group: &str) -> (String, String) {
        let mut params = CertificateParams::new(vec!["localhost".to_string()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signed");
        (certificate.pem(), key.serialize_pem())
    }
}

/// A TLS server beside the plane's own, on the same store.
struct Secure {
    authority: Authority,
    url: String,
    _plane: plane::Plane,
    _stop: oneshot::Sender<()>,
    _pki: tempfile::TempDir,
}

impl Secure {
    async fn start() -> Self {
        let plane = plane::start().await;
        let (authority, pki) = (Authority::new(), tempfile::tempdir().expect("a directory"));
        let (cert, key) = authority.issue("api", "servers");
        let write = |name: &str, text: &str| {
            let path = pki.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let hash: String = Sha256::digest(b"secret").iter().map(|byte| format!("{byte:02x}")).collect();
        let tokens = format!(
            r#"{{"tokens":[{{"id":"a","sha256":"{hash}","user":"admin","groups":["system:masters"]}},
                {{"sha256":"{}","user":"late","expires":"2020-01-01T00:00:00Z"}}]}}"#,
            Sha256::digest(b"late").iter().map(|byte| format!("{byte:02x}")).collect::<String>()
        );
        let (ready, is_ready) = oneshot::channel();
        let config = apiserver::Config {
            store: apiserver::StoreEndpoint { endpoints: vec![plane.store.clone()], ..Default::default() },
            tls: Some(apiserver::TlsFiles {
                cert: write("api.crt", &cert),
                key: write("api.key", &key),
                ca: write("ca.crt", &authority.pem),
            }),
            tokens: Some(write("tokens.json", &tokens)),
            version: "v1.36.0+raftsman.test".into(),
            ready: Some(ready),
            ..apiserver::Config::default()
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(apiserver::run(config, listener, async move {
            stopped.await.ok();
        }));
        let url = format!("https://localhost:{}", is_ready.await.expect("ready").address.port());
        Secure { authority, url, _plane: plane, _stop: stop, _pki: pki }
    }

    async fn connect(&self, who: Option<(&str, &str)>) -> Channel {
        let mut tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&self.authority.pem));
        if let Some((name, group)) = who {
            let (cert, key) = self.authority.issue(name, group);
            tls = tls.identity(Identity::from_pem(cert, key));
        }
        let endpoint = Endpoint::from_shared(self.url.clone()).expect("a URL").tls_config(tls).expect("TLS");
        endpoint.connect().await.expect("connected")
    }
}

fn get(name: &str) -> pb::GetRequest {
    pb::GetRequest { namespace: "default".into(), name: name.into(), ..Default::default() }
}

fn with_token<T>(message: T, token: &str) -> tonic::Request<T> {
    let mut request = tonic::Request::new(message);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().expect("a header"));
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_or_certificate_is_needed_and_must_be_good() {
    let server = Secure::start().await;
    let mut pods = PodServiceClient::new(server.connect(None).await);
    let anonymous = pods.get(get("a")).await.expect_err("nobody");
    assert_eq!(anonymous.code(), Code::PermissionDenied);
    let text = "pods \"a\" is forbidden: User \"system:anonymous\" cannot get resource \"pods\" in API group \"\" in the \
                namespace \"default\"";
    assert_eq!(anonymous.message(), text);
    for wrong in ["wrong", "late"] {
        let refused = pods.get(with_token(get("a"), wrong)).await.expect_err("refused");
        assert_eq!((refused.code(), refused.message()), (Code::Unauthenticated, "Unauthorized"), "{wrong}");
    }
    let admin = pods.get(with_token(get("a"), "secret")).await.expect_err("no such Pod");
    assert_eq!(admin.code(), Code::NotFound);
    let mut pods =
        PodServiceClient::new(server.connect(Some(("system:simulated-nodes", "system:simulated-nodes"))).await);
    let refused = pods.get(get("a")).await.expect_err("not allowed on this server");
    assert_eq!(refused.code(), Code::Unauthenticated);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_sees_and_reports_only_what_is_its_own() {
    let server = Secure::start().await;
    let admin = server.connect(Some(("admin", "system:masters"))).await;
    let mut pods = PodServiceClient::new(admin);
    for (name, node) in [("mine", "n1"), ("other", "n2")] {
        let mut pod = pod("default", name);
        pod.spec.get_or_insert_default().node_name = node.into();
        pods.create(pb::PodCreateRequest { pod: Some(pod), ..Default::default() }).await.expect("made");
    }
    let channel = server.connect(Some(("system:node:n1", "system:nodes"))).await;
    let mut pods = PodServiceClient::new(channel.clone());
    pods.get(get("mine")).await.expect("its own");
    assert_eq!(pods.get(get("other")).await.expect_err("another's").code(), Code::PermissionDenied);
    let list = |fields: &str| pb::ListRequest { field_selector: fields.into(), ..Default::default() };
    assert_eq!(pods.list(list("spec.nodeName=n1")).await.expect("its own").into_inner().items.len(), 1);
    for fields in ["", "spec.nodeName=n2", "spec.nodeName!=n1", "status.phase=Pending"] {
        assert_eq!(pods.list(list(fields)).await.expect_err(fields).code(), Code::PermissionDenied);
    }

    let report = |name: &str| {
        let status = PodStatus { phase: "Running".into(), ..PodStatus::default() };
        let pod = Pod { metadata: Some(meta("default", name)), status: Some(status), ..Pod::default() };
        pb::Write { op: Some(pb::write::Op::UpdateStatus(pb::Object { object: Some(pb::object::Object::Pod(pod)) })) }
    };
    let groups = ["mine", "other"].map(|name| pb::Group { writes: vec![report(name)], ..Default::default() });
    let mut commits = CommitServiceClient::new(channel.clone());
    let answer = commits.commit(pb::CommitRequest { groups: groups.into(), ..Default::default() }).await.expect("sent");
    let answer = answer.into_inner();
    assert_eq!(answer.groups[0].error, None);
    assert_eq!(answer.groups[1].error.as_ref().map(|error| error.code), Some(403));

    let mut nodes = NodeServiceClient::new(channel);
    let node = |name: &str| pb::NodeCreateRequest {
        node: Some(Node { metadata: Some(meta("", name)), ..Node::default() }),
        ..Default::default()
    };
    nodes.create(node("n1")).await.expect("itself");
    assert_eq!(nodes.create(node("n2")).await.expect_err("another").code(), Code::PermissionDenied);
    let mut mine = pods.get(get("mine")).await.expect("its own").into_inner();
    mine.spec.get_or_insert_default().node_name = "n3".into();
    let moved = pods.update(pb::PodUpdateRequest { pod: Some(mine), ..Default::default() }).await;
    assert_eq!(moved.expect_err("a node changes no spec").code(), Code::PermissionDenied);
}
