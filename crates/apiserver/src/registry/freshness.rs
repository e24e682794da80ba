//! `resourceVersion` and `resourceVersionMatch`: how current a read must be.

use api::field::{Error, Path};
use api::status;

use super::{Freshness, StatusError};

/// From the two parameters of a list or get.
///
/// # Errors
/// 400 for no number, 422 for a match that does not go with the version.
pub(super) fn parse(version: &str, version_match: &str) -> Result<Freshness, StatusError> {
    let forbidden = |detail: &str| {
        let errors = [Error::forbidden(&Path::new("resourceVersionMatch"), detail)];
        status::invalid_kind("meta.k8s.io", "ListOptions", "", &errors)
    };
    if version.is_empty() {
        return match version_match {
            "" => Ok(Freshness::Consistent),
            // WatchList sends NotOlderThan without a version: anything consistent is not older than nothing.
            "NotOlderThan" => Ok(Freshness::Consistent),
            _ => Err(forbidden("resourceVersionMatch is forbidden unless resourceVersion is provided")),
        };
    }
    let revision = version_number(version)?;
    match (version_match, revision) {
        ("Exact", 0) => Err(forbidden("resourceVersionMatch \"exact\" is forbidden for resourceVersion \"0\"")),
        ("Exact", revision) => Ok(Freshness::Exact(revision)),
        ("" | "NotOlderThan", 0) => Ok(Freshness::Any),
        ("" | "NotOlderThan", revision) => Ok(Freshness::NotOlderThan(revision)),
        (other, _) => {
            let supported = ["Exact", "NotOlderThan", ""];
            let errors = [Error::not_supported(&Path::new("resourceVersionMatch"), other, &supported)];
            Err(status::invalid_kind("meta.k8s.io", "ListOptions", "", &errors))
        }
    }
}

/// A resourceVersion as a number.
///
/// # Errors
/// 400 as Kubernetes words it.
pub(super) fn version_number(version: &str) -> Result<i64, StatusError> {
    match version.parse::<u64>().ok().and_then(|number| i64::try_from(number).ok()) {
        Some(number) => Ok(number),
        None => Err(status::bad_request(format!(
            "Invalid value: {}: strconv.ParseUint: parsing {0}: invalid syntax",
            api::field::quote(version)
        ))),
    }
}
