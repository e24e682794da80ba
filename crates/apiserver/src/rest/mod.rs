//! The REST face: Kubernetes' HTTP API on top of the registry.
//!
//! ```text
//!  request -> path::parse -> Route
//!     discovery, openapi, health, version        documents made here
//!     Resource(path) -> registry.resource(..)    unknown: NotFound, or a page that is not found
//!        GET       read::{get, list}  watch::serve   pods/log
//!        POST      write::create      subresource::{bind, evict, token}, review
//!        PUT       write::update      PATCH  write::patch -> patch::{json, merge, strategic}
//!        DELETE    delete::{one, collection}
//!     -> answer::{object, list, error}           JSON, YAML, protobuf, Table, PartialObjectMetadata
//! ```
//!
//! What is allowed, defaulted, validated and stored is the registry's; this face
//! only translates. Every failure is a `Status`, except for paths that do not exist.

mod access;
mod answer;
mod body;
mod delete;
mod discovery;
mod document;
mod envelope;
mod event_view;
mod log;
mod negotiate;
mod openapi;
mod patch;
mod path;
mod query;
mod read;
mod review;
mod served;
mod subresource;
mod table;
mod watch;
mod write;
mod yaml;

use std::sync::Arc;

use api::status::{self, StatusError};
use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Method, Request, header};

use crate::context::{Identity, RequestContext};
use crate::metrics::{self, Requests, SharedRegistry};
use crate::registry::{Registry, Target};
use answer::Wanted;
use path::{ResourcePath, Route};
use query::Query;
use served::{Place, Served};

/// What every handler sees.
struct Face {
    registry: Arc<Registry>,
    requests: Requests,
    metrics: SharedRegistry,
    openapi: document::Documents,
}

/// The REST face of `registry`. Requests carry `Arc<Identity>` in their extensions;
/// one without is anonymous. What was answered is counted in `requests`; `/metrics` shows all of `metrics`.
pub(crate) fn router(registry: Arc<Registry>, requests: Requests, metrics: SharedRegistry) -> Router {
    let openapi = document::Documents::default();
    let face = Arc::new(Face { registry, requests, metrics, openapi });
    Router::new().fallback(handle).with_state(face)
}

/// A request, taken apart.
struct Call {
    face: Arc<Face>,
    ctx: RequestContext,
    method: Method,
    headers: HeaderMap,
    query: Query,
    body: Body,
}

impl Call {
    fn registry(&self) -> &Registry {
        &self.face.registry
    }

    fn header(&self, name: header::HeaderName) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn accept(&self) -> &str {
        self.header(header::ACCEPT)
    }

    /// The form of the answer, or 406.
    fn wanted(&self) -> Result<Wanted, StatusError> {
        let form = negotiate::form(self.accept()).ok_or_else(|| {
            let supported: Vec<&str> = negotiate::MEDIA_TYPES.split(", ").collect();
            status::not_acceptable(&supported)
        })?;
        let include = self.query.get("includeObject");
        let include = table::Include::parse(include).ok_or_else(|| {
            let field = api::field::Path::new("includeObject");
            let error = api::field::Error::not_supported(&field, include, &["Metadata", "None", "Object"]);
            status::invalid_kind("meta.k8s.io", "TableOptions", "", &[error])
        })?;
        let gzip = self.header(header::ACCEPT_ENCODING).contains("gzip");
        Ok(Wanted { form, include, gzip, now: self.ctx.now })
    }
}

async fn handle(State(face): State<Arc<Face>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let identity = parts.extensions.get::<Arc<Identity>>().cloned();
    let identity = identity.unwrap_or_else(|| Arc::new(Identity::anonymous()));
    let identity = match access::acting(&identity, &parts.headers) {
        Ok(identity) => identity,
        Err(error) => return answer::error(&error),
    };
    // HEAD is GET without its body, which the server leaves out.
    let method = if parts.method == Method::HEAD { Method::GET } else { parts.method };
    let call = Call {
        face: face.clone(),
        ctx: RequestContext::new(identity, chrono::Utc::now()),
        method: method.clone(),
        headers: parts.headers,
        query: Query::parse(parts.uri.query().unwrap_or_default()),
        body,
    };
    let route = path::parse(parts.uri.path());
    let counted = counted(&route, &method, &call.query);
    let (begun, under_way) = (std::time::Instant::now(), face.requests.begin(counted.verb));
    let response = match route {
        Route::Resource(path) => serve(call, path).await,
        route => document::serve(&call, &route, parts.uri.path()),
    };
    let response = response.unwrap_or_else(|error| answer::error(&error));
    drop(under_way);
    face.requests.answered(counted, response.status(), begun.elapsed());
    tracing::debug!(%method, uri = %parts.uri, code = response.status().as_u16(), "request");
    response
}

/// What a request counts as.
fn counted(route: &Route, method: &Method, query: &Query) -> metrics::Call {
    let Route::Resource(path) = route else {
        return metrics::Call { verb: "GET", ..metrics::Call::default() };
    };
    let verb = match *method {
        Method::GET if path.name.is_empty() && query.flag("watch") => "WATCH",
        Method::GET if path.name.is_empty() => "LIST",
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        _ => "OTHER",
    };
    metrics::Call {
        verb,
        group: path.group.clone(),
        version: path.version.clone(),
        resource: path.resource.clone(),
        subresource: path.subresource.clone(),
    }
}

/// A request for a resource, a subresource or a review.
async fn serve(call: Call, path: ResourcePath) -> Result<Response, StatusError> {
    if let Some(review) = review::Review::find(&path) {
        return match call.method {
            Method::POST => review.serve(call, &path).await,
            _ => Err(status::method_not_allowed()),
        };
    }
    let registry = call.face.registry.clone();
    if (path.group.as_str(), path.resource.as_str()) == ("", "bindings") && path.name.is_empty() {
        return match call.method {
            Method::POST => subresource::bind(call, &path).await,
            _ => Err(status::method_not_allowed()),
        };
    }
    let Some(served) = Served::find(&registry, &path.group, &path.version, &path.resource) else {
        // A group that is not served at all is no resource's path.
        let known = call.registry().resources().iter().any(|resource| resource.info.group == path.group);
        let known = known || api::kind::EVENT_V1.group == path.group;
        return if known { Err(status::no_such_resource()) } else { Ok(answer::page_not_found()) };
    };
    let misplaced = served.info.namespaced == path.namespace.is_empty();
    if misplaced && (!served.info.namespaced || !path.name.is_empty()) {
        return Err(status::no_such_resource());
    }
    match (path.name.is_empty(), path.subresource.as_str()) {
        (true, _) => collection(call, served, &path).await,
        (false, "") => object(call, served, &path, "").await,
        (false, "status") if served.info.status => object(call, served, &path, "status").await,
        (false, _) => subresource::serve(call, served, &path).await,
    }
}

fn place(served: Served, path: &ResourcePath) -> Place<'_> {
    let target = Target { resource: served.resource, namespace: &path.namespace, name: &path.name };
    Place { served, target }
}

async fn collection(call: Call, served: Served, path: &ResourcePath) -> Result<Response, StatusError> {
    let all_namespaces = served.info.namespaced && path.namespace.is_empty();
    match call.method {
        Method::GET if call.query.flag("watch") => watch::serve(call, place(served, path)).await,
        Method::GET => read::list(call, place(served, path)).await,
        _ if all_namespaces => Err(status::method_not_allowed()),
        Method::POST => write::create(call, place(served, path)).await,
        Method::DELETE => delete::collection(call, place(served, path)).await,
        _ => Err(status::method_not_allowed()),
    }
}

async fn object(call: Call, served: Served, path: &ResourcePath, subresource: &str) -> Result<Response, StatusError> {
    let place = place(served, path);
    match call.method {
        Method::GET => read::get(call, place).await,
        Method::PUT => write::update(call, place, subresource).await,
        Method::PATCH => write::patch(call, place, subresource).await,
        Method::DELETE if subresource.is_empty() => delete::one(call, place).await,
        _ => Err(status::method_not_allowed()),
    }
}
