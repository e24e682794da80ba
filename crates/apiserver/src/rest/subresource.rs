//! Subresources other than `status`: binding, eviction, log, token, finalize.

use api::status::{self, StatusError};
use axum::response::Response;
use http::Method;
use http::header::CONTENT_TYPE;
use proto::authentication_v1::TokenRequest;
use proto::core_v1::Binding;
use proto::meta_v1::{ListMeta, Status};
use proto::policy_v1::Eviction;

use super::path::ResourcePath;
use super::query::write_options;
use super::served::Served;
use super::{Call, answer, body, log, place, read, review, write};

pub async fn serve(call: Call, served: Served, path: &ResourcePath) -> Result<Response, StatusError> {
    let key = (path.group.as_str(), path.resource.as_str(), path.subresource.as_str());
    let handled = matches!(
        key,
        ("", "pods", "binding" | "eviction" | "log")
            | ("", "serviceaccounts", "token")
            | ("", "namespaces", "finalize")
    );
    if !handled {
        return Err(status::no_such_resource());
    }
    match (path.subresource.as_str(), &call.method) {
        ("log", &Method::GET) => log::serve(call, &path.namespace, &path.name).await,
        ("binding", &Method::POST) => bind(call, path).await,
        ("eviction", &Method::POST) => evict(call, path).await,
        ("token", &Method::POST) => token(call, path).await,
        ("finalize", &Method::PUT) => write::update(call, place(served, path), "finalize").await,
        ("finalize", &Method::GET) => read::get(call, place(served, path)).await,
        _ => Err(status::method_not_allowed()),
    }
}

fn success(code: i32) -> Response {
    let status =
        Status { metadata: Some(ListMeta::default()), status: "Success".to_string(), code, ..Status::default() };
    answer::status(201, &status)
}

async fn sent<T>(call: Call) -> Result<(Call, T), StatusError>
where
    T: proto::json::Json + prost::Message + Default,
{
    let encoding = body::encoding(call.header(CONTENT_TYPE))?;
    let mut call = call;
    let bytes = body::read(std::mem::take(&mut call.body)).await?;
    let message = review::message(encoding, bytes)?;
    Ok((call, message))
}

/// `pods/NAME/binding`, and the collection `bindings`, whose body names the Pod.
pub async fn bind(call: Call, path: &ResourcePath) -> Result<Response, StatusError> {
    let (options, _) = write_options(&call.query, "CreateOptions")?;
    let (call, binding) = sent::<Binding>(call).await?;
    let named = binding.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    let name = if path.name.is_empty() { named } else { &path.name };
    call.registry().bind(&call.ctx, &path.namespace, name, &binding, &options).await?;
    Ok(success(201))
}

async fn evict(call: Call, path: &ResourcePath) -> Result<Response, StatusError> {
    let (options, _) = write_options(&call.query, "CreateOptions")?;
    let (call, eviction) = sent::<Eviction>(call).await?;
    let named = eviction.metadata.as_ref().map_or("", |metadata| metadata.name.as_str());
    if !named.is_empty() && named != path.name {
        return Err(status::bad_request("name in URL does not match name in Eviction object"));
    }
    call.registry().evict(&call.ctx, &path.namespace, &path.name, &eviction, &options).await?;
    Ok(success(201))
}

async fn token(call: Call, path: &ResourcePath) -> Result<Response, StatusError> {
    let (call, request) = sent::<TokenRequest>(call).await?;
    let answer = call.registry().create_token(&call.ctx, &path.namespace, &path.name, &request).await?;
    Ok(review::created(&answer))
}
