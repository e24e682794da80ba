//! DELETE of an object and of a collection. Options come in the body (JSON, YAML,
//! protobuf) or, without a body, in the query.

use api::status::{self, StatusError};
use axum::response::Response;
use http::header::CONTENT_TYPE;
use prost::Message;
use proto::meta_v1;

use super::query::{Query, list_options};
use super::served::Place;
use super::{Call, answer, body, review};
use crate::registry::{DeleteOptions, Deleted};

pub async fn one(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let Call { face, ctx, headers, query, body: sent, .. } = call;
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let message = options(content_type, &query, sent).await?;
    let options = DeleteOptions::parse(&message)?;
    let response = match &face.registry.delete(&ctx, place.target, &options).await {
        // What is told of the options is told of a delete that fails, too.
        Err(error) => answer::error(error),
        Ok(Deleted::Gone(object)) => {
            let metadata = object.metadata();
            let mut success = status::success(place.served.info, &metadata.name, &metadata.uid);
            success.code = 0;
            answer::status(200, &success)
        }
        Ok(Deleted::Pending(object)) => answer::object(&wanted, place.served, 200, object),
    };
    Ok(answer::with_warnings(response, &warnings(place, &message)))
}

/// Jobs alone leave their dependents by default, which surprises.
fn warnings(place: Place<'_>, options: &meta_v1::DeleteOptions) -> Vec<String> {
    let info = place.served.info;
    let silent = options.propagation_policy.is_none() && options.orphan_dependents.is_none();
    match silent && (info.group, info.kind) == ("batch", "Job") {
        true => vec![
            "child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove them or set propagationPolicy=Orphan to suppress this warning".to_string(),
        ],
        false => Vec::new(),
    }
}

pub async fn collection(call: Call, place: Place<'_>) -> Result<Response, StatusError> {
    let wanted = call.wanted()?;
    let Call { face, ctx, headers, query, body: sent, .. } = call;
    let list = list_options(&query, place.served.info)?;
    let content_type = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    let message = options(content_type, &query, sent).await?;
    let options = DeleteOptions::parse(&message)?;
    let response = match face.registry.delete_collection(&ctx, place.target, &options, &list).await {
        Err(error) => answer::error(&error),
        Ok(deleted) => answer::list(&wanted, place.served, &deleted),
    };
    Ok(answer::with_warnings(response, &warnings(place, &message)))
}

async fn options(
    content_type: &str,
    query: &Query,
    sent: axum::body::Body,
) -> Result<meta_v1::DeleteOptions, StatusError> {
    let sent = body::read(sent).await?;
    if sent.is_empty() {
        return from_query(query);
    }
    let encoding = body::encoding(content_type)?;
    if encoding == super::negotiate::Encoding::Protobuf {
        let unknown = super::envelope::unwrap(&sent).map_err(status::bad_request)?;
        return meta_v1::DeleteOptions::decode(&unknown.raw[..])
            .map_err(|error| status::bad_request(format!("unable to decode DeleteOptions: {error}")));
    }
    review::from_json(encoding, &sent)
}

fn from_query(query: &Query) -> Result<meta_v1::DeleteOptions, StatusError> {
    let present = |name: &str| Some(query.get(name).to_string()).filter(|text| !text.is_empty());
    Ok(meta_v1::DeleteOptions {
        grace_period_seconds: query.number("gracePeriodSeconds")?,
        orphan_dependents: query.has("orphanDependents").then(|| query.flag("orphanDependents")),
        propagation_policy: present("propagationPolicy"),
        dry_run: query.all("dryRun"),
        ..Default::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_from_the_query() {
        let query = Query::parse("propagationPolicy=Background&gracePeriodSeconds=0&dryRun=All");
        let options = from_query(&query).expect("valid");
        assert_eq!(options.propagation_policy.as_deref(), Some("Background"));
        assert_eq!(options.grace_period_seconds, Some(0));
        assert_eq!(options.dry_run, ["All"]);
        assert!(from_query(&Query::parse("gracePeriodSeconds=x")).is_err());
    }
}
