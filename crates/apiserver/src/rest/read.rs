//! GET of an object and of a collection.

use api::status::StatusError;
use axum::response::Response;

use super::served::Place;
use super::{Call, answer, query};
use crate::registry::Freshness;

pub async fn get(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let freshness = Freshness::parse(call.query.get("resourceVersion"), "")?;
    let found = call.registry().get(&call.ctx, place.target, freshness).await?;
    Ok(answer::object(&wanted, place.served, 200, &found.decode()))
}

pub async fn list(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let options = query::list_options(&call.query, place.served.info)?;
    let listed = call.registry().list(&call.ctx, place.target, &options).await?;
    Ok(answer::list(&wanted, place.served, &listed))
}
