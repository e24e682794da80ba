//! Paths of fields and what is wrong with them, in the words of Kubernetes' API machinery.
//!
//! A [`Path`] is a list on the stack, so that a validation that finds nothing allocates nothing:
//!
//! ```text
//! Path::new("spec") <- .child("containers") <- .index(0) <- .child("image")   prints   spec.containers[0].image
//! ```
//!
//! An [`Error`] is the cause of a 422 answer: a reason, the field and one line such as `Invalid value: -1: must be greater
//! than or equal to 0`.

use std::fmt;

/// The path of a field; each step borrows the one before.
#[derive(Clone, Copy)]
pub struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Name(&'a str),
    Index(usize),
    Key(&'a str),
}

impl<'a> Path<'a> {
    /// The path of a top-level field. A name may hold several steps: `spec.template`.
    pub const fn new(name: &'a str) -> Self {
        Path { parent: None, step: Step::Name(name) }
    }

    /// The field `name` of this one.
    pub const fn child(&'a self, name: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// The list element `index` of this field.
    pub const fn index(&'a self, index: usize) -> Path<'a> {
        Path { parent: Some(self), step: Step::Index(index) }
    }

    /// The map entry `key` of this field.
    pub const fn key(&'a self, key: &'a str) -> Path<'a> {
        Path { parent: Some(self), step: Step::Key(key) }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(parent) = self.parent {
            parent.fmt(f)?;
        }
        match self.step {
            Step::Name(name) if self.parent.is_some() => write!(f, ".{name}"),
            Step::Name(name) => f.write_str(name),
            Step::Index(index) => write!(f, "[{index}]"),
            Step::Key(key) => write!(f, "[{key}]"),
        }
    }
}

/// Why a field is refused; its text is the `reason` of a cause in a Status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A value that does not exist elsewhere as it must.
    NotFound,
    /// A value that must be there is not.
    Required,
    /// A value that must be unique is not.
    Duplicate,
    /// A malformed value or one out of bounds.
    Invalid,
    /// None of the values that the field knows.
    NotSupported,
    /// Well-formed, but not allowed here.
    Forbidden,
    /// Too many bytes or characters.
    TooLong,
    /// Too many items.
    TooMany,
    /// Not the user's fault.
    Internal,
}

impl Reason {
    /// The word of the wire: `FieldValueInvalid`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::NotFound => "FieldValueNotFound",
            Reason::Required => "FieldValueRequired",
            Reason::Duplicate => "FieldValueDuplicate",
            Reason::Invalid => "FieldValueInvalid",
            Reason::NotSupported => "FieldValueNotSupported",
            Reason::Forbidden => "FieldValueForbidden",
            Reason::TooLong => "FieldValueTooLong",
            Reason::TooMany => "FieldValueTooMany",
            Reason::Internal => "InternalError",
        }
    }

    const fn title(self) -> &'static str {
        match self {
            Reason::NotFound => "Not found",
            Reason::Required => "Required value",
            Reason::Duplicate => "Duplicate value",
            Reason::Invalid => "Invalid value",
            Reason::NotSupported => "Unsupported value",
            Reason::Forbidden => "Forbidden",
            Reason::TooLong => "Too long",
            Reason::TooMany => "Too many",
            Reason::Internal => "Internal error",
        }
    }
}

/// One thing that is wrong with one field. Displays as `field: message`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// Why.
    pub reason: Reason,
    /// The field's path.
    pub field: String,
    /// The rest of the line, with the value where it helps.
    pub message: String,
}

/// What a validation finds; empty is good.
pub type Errors = Vec<Error>;

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl std::error::Error for Error {}

impl Error {
    fn new(reason: Reason, field: &Path<'_>, value: Option<String>, detail: &str) -> Self {
        let mut message = reason.title().to_string();
        for part in value.as_deref().into_iter().chain((!detail.is_empty()).then_some(detail)) {
            message.push_str(": ");
            message.push_str(part);
        }
        Error { reason, field: field.to_string(), message }
    }

    /// A malformed value or one out of bounds.
    pub fn invalid(field: &Path<'_>, value: impl Value, detail: &str) -> Self {
        Error::new(Reason::Invalid, field, value.shown(), detail)
    }

    /// A value that must be given; `detail` may be empty.
    pub fn required(field: &Path<'_>, detail: &str) -> Self {
        Error::new(Reason::Required, field, None, detail)
    }

    /// A value that another has already.
    pub fn duplicate(field: &Path<'_>, value: impl Value) -> Self {
        Error::new(Reason::Duplicate, field, value.shown(), "")
    }

    /// A value that refers to what is not there.
    pub fn not_found(field: &Path<'_>, value: impl Value) -> Self {
        Error::new(Reason::NotFound, field, value.shown(), "")
    }

    /// None of the `supported` values.
    pub fn not_supported(field: &Path<'_>, value: impl Value, supported: &[&str]) -> Self {
        let quoted: Vec<String> = supported.iter().map(|value| quote(value)).collect();
        let detail = if quoted.is_empty() { String::new() } else { format!("supported values: {}", quoted.join(", ")) };
        Error::new(Reason::NotSupported, field, value.shown(), &detail)
    }

    /// Well-formed, but not allowed here.
    pub fn forbidden(field: &Path<'_>, detail: &str) -> Self {
        Error::new(Reason::Forbidden, field, None, detail)
    }

    /// More than `max` bytes.
    pub fn too_long(field: &Path<'_>, max: usize) -> Self {
        let unit = if max == 1 { "byte" } else { "bytes" };
        Error::new(Reason::TooLong, field, None, &format!("may not be more than {max} {unit}"))
    }

    /// `actual` items where at most `max` are allowed.
    pub fn too_many(field: &Path<'_>, actual: usize, max: usize) -> Self {
        let unit = if max == 1 { "item" } else { "items" };
        Error::new(Reason::TooMany, field, actual.shown(), &format!("must have at most {max} {unit}"))
    }

    /// A failure of ours.
    pub fn internal(field: &Path<'_>, detail: &str) -> Self {
        Error::new(Reason::Internal, field, None, detail)
    }
}

/// A value as an error message shows it: numbers and booleans plain, strings quoted as Go does, everything else as JSON.
pub trait Value {
    /// The text, or `None` to leave the value out.
    fn shown(&self) -> Option<String>;
}

/// Shows no value.
pub struct Omitted;

/// A text of a Go type of its own, such as an enumeration's: Kubernetes shows it as JSON, not as Go quotes texts.
pub struct Typed<'a>(pub &'a str);

/// A value shown as this JSON text.
pub struct Json(pub String);

impl Json {
    /// The JSON of any message of ours.
    pub fn of<T: proto::json::Json>(message: &T) -> Self {
        Json(String::from_utf8_lossy(&proto::json::to_vec(message)).into_owned())
    }

    /// The JSON of a map such as labels; an empty one is none, as for Go.
    pub fn of_map(map: &std::collections::BTreeMap<String, String>) -> Self {
        if map.is_empty() {
            return Json("null".to_string());
        }
        let object = map.iter().map(|(key, value)| (key.clone(), serde_json::Value::from(value.as_str())));
        Json(serde_json::Value::Object(object.collect()).to_string())
    }
}

impl Value for Omitted {
    fn shown(&self) -> Option<String> {
        None
    }
}

impl Value for Typed<'_> {
    fn shown(&self) -> Option<String> {
        Some(escaped(&serde_json::Value::from(self.0).to_string()))
    }
}

impl Value for Json {
    fn shown(&self) -> Option<String> {
        Some(escaped(&self.0))
    }
}

/// JSON as Go writes it: fit to stand in HTML. Outside of texts these characters don't occur.
fn escaped(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped
}

impl Value for str {
    fn shown(&self) -> Option<String> {
        Some(quote(self))
    }
}

impl Value for String {
    fn shown(&self) -> Option<String> {
        Some(quote(self))
    }
}

impl Value for [String] {
    fn shown(&self) -> Option<String> {
        Some(escaped(&serde_json::Value::from(self.to_vec()).to_string()))
    }
}

impl Value for Vec<String> {
    fn shown(&self) -> Option<String> {
        self.as_slice().shown()
    }
}

impl<T: Value + ?Sized> Value for &T {
    fn shown(&self) -> Option<String> {
        (**self).shown()
    }
}

impl<T: Value> Value for Option<T> {
    fn shown(&self) -> Option<String> {
        self.as_ref().map_or_else(|| Some("null".to_string()), Value::shown)
    }
}

macro_rules! plain {
    ($($type:ty),*) => {$(
        impl Value for $type {
            fn shown(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )*};
}
plain!(bool, i32, i64, usize);

/// `text` in double quotes with Go's escapes.
pub fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{b}' => quoted.push_str("\\v"),
            '\u{c}' => quoted.push_str("\\f"),
            c if c < ' ' || c == '\u{7f}' => quoted.push_str(&format!("\\x{:02x}", c as u32)),
            c if c.is_control() || (c.is_whitespace() && c != ' ') || c == '\u{feff}' => {
                quoted.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// All errors as one line: the distinct ones, in brackets when there are several.
pub fn summary(errors: &[Error]) -> String {
    let mut seen = std::collections::HashSet::new();
    let lines: Vec<String> = errors.iter().map(Error::to_string).filter(|line| seen.insert(line.clone())).collect();
    match lines.as_slice() {
        [line] => line.clone(),
        lines => format!("[{}]", lines.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_prints_names_indexes_and_keys() {
        let spec = Path::new("spec");
        let containers = spec.child("containers");
        let first = containers.index(0);
        assert_eq!(first.child("image").to_string(), "spec.containers[0].image");
        assert_eq!(spec.child("limits").key("cpu").to_string(), "spec.limits[cpu]");
    }

    #[test]
    fn each_reason_has_kubernetes_text() {
        let path = Path::new("spec");
        let at = path.child("completions");
        assert_eq!(
            Error::invalid(&at, -1, "must be greater than or equal to 0").to_string(),
            "spec.completions: Invalid value: -1: must be greater than or equal to 0"
        );
        assert_eq!(
            Error::not_supported(&at, "x", &["Always", "Never", "OnFailure"]).message,
            r#"Unsupported value: "x": supported values: "Always", "Never", "OnFailure""#
        );
        assert_eq!(Error::required(&at, "").message, "Required value");
        assert_eq!(Error::too_long(&at, 63).message, "Too long: may not be more than 63 bytes");
        assert_eq!(Error::too_many(&at, 21, 20).message, "Too many: 21: must have at most 20 items");
        assert_eq!(Error::invalid(&at, Omitted, "no").message, "Invalid value: no");
        assert_eq!(Error::duplicate(&at, "a\"b\n").message, r#"Duplicate value: "a\"b\n""#);
        assert_eq!(Error::duplicate(&at, Typed("<\u{1}>")).message, r#"Duplicate value: "\u003c\u0001\u003e""#);
    }

    #[test]
    fn a_summary_joins_what_differs() {
        let path = Path::new("a");
        let one = Error::required(&path, "");
        assert_eq!(summary(&[one.clone(), one.clone()]), "a: Required value");
        assert_eq!(summary(&[one, Error::forbidden(&path, "no")]), "[a: Required value, a: Forbidden: no]");
    }
}
