//! What exists in every cluster: three namespaces with their companions, and the Service `default/kubernetes`.

use std::sync::Arc;
use std::time::Duration;

use api::status::StatusError;
use chrono::Utc;
use proto::core_v1::{Namespace, Service, ServicePort, ServiceSpec};
use proto::intstr::IntOrString;
use proto::meta_v1::ObjectMeta;

use crate::context::{Identity, RequestContext};
use crate::object::AnyObject;
use crate::registry::{Registry, Target, WriteOptions};

/// The namespaces that are always there.
const NAMESPACES: [&str; 3] = ["default", "kube-system", "kube-node-lease"];
/// Pause before a failed bootstrap is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(500);

/// Makes what is missing; returns when all is there. Another API server may do the same at the same time.
pub async fn run(registry: Arc<Registry>, api_port: u16) {
    while let Err(error) = ensure(&registry, api_port).await {
        tracing::warn!(%error, "cannot make the cluster's first objects; trying again");
        tokio::time::sleep(RETRY_PAUSE).await;
    }
}

async fn ensure(registry: &Registry, api_port: u16) -> Result<(), StatusError> {
    registry.caches.consistent().await?;
    for name in NAMESPACES {
        let namespace = Namespace { metadata: Some(named(name)), ..Namespace::default() };
        create(registry, "", Box::new(namespace)).await?;
    }
    for namespace in registry.caches.kind(crate::strategy::namespaces()).view("", 0).objects {
        if namespace.field("status.phase") == "Terminating" {
            continue;
        }
        for companion in registry.companions() {
            create(registry, namespace.name(), companion).await?;
        }
    }
    create(registry, "default", Box::new(kubernetes(api_port))).await
}

async fn create(registry: &Registry, namespace: &str, object: AnyObject) -> Result<(), StatusError> {
    let info = object.kind();
    let Some(resource) = registry.resource(info.group, info.version, info.resource) else { return Ok(()) };
    let name = object.metadata().name.clone();
    let target = Target { resource, namespace, name: &name };
    if registry.current(target).is_ok() {
        return Ok(());
    }
    let ctx = RequestContext::new(Arc::new(Identity::internal()), Utc::now());
    match registry.create(&ctx, target, object, &WriteOptions::default()).await {
        Err(error) if error.is_already_exists() => Ok(()),
        other => other.map(|_| ()),
    }
}

fn named(name: &str) -> ObjectMeta {
    ObjectMeta { name: name.to_string(), ..ObjectMeta::default() }
}

fn kubernetes(api_port: u16) -> Service {
    let mut metadata = named("kubernetes");
    for (key, value) in [("component", "apiserver"), ("provider", "kubernetes")] {
        metadata.labels.insert(key.to_string(), value.to_string());
    }
    let port = ServicePort {
        name: "https".into(),
        protocol: "TCP".into(),
        port: 443,
        target_port: Some(IntOrString { r#type: 0, int_val: i32::from(api_port), str_val: String::new() }),
        ..ServicePort::default()
    };
    let spec = ServiceSpec {
        r#type: "ClusterIP".into(),
        cluster_ip: "None".into(),
        ports: vec![port],
        ..ServiceSpec::default()
    };
    Service { metadata: Some(metadata), spec: Some(spec), ..Service::default() }
}
