//! GET of an object and of a collection.

use api::status::StatusError;
use axum::response::Response;

use super::{Call, answer, query};
use crate::registry::{Freshness, Target};

pub async fn get(call: Call, target: Target<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let freshness = Freshness::parse(call.query.get("resourceVersion"), "")?;
    let found = call.registry().get(&call.ctx, target, freshness).await?;
    Ok(answer::object(&wanted, 200, &found.decode()))
}

pub async fn list(call: Call, target: Target<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let options = query::list_options(&call.query, target.resource.info)?;
    let listed = call.registry().list(&call.ctx, target, &options).await?;
    Ok(answer::list(&wanted, target.resource, &listed))
}
