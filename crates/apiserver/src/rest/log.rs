//! `pods/NAME/log`: what a container printed, as a stream of plain text.

use api::field::{Error as FieldError, Path};
use api::status::{self, StatusError};
use axum::body::Body;
use axum::response::Response;
use futures::StreamExt;
use proto::raftsman_v1::OutputRequest;

use super::query::Query;
use super::{Call, answer};

pub async fn serve(call: Call, namespace: &str, name: &str) -> Result<Response, StatusError> {
    let request = options(&call.query, namespace, name)?;
    let output = call.registry().read_output(&call.ctx, request).await?;
    // The answer has begun, so an error later on can only end it.
    let chunks = output.take_while(|chunk| {
        if let Err(error) = chunk {
            tracing::info!(%error, "reading output ended early");
        }
        std::future::ready(chunk.is_ok())
    });
    Ok(answer::bytes(200, "text/plain", Body::from_stream(chunks)))
}

/// The options of `kubectl logs`, refused as Kubernetes refuses them.
fn options(query: &Query, namespace: &str, name: &str) -> Result<OutputRequest, StatusError> {
    let since_time = match query.get("sinceTime") {
        "" => None,
        text => Some(api::time::parse_rfc3339(text).ok_or_else(|| {
            status::bad_request(format!("parsing time {} as RFC 3339 failed", api::field::quote(text)))
        })?),
    };
    let request = OutputRequest {
        namespace: namespace.to_string(),
        pod: name.to_string(),
        container: query.get("container").to_string(),
        follow: query.flag("follow"),
        previous: query.flag("previous"),
        timestamps: query.flag("timestamps"),
        tail_lines: query.number("tailLines")?,
        since_seconds: query.number("sinceSeconds")?,
        since_time: since_time.map(api::time::to_time),
        limit_bytes: query.number("limitBytes")?,
    };
    let mut errors = Vec::new();
    let at_least = |field: &'static str, value: Option<i64>, least: i64, errors: &mut Vec<FieldError>| {
        if let Some(value) = value.filter(|value| *value < least) {
            let detail = match least {
                0 => "must be greater than or equal to 0",
                _ => "must be greater than 0",
            };
            errors.push(FieldError::invalid(&Path::new(field), value, detail));
        }
    };
    at_least("tailLines", request.tail_lines, 0, &mut errors);
    at_least("limitBytes", request.limit_bytes, 1, &mut errors);
    at_least("sinceSeconds", request.since_seconds, 1, &mut errors);
    if request.since_seconds.is_some() && request.since_time.is_some() {
        let detail = "at most one of `sinceTime` or `sinceSeconds` may be specified";
        errors.push(FieldError::forbidden(&Path::new(""), detail));
    }
    match errors.is_empty() {
        true => Ok(request),
        false => Err(status::invalid_kind("", "PodLogOptions", name, &errors)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kubectl_sends() {
        let query = Query::parse("container=c1&follow=true&tailLines=5&timestamps=true&sinceSeconds=3600");
        let got = options(&query, "default", "p1").expect("valid");
        assert!(got.follow && got.timestamps && !got.previous);
        assert_eq!((got.tail_lines, got.since_seconds, got.container.as_str()), (Some(5), Some(3600), "c1"));
    }

    #[test]
    fn refusals() {
        let refused = |text: &str| options(&Query::parse(text), "default", "p1").expect_err("refused");
        assert_eq!(
            refused("tailLines=-1").message(),
            "PodLogOptions \"p1\" is invalid: tailLines: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(refused("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z").code(), 422);
        assert_eq!(refused("sinceTime=yesterday").code(), 400);
    }
}
