//! One service for every kind: `raftsman.v1.<Kind>Service`.

use std::convert::Infallible;
use std::sync::Arc;

use api::selector::LabelSelector;
use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response as HttpResponse;
use axum::routing::post;
use bytes::Bytes;
use futures::StreamExt;
use prost::Message;
use proto::raftsman_v1 as pb;
use tonic::server::Grpc;
use tonic::{Request, Response, Status};

use super::codec::BytesCodec;
use super::messages::{self, WriteRequest};
use super::{context, grpc, progress};
use crate::object::AnyObject;
use crate::registry::{
    DeleteOptions, Deleted, Freshness, ListOptions, Registry, Resource, StatusError, Target, WatchOptions, WatchStart,
    WriteOptions,
};

type Answers = futures::stream::BoxStream<'static, Result<Bytes, Status>>;

/// The routes of all kinds' services.
pub(super) fn router(registry: &Arc<Registry>) -> Router {
    let mut router = Router::new();
    for resource in registry.resources().iter().filter(|resource| resource.info.group != "events.k8s.io") {
        let path = format!("/raftsman.v1.{}Service/{{method}}", resource.info.kind);
        let registry = registry.clone();
        let handler = move |Path(method): Path<String>, request: axum::extract::Request| {
            serve(registry.clone(), resource, method, request)
        };
        router = router.route(&path, post(handler));
    }
    router
}

async fn serve(
    registry: Arc<Registry>,
    resource: &'static Resource,
    method: String,
    request: axum::extract::Request,
) -> Result<HttpResponse, Infallible> {
    // Lists may be large; what comes in is limited by the registry's own limit on objects.
    let mut server = Grpc::new(BytesCodec).max_decoding_message_size(4 << 20).max_encoding_message_size(usize::MAX);
    let response = if method == "Watch" {
        let service = tower::service_fn(move |request| watch(registry.clone(), resource, request));
        server.server_streaming(service, request).await
    } else {
        let service = tower::service_fn(move |request| {
            let (registry, method) = (registry.clone(), method.clone());
            async move { unary(&registry, resource, &method, request).await.map(Response::new) }
        });
        server.unary(service, request).await
    };
    Ok(response.map(Body::new))
}

async fn unary(
    registry: &Registry,
    resource: &'static Resource,
    method: &str,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    match method {
        "Create" => create(registry, resource, request).await,
        "Update" | "UpdateStatus" => update(registry, resource, method, request).await,
        "Get" => get(registry, resource, request).await,
        "List" => list(registry, resource, request).await,
        "Delete" => delete(registry, resource, request).await,
        _ => Err(Status::unimplemented(format!("{}Service has no method {method}", resource.info.kind))),
    }
}

async fn create(registry: &Registry, resource: &'static Resource, request: Request<Bytes>) -> Result<Bytes, Status> {
    let ctx = context(request.extensions());
    let (object, options) = written(resource, request.into_inner())?;
    let namespace = namespace_of(resource, &object);
    let target = Target { resource, namespace: &namespace, name: "" };
    let written = registry.create(&ctx, target, object, &options).await.map_err(grpc)?;
    Ok(written.object.encode().into())
}

async fn update(
    registry: &Registry,
    resource: &'static Resource,
    method: &str,
    request: Request<Bytes>,
) -> Result<Bytes, Status> {
    let ctx = context(request.extensions());
    let (object, options) = written(resource, request.into_inner())?;
    let (namespace, name) = (namespace_of(resource, &object), object.metadata().name.clone());
    let target = Target { resource, namespace: &namespace, name: &name };
    let modify = |_: &AnyObject| -> Result<AnyObject, StatusError> { Ok(object.clone_box()) };
    let written = match method {
        "Update" => registry.update(&ctx, target, &modify, &options).await,
        _ => registry.update_status(&ctx, target, &modify, &options).await,
    };
    Ok(written.map_err(grpc)?.object.encode().into())
}

async fn get(registry: &Registry, resource: &'static Resource, request: Request<Bytes>) -> Result<Bytes, Status> {
    let ctx = context(request.extensions());
    let asked: pb::GetRequest = decoded(request.into_inner())?;
    let target = Target { resource, namespace: &asked.namespace, name: &asked.name };
    let freshness = Freshness::parse(&asked.resource_version, "").map_err(grpc)?;
    Ok(registry.get(&ctx, target, freshness).await.map_err(grpc)?.message())
}

async fn list(registry: &Registry, resource: &'static Resource, request: Request<Bytes>) -> Result<Bytes, Status> {
    let ctx = context(request.extensions());
    let asked: pb::ListRequest = decoded(request.into_inner())?;
    let target = Target { resource, namespace: &asked.namespace, name: "" };
    let options = ListOptions {
        labels: labels(&asked.label_selector)?,
        fields: fields(resource, &asked.field_selector)?,
        limit: asked.limit,
        continue_token: asked.r#continue,
        freshness: Freshness::parse(&asked.resource_version, &asked.resource_version_match).map_err(grpc)?,
    };
    let listed = registry.list(&ctx, target, &options).await.map_err(grpc)?;
    Ok(messages::list(&listed))
}

async fn watch(
    registry: Arc<Registry>,
    resource: &'static Resource,
    request: Request<Bytes>,
) -> Result<Response<Answers>, Status> {
    let ctx = context(request.extensions());
    let progress = progress::of(request.extensions());
    let asked: pb::WatchRequest = decoded(request.into_inner())?;
    let target = Target { resource, namespace: &asked.namespace, name: "" };
    let freshness = Freshness::parse(&asked.resource_version, &asked.resource_version_match).map_err(grpc)?;
    let start = match (freshness, asked.send_initial_events) {
        (Freshness::Consistent, _) => WatchStart::Consistent,
        (Freshness::Any, _) => WatchStart::Any,
        (Freshness::NotOlderThan(revision) | Freshness::Exact(revision), true) => {
            WatchStart::InitialNotOlderThan(revision)
        }
        (Freshness::NotOlderThan(revision) | Freshness::Exact(revision), false) => WatchStart::After(revision),
    };
    let options = WatchOptions {
        labels: labels(&asked.label_selector)?,
        fields: fields(resource, &asked.field_selector)?,
        start,
        bookmarks: asked.allow_bookmarks,
        mark_initial_end: true,
    };
    let mut watcher = registry.watcher(&ctx, target, options).await.map_err(grpc)?;
    if let Some(progress) = progress {
        watcher = watcher.with_progress(progress);
    }
    let messages = watcher
        .into_stream()
        .filter_map(move |item| async move { messages::watch_response(resource, &item, true).map(Ok::<_, Status>) });
    Ok(Response::new(messages.boxed()))
}

async fn delete(registry: &Registry, resource: &'static Resource, request: Request<Bytes>) -> Result<Bytes, Status> {
    let ctx = context(request.extensions());
    let asked: pb::DeleteRequest = decoded(request.into_inner())?;
    let target = Target { resource, namespace: &asked.namespace, name: &asked.name };
    let options = DeleteOptions::parse(&asked.options.unwrap_or_default()).map_err(grpc)?;
    Ok(match registry.delete(&ctx, target, &options).await.map_err(grpc)? {
        Deleted::Pending(object) => messages::delete_response(1, &object.encode()),
        Deleted::Gone(object) => {
            let meta = object.metadata();
            let status = api::status::success(resource.info, &meta.name, &meta.uid);
            messages::delete_response(2, &status.encode_to_vec())
        }
    })
}

fn decoded<M: Message + Default>(bytes: Bytes) -> Result<M, Status> {
    M::decode(bytes)
        .map_err(|error| Status::invalid_argument(format!("the request is no message of its type: {error}")))
}

fn written(resource: &'static Resource, bytes: Bytes) -> Result<(AnyObject, WriteOptions), Status> {
    let asked: WriteRequest = decoded(bytes)?;
    let object = resource.decode_proto(&asked.object).map_err(grpc)?;
    let options = WriteOptions { dry_run: super::dry_run(&asked.dry_run)?, field_manager: asked.field_manager };
    Ok((object, options))
}

/// gRPC requests name the namespace in the object only; none means `default`, as with kubectl.
fn namespace_of(resource: &Resource, object: &AnyObject) -> String {
    let namespace = &object.metadata().namespace;
    match (resource.info.namespaced, namespace.is_empty()) {
        (false, _) => String::new(),
        (true, true) => "default".to_string(),
        (true, false) => namespace.clone(),
    }
}

fn labels(text: &str) -> Result<Option<LabelSelector>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    LabelSelector::parse(text).map(Some).map_err(|error| grpc(api::status::bad_request(error)))
}

fn fields(resource: &Resource, text: &str) -> Result<Option<api::selector::FieldSelector>, Status> {
    if text.is_empty() {
        return Ok(None);
    }
    let parsed = api::fields::parse(resource.info, text);
    parsed.map(Some).map_err(|error| grpc(api::status::bad_request(error.to_string())))
}
