//! Every error that the API answers with, as Kubernetes words it: a `Status` with code, reason, message and details.

use std::fmt;

use proto::meta_v1::{ListMeta, Status, StatusCause, StatusDetails};

use crate::field;
use crate::kind::KindInfo;

/// A failed `Status` as an error value. Displays as its message.
#[derive(Clone, PartialEq)]
pub struct StatusError(Box<Status>);

impl StatusError {
    /// Wraps a Status that came from elsewhere.
    pub fn from_status(status: Status) -> Self {
        StatusError(Box::new(status))
    }

    /// The Status.
    pub fn status(&self) -> &Status {
        &self.0
    }

    /// The Status itself.
    pub fn into_status(self) -> Status {
        *self.0
    }

    /// The HTTP code.
    pub fn code(&self) -> u16 {
        u16::try_from(self.0.code).unwrap_or(500)
    }

    /// The machine-readable reason: `NotFound`.
    pub fn reason(&self) -> &str {
        &self.0.reason
    }

    /// The human-readable message.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The seconds after which to try again; 0 when the error does not say.
    pub fn retry_after_seconds(&self) -> i32 {
        self.0.details.as_ref().map_or(0, |details| details.retry_after_seconds)
    }

    /// The object does not exist.
    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }

    /// An object of that name exists.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// Somebody else changed the object first.
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// The revision asked for is compacted away: list again.
    pub fn is_expired(&self) -> bool {
        matches!(self.reason(), "Expired" | "Gone")
    }

    fn details(mut self, details: StatusDetails) -> Self {
        self.0.details = Some(details);
        self
    }
}

impl fmt::Debug for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.0.code, self.0.reason, self.0.message)
    }
}

impl fmt::Display for StatusError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for StatusError {}

impl From<Status> for StatusError {
    fn from(status: Status) -> Self {
        StatusError::from_status(status)
    }
}

impl From<StatusError> for Status {
    fn from(error: StatusError) -> Self {
        error.into_status()
    }
}

/// What a message names: a resource (or a kind) of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// The group; empty for core.
    pub group: &'a str,
    /// The plural resource name: `jobs`.
    pub resource: &'a str,
}

impl<'a> From<&'a KindInfo> for Subject<'a> {
    fn from(info: &'a KindInfo) -> Self {
        Subject { group: info.group, resource: info.resource }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.resource)?;
        if self.group.is_empty() { Ok(()) } else { write!(f, ".{}", self.group) }
    }
}

impl Subject<'_> {
    fn details(&self, name: &str) -> StatusDetails {
        StatusDetails {
            name: name.to_string(),
            group: self.group.to_string(),
            kind: self.resource.to_string(),
            ..StatusDetails::default()
        }
    }
}

/// Any failure: the builders below give the known ones.
pub fn failure(code: u16, reason: &str, message: impl Into<String>) -> StatusError {
    StatusError::from_status(Status {
        metadata: Some(ListMeta::default()),
        status: "Failure".to_string(),
        message: message.into(),
        reason: reason.to_string(),
        details: None,
        code: i32::from(code),
    })
}

/// The Status of what went well, with details of the object that it is about.
pub fn success(info: &KindInfo, name: &str, uid: &str) -> Status {
    Status {
        metadata: Some(ListMeta::default()),
        status: "Success".to_string(),
        details: Some(StatusDetails { uid: uid.to_string(), ..Subject::from(info).details(name) }),
        ..Status::default()
    }
}

/// 404: no such object.
pub fn not_found<'a>(subject: impl Into<Subject<'a>>, name: &str) -> StatusError {
    let subject = subject.into();
    failure(404, "NotFound", format!("{subject} {} not found", field::quote(name))).details(subject.details(name))
}

/// 404: nothing is served under this path or resource.
pub fn no_such_resource() -> StatusError {
    failure(404, "NotFound", "the server could not find the requested resource").details(StatusDetails::default())
}

/// 409: the name is taken, by an object that is on its way out.
pub fn being_deleted<'a>(subject: impl Into<Subject<'a>>, name: &str) -> StatusError {
    let subject = subject.into();
    let message = format!("object is being deleted: {subject} {} already exists", field::quote(name));
    failure(409, "AlreadyExists", message).details(subject.details(name))
}

/// 409: the name is taken.
pub fn already_exists<'a>(subject: impl Into<Subject<'a>>, name: &str) -> StatusError {
    let subject = subject.into();
    failure(409, "AlreadyExists", format!("{subject} {} already exists", field::quote(name)))
        .details(subject.details(name))
}

/// 409: no free name was found for a `generateName`.
pub fn generate_name_conflict<'a>(subject: impl Into<Subject<'a>>, name: &str) -> StatusError {
    let subject = subject.into();
    let message = format!(
        "{subject} {} already exists, the server was not able to generate a unique name for the object",
        field::quote(name)
    );
    failure(409, "AlreadyExists", message).details(StatusDetails { retry_after_seconds: 1, ..subject.details(name) })
}

/// The `cause` of a [`conflict`] where the writer saw an older version.
pub const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// 409: it cannot be done to the object as it is now; see [`MODIFIED`].
pub fn conflict<'a>(subject: impl Into<Subject<'a>>, name: &str, cause: &str) -> StatusError {
    let subject = subject.into();
    failure(409, "Conflict", format!("Operation cannot be fulfilled on {subject} {}: {cause}", field::quote(name)))
        .details(subject.details(name))
}

/// 409 for a precondition of a delete (or of a write that names a uid) that does not hold.
/// `what` is `UID` or `ResourceVersion`.
pub fn precondition_failed<'a>(
    subject: impl Into<Subject<'a>>,
    name: &str,
    what: &str,
    wanted: &str,
    actual: &str,
) -> StatusError {
    let cause = format!("Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}");
    conflict(subject, name, &cause)
}

/// 409 for a precondition of a delete that does not hold, which Kubernetes tells of the kind: `what` as above.
pub fn delete_precondition_failed(info: &KindInfo, name: &str, what: &str, wanted: &str, actual: &str) -> StatusError {
    let perhaps = match what {
        "UID" => "deleted and then recreated",
        _ => "modified",
    };
    let cause = format!(
        "the {what} in the precondition ({wanted}) does not match the {what} in record ({actual}). The object might have \
         been {perhaps}"
    );
    conflict(Subject { group: info.group, resource: info.kind }, name, &cause)
}

/// 409 with one cause a field: another manager owns what an apply would change.
pub fn apply_conflict(causes: Vec<StatusCause>, message: impl Into<String>) -> StatusError {
    failure(409, "Conflict", message).details(StatusDetails { causes, ..StatusDetails::default() })
}

/// 422: the object is refused, with one cause for each error. `name` may be empty.
pub fn invalid(info: &KindInfo, name: &str, errors: &[field::Error]) -> StatusError {
    invalid_kind(info.group, info.kind, name, errors)
}

/// As [`invalid`] for what is no stored kind: options, reviews, bindings.
pub fn invalid_kind(group: &str, kind: &str, name: &str, errors: &[field::Error]) -> StatusError {
    let qualified = if group.is_empty() { kind.to_string() } else { format!("{kind}.{group}") };
    let causes = errors.iter().map(|error| StatusCause {
        reason: error.reason.as_str().to_string(),
        message: error.message.clone(),
        field: error.field.clone(),
    });
    let details = StatusDetails {
        name: name.to_string(),
        group: group.to_string(),
        kind: kind.to_string(),
        causes: causes.collect(),
        ..StatusDetails::default()
    };
    let name = field::quote(name);
    let message = if errors.is_empty() {
        format!("{qualified} {name} is invalid")
    } else {
        format!("{qualified} {name} is invalid: {}", field::summary(errors))
    };
    failure(422, "Invalid", message).details(details)
}

/// 400.
pub fn bad_request(message: impl Into<String>) -> StatusError {
    failure(400, "BadRequest", message)
}

/// 401; `Unauthorized` is what Kubernetes says for any bad credential.
pub fn unauthorized() -> StatusError {
    failure(401, "Unauthorized", "Unauthorized")
}

/// 403; `name` may be empty.
pub fn forbidden<'a>(subject: impl Into<Subject<'a>>, name: &str, cause: &str) -> StatusError {
    let subject = subject.into();
    let message = if subject.resource.is_empty() {
        format!("forbidden: {cause}")
    } else if name.is_empty() {
        format!("{subject} is forbidden: {cause}")
    } else {
        format!("{subject} {} is forbidden: {cause}", field::quote(name))
    };
    failure(403, "Forbidden", message).details(subject.details(name))
}

/// 403 on creating something in a namespace that is being deleted.
pub fn namespace_terminating<'a>(subject: impl Into<Subject<'a>>, name: &str, namespace: &str) -> StatusError {
    let cause = format!("unable to create new content in namespace {namespace} because it is being terminated");
    let mut error = forbidden(subject, name, &cause);
    if let Some(details) = error.0.details.as_mut() {
        details.causes.push(StatusCause {
            reason: "NamespaceTerminating".to_string(),
            message: format!("namespace {namespace} is being terminated"),
            field: "metadata.namespace".to_string(),
        });
    }
    error
}

/// 405: the resource knows no such verb.
pub fn method_not_supported<'a>(subject: impl Into<Subject<'a>>, action: &str) -> StatusError {
    let subject = subject.into();
    let message = format!("{action} is not supported on resources of kind {}", field::quote(&subject.to_string()));
    failure(405, "MethodNotAllowed", message).details(subject.details(""))
}

/// 405: the path knows no such HTTP method.
pub fn method_not_allowed() -> StatusError {
    failure(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        .details(StatusDetails::default())
}

/// 406: none of the accepted media types can be served.
pub fn not_acceptable(supported: &[&str]) -> StatusError {
    let message = format!("only the following media types are accepted: {}", supported.join(", "));
    failure(406, "NotAcceptable", message)
}

/// 415: the body's media type is unknown.
pub fn unsupported_media_type(supported: &[&str]) -> StatusError {
    let message = format!(
        "the body of the request was in an unknown format - accepted media types include: {}",
        supported.join(", ")
    );
    failure(415, "UnsupportedMediaType", message)
}

/// 415 for a patch of an unknown type.
pub fn unknown_patch_type() -> StatusError {
    failure(415, "UnsupportedMediaType", "415: Unsupported Media Type").details(StatusDetails::default())
}

/// 410: the revision is compacted away.
pub fn expired(message: impl Into<String>) -> StatusError {
    failure(410, "Expired", message)
}

/// 410 for a watch that starts, or has fallen, behind what is kept.
pub fn watch_expired() -> StatusError {
    expired("The resourceVersion for the provided watch is too old.")
}

/// 413.
pub fn request_entity_too_large(message: impl fmt::Display) -> StatusError {
    failure(413, "RequestEntityTooLarge", format!("Request entity too large: {message}"))
}

/// 429 with the seconds to wait.
pub fn too_many_requests(message: impl Into<String>, retry_after_seconds: i32) -> StatusError {
    failure(429, "TooManyRequests", message).details(StatusDetails { retry_after_seconds, ..StatusDetails::default() })
}

/// 500: a failure of ours.
pub fn internal_error(cause: impl fmt::Display) -> StatusError {
    let cause = cause.to_string();
    failure(500, "InternalError", format!("Internal error occurred: {cause}")).details(StatusDetails {
        causes: vec![StatusCause { message: cause, ..StatusCause::default() }],
        ..StatusDetails::default()
    })
}

/// 503: try later, nothing happened.
pub fn service_unavailable(message: impl Into<String>) -> StatusError {
    failure(503, "ServiceUnavailable", message)
}

/// 504: it was not done in time, and may still be.
pub fn timeout(message: impl fmt::Display, retry_after_seconds: i32) -> StatusError {
    failure(504, "Timeout", format!("Timeout: {message}"))
        .details(StatusDetails { retry_after_seconds, ..StatusDetails::default() })
}

/// 504 for a read that asks for a revision which the store has not reached.
pub fn too_large_resource_version(asked: i64, current: i64) -> StatusError {
    failure(504, "Timeout", format!("Timeout: Too large resource version: {asked}, current: {current}")).details(
        StatusDetails {
            causes: vec![StatusCause {
                reason: "ResourceVersionTooLarge".to_string(),
                message: "Too large resource version".to_string(),
                ..StatusCause::default()
            }],
            retry_after_seconds: 1,
            ..StatusDetails::default()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::field::{Error, Path};
    use crate::kind::{JOB, POD};

    #[test]
    fn messages_are_kubernetes_own() {
        assert_eq!(not_found(&JOB, "x").message(), r#"jobs.batch "x" not found"#);
        assert_eq!(already_exists(&POD, "x").message(), r#"pods "x" already exists"#);
        assert_eq!(
            conflict(&JOB, "x", MODIFIED).message(),
            "Operation cannot be fulfilled on jobs.batch \"x\": the object has been modified; please apply your changes to the latest version and try again"
        );
        assert_eq!(
            precondition_failed(&JOB, "x", "UID", "a", "b").message(),
            "Operation cannot be fulfilled on jobs.batch \"x\": Precondition failed: UID in precondition: a, UID in object meta: b"
        );
        assert_eq!(forbidden(&JOB, "", "no").message(), "jobs.batch is forbidden: no");
    }

    #[test]
    fn invalid_carries_a_cause_for_each_error() {
        let spec = Path::new("spec");
        let errors = [
            Error::invalid(&spec.child("completions"), -1, "must be greater than or equal to 0"),
            Error::required(&spec.child("template"), ""),
        ];
        let status = invalid(&JOB, "pi", &errors).into_status();
        assert_eq!((status.code, status.reason.as_str()), (422, "Invalid"));
        assert_eq!(
            status.message,
            "Job.batch \"pi\" is invalid: [spec.completions: Invalid value: -1: must be greater than or equal to 0, spec.template: Required value]"
        );
        let details = status.details.expect("details");
        assert_eq!((details.kind.as_str(), details.group.as_str(), details.causes.len()), ("Job", "batch", 2));
        assert_eq!(details.causes[1].field, "spec.template");
        assert_eq!(details.causes[1].message, "Required value");
    }
}
