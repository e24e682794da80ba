//! Which texts may be names, labels, keys and so on, and what Kubernetes says of those that may not.
//!
//! Each check returns its complaints, empty when there are none; a caller makes field errors of them. The patterns are
//! matched by hand: they are a handful of character classes, and each message shows its pattern anyway.

/// The longest DNS label.
pub const LABEL_MAX: usize = 63;
/// The longest DNS subdomain.
pub const SUBDOMAIN_MAX: usize = 253;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const SUBDOMAIN: &str = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*";
const SUBDOMAIN_UNDERSCORE: &str = r"_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?(\._?[a-z0-9]([-_a-z0-9]*[a-z0-9])?)*";
const LABEL_KEY: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const LABEL_KEY_RULE: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";

/// The message of a text that is longer than `max` bytes, as older checks word it.
pub fn max_len(max: usize) -> String {
    format!("must be no more than {max} characters")
}

fn max_bytes(max: usize) -> String {
    format!("must be no more than {max} bytes")
}

fn pattern(rule: &str, pattern: &str, examples: &[&str]) -> String {
    if examples.is_empty() {
        return format!("{rule} (regex used for validation is '{pattern}')");
    }
    let quoted: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{rule} (e.g. {}regex used for validation is '{pattern}')", quoted.join(" or "))
}

fn lower_or_digit(c: u8) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit()
}

fn is_label(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |c: Option<&u8>| c.is_some_and(|c| lower_or_digit(*c));
    ends(bytes.first()) && ends(bytes.last()) && bytes.iter().all(|c| lower_or_digit(*c) || *c == b'-')
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(is_label)
}

fn is_key_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |c: Option<&u8>| c.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'))
}

/// A DNS label (RFC 1123): `my-name`.
pub fn dns_label(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > LABEL_MAX {
        problems.push(max_len(LABEL_MAX));
    }
    if !is_label(text) {
        problems.push(if is_subdomain(text) {
            "must not contain dots".to_string()
        } else {
            let rule = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character";
            pattern(rule, LABEL, &["my-name", "123-abc"])
        });
    }
    problems
}

/// A DNS subdomain: labels with dots between them.
pub fn dns_subdomain(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        problems.push(max_len(SUBDOMAIN_MAX));
    }
    if !is_subdomain(text) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character";
        problems.push(pattern(rule, SUBDOMAIN, &["example.com"]));
    }
    problems
}

/// A DNS subdomain in which labels may begin with an underscore, and hold some: what resolvers search.
pub fn dns_subdomain_underscore(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        problems.push(max_len(SUBDOMAIN_MAX));
    }
    let label = |label: &str| {
        let bytes = label.strip_prefix('_').unwrap_or(label).as_bytes();
        let ends = |c: Option<&u8>| c.is_some_and(|c| lower_or_digit(*c));
        ends(bytes.first())
            && ends(bytes.last())
            && bytes.iter().all(|c| lower_or_digit(*c) || matches!(c, b'-' | b'_'))
    };
    if !text.split('.').all(label) {
        let rule = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.', and must start and end with an alphanumeric character";
        problems.push(pattern(rule, SUBDOMAIN_UNDERSCORE, &["example.com"]));
    }
    problems
}

/// A label's key, which is also what Kubernetes calls a qualified name: `[subdomain/]Name`.
pub fn label_key(text: &str) -> Vec<String> {
    let examples = ["MyName", "my.name", "123-abc"];
    let mut problems = Vec::new();
    let parts: Vec<&str> = text.split('/').collect();
    let name = match parts.as_slice() {
        [name] => name,
        [prefix, name] => {
            if prefix.is_empty() {
                problems.push("prefix part must be non-empty".to_string());
            } else {
                problems.extend(dns_subdomain(prefix).into_iter().map(|problem| format!("prefix part {problem}")));
            }
            name
        }
        _ => {
            let rule = format!("a valid label key {}", pattern(LABEL_KEY_RULE, LABEL_KEY, &examples));
            return vec![format!("{rule} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')")];
        }
    };
    if name.is_empty() {
        problems.push("name part must be non-empty".to_string());
    } else if name.len() > LABEL_MAX {
        problems.push(format!("name part {}", max_bytes(LABEL_MAX)));
    }
    if !is_key_part(name) {
        problems.push(format!("name part {}", pattern(LABEL_KEY_RULE, LABEL_KEY, &examples)));
    }
    problems
}

/// A label's value: empty or like the name part of a key.
pub fn label_value(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > LABEL_MAX {
        problems.push(max_bytes(LABEL_MAX));
    }
    if !text.is_empty() && !is_key_part(text) {
        let rule = format!(
            "a valid label must be an empty string or consist of {}",
            &LABEL_KEY_RULE["must consist of ".len()..]
        );
        problems.push(pattern(&rule, "(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?", &["MyValue", "my_value", "12345"]));
    }
    problems
}

/// A key of a ConfigMap or Secret.
pub fn config_key(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > SUBDOMAIN_MAX {
        problems.push(max_len(SUBDOMAIN_MAX));
    }
    let valid = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.');
    if text.is_empty() || !text.bytes().all(valid) {
        let rule = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        problems.push(pattern(rule, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    problems.extend(climbs(text));
    problems
}

/// The name of an environment variable: printable ASCII without `=`.
pub fn env_var(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.is_empty() {
        problems.push("environment variable name must be non-empty".to_string());
    }
    if !text.bytes().all(|c| matches!(c, b' '..=b'~') && c != b'=') {
        problems.push(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
                .to_string(),
        );
    }
    problems
}

/// The name of a container's port.
pub fn port_name(text: &str) -> Vec<String> {
    let mut problems = Vec::new();
    if text.len() > 15 {
        problems.push(max_len(15));
    }
    if text.is_empty() || !text.bytes().all(|c| lower_or_digit(c) || c == b'-') {
        problems.push("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)".to_string());
    }
    if !text.bytes().any(|c| c.is_ascii_lowercase()) {
        problems.push("must contain at least one letter (a-z)".to_string());
    }
    if text.contains("--") {
        problems.push("must not contain consecutive hyphens".to_string());
    }
    if text.starts_with('-') || text.ends_with('-') {
        problems.push("must not begin or end with a hyphen".to_string());
    }
    problems
}

/// A port number; 0 is none.
pub fn port_number(port: i32) -> Vec<String> {
    in_range(i64::from(port), 1, 65_535)
}

/// A number in an inclusive range.
pub fn in_range(value: i64, min: i64, max: i64) -> Vec<String> {
    if (min..=max).contains(&value) { Vec::new() } else { vec![format!("must be between {min} and {max}, inclusive")] }
}

fn climbs(text: &str) -> Option<String> {
    match text {
        "." => Some("must not be '.'".to_string()),
        ".." => Some("must not be '..'".to_string()),
        _ => text.starts_with("..").then(|| "must not start with '..'".to_string()),
    }
}

/// `prefix` as it is checked for a name that is still to get its end: a dash at the end is fine there.
pub fn mask_trailing_dash(prefix: &str) -> std::borrow::Cow<'_, str> {
    if prefix.len() > 1 && prefix.ends_with('-') {
        let cut = prefix.floor_char_boundary(prefix.len() - 2);
        format!("{}a", &prefix[..cut]).into()
    } else {
        prefix.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_names_pass() {
        assert!(dns_label("my-name").is_empty());
        assert!(dns_subdomain("a.b-c.1").is_empty());
        assert!(label_key("batch.kubernetes.io/job-name").is_empty());
        assert!(label_value("").is_empty() && label_value("A_b.c-1").is_empty());
        assert!(config_key("ca.crt").is_empty());
        assert!(env_var("MY_ENV").is_empty());
        assert!(port_name("http-1").is_empty());
        assert_eq!(mask_trailing_dash("pi-"), "pa");
    }

    #[test]
    fn bad_names_get_kubernetes_text() {
        assert_eq!(
            dns_label("My_Job"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        assert_eq!(dns_label("a.b"), ["must not contain dots"]);
        assert_eq!(
            dns_subdomain("a_b"),
            [
                r"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
            ]
        );
        assert_eq!(dns_subdomain(&"a".repeat(254)), ["must be no more than 253 characters"]);
        assert_eq!(label_key("/a"), ["prefix part must be non-empty"]);
        assert!(label_key("a/b/c")[0].ends_with("(e.g. 'example.com/MyName')"));
        assert_eq!(label_value(&"a".repeat(64)), ["must be no more than 63 bytes"]);
        assert!(label_value("-")[0].starts_with("a valid label must be an empty string or consist of alphanumeric"));
        assert_eq!(config_key("..a"), ["must not start with '..'"]);
    }

    proptest! {
        #[test]
        fn no_text_makes_a_check_panic(text in "\\PC{0,80}") {
            let _ = (dns_label(&text), dns_subdomain(&text), label_key(&text));
            let _ = (label_value(&text), config_key(&text), env_var(&text), port_name(&text));
            let _ = mask_trailing_dash(&text).len();
        }
    }
}
