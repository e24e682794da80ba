//! The grammar of request paths.
//!
//! ```text
//! /api/v1/namespaces/default/pods/p1/log
//!      ^v            ^namespace ^resource ^name ^subresource
//! /apis/batch/v1/namespaces/default/jobs/pi/status
//!       ^group ^version
//! /api/v1/namespaces/default            the Namespace `default` itself
//! /api/v1/nodes/n1                      a kind without namespaces
//! /apis/batch/v1/jobs                   all namespaces
//! ```

/// A path that may address an object or a collection; whether that resource is
/// served, the registry knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ResourcePath {
    /// Empty for the core group.
    pub group: String,
    pub version: String,
    /// Empty without one, and for lists over all namespaces.
    pub namespace: String,
    pub resource: String,
    /// Empty for a collection.
    pub name: String,
    /// Empty for the object itself.
    pub subresource: String,
}

/// What a path asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// `/api`
    CoreVersions,
    /// `/apis`
    Groups,
    /// `/apis/G`
    Group(String),
    /// `/api/v1` and `/apis/G/V`: group and version.
    Resources(String, String),
    Resource(ResourcePath),
    Version,
    /// `/healthz`, `/livez`, `/readyz`, each with an optional check's name.
    Health,
    Metrics,
    /// `/openapi/v2`
    OpenApiV2,
    /// `/openapi/v3`
    OpenApiIndex,
    /// `/openapi/v3/apis/batch/v1`: `apis/batch/v1`.
    OpenApi(String),
    Root,
    Unknown,
}

/// Reads a path (percent-encoded, without query).
pub fn parse(path: &str) -> Route {
    let Some(parts) = path.trim_matches('/').split('/').map(decoded).collect::<Option<Vec<String>>>() else {
        return Route::Unknown;
    };
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match parts.as_slice() {
        [""] => Route::Root,
        ["version"] => Route::Version,
        ["healthz" | "livez" | "readyz"] => Route::Health,
        ["healthz" | "livez" | "readyz", "ping" | "etcd"] => Route::Health,
        ["metrics"] => Route::Metrics,
        ["openapi", "v2"] => Route::OpenApiV2,
        ["openapi", "v3"] => Route::OpenApiIndex,
        ["openapi", "v3", rest @ ..] => Route::OpenApi(rest.join("/")),
        ["api"] => Route::CoreVersions,
        ["apis"] => Route::Groups,
        ["api", version] => Route::Resources(String::new(), version.to_string()),
        ["apis", group] => Route::Group(group.to_string()),
        ["apis", group, version] => Route::Resources(group.to_string(), version.to_string()),
        ["api", version, rest @ ..] => resource("", version, rest),
        ["apis", group, version, rest @ ..] => resource(group, version, rest),
        _ => Route::Unknown,
    }
}

fn resource(group: &str, version: &str, rest: &[&str]) -> Route {
    let (namespace, resource, name, subresource) = match rest {
        // `namespaces` is itself a resource, so these two come before namespaced ones.
        ["namespaces", name, sub @ ("status" | "finalize")] if group.is_empty() => ("", "namespaces", *name, *sub),
        ["namespaces", name] => ("", "namespaces", *name, ""),
        ["namespaces", namespace, resource] => (*namespace, *resource, "", ""),
        ["namespaces", namespace, resource, name] => (*namespace, *resource, *name, ""),
        ["namespaces", namespace, resource, name, sub] => (*namespace, *resource, *name, *sub),
        [resource] => ("", *resource, "", ""),
        [resource, name] => ("", *resource, *name, ""),
        [resource, name, sub] => ("", *resource, *name, *sub),
        // Deeper than any subresource: none that is served.
        ["namespaces", namespace, resource, name, _, ..] => (*namespace, *resource, *name, "-"),
        [resource, name, _, ..] => ("", *resource, *name, "-"),
        [] => return Route::Unknown,
    };
    let empty = |text: &&str| text.is_empty();
    if rest.iter().any(empty) {
        return Route::Unknown;
    }
    Route::Resource(ResourcePath {
        group: group.to_string(),
        version: version.to_string(),
        namespace: namespace.to_string(),
        resource: resource.to_string(),
        name: name.to_string(),
        subresource: subresource.to_string(),
    })
}

/// Percent-decoding of one segment or query part; `None` when it is not UTF-8 or malformed.
pub fn decoded(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_string());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        match (first, tail) {
            (b'%', [high, low, after @ ..]) => {
                bytes.push(hex(*high)? << 4 | hex(*low)?);
                rest = after;
            }
            (b'%', _) => return None,
            _ => {
                bytes.push(first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> [String; 6] {
        match parse(path) {
            Route::Resource(p) => [p.group, p.version, p.namespace, p.resource, p.name, p.subresource],
            other => panic!("{path}: {other:?}"),
        }
    }

    #[test]
    fn resources_with_and_without_namespace() {
        assert_eq!(of("/api/v1/namespaces/default/pods/p1/log"), ["", "v1", "default", "pods", "p1", "log"]);
        assert_eq!(of("/apis/batch/v1/jobs"), ["batch", "v1", "", "jobs", "", ""]);
        assert_eq!(of("/apis/batch/v1/namespaces/a/jobs"), ["batch", "v1", "a", "jobs", "", ""]);
        assert_eq!(of("/api/v1/namespaces"), ["", "v1", "", "namespaces", "", ""]);
        assert_eq!(of("/api/v1/namespaces/a"), ["", "v1", "", "namespaces", "a", ""]);
        assert_eq!(of("/api/v1/namespaces/a/status"), ["", "v1", "", "namespaces", "a", "status"]);
        assert_eq!(of("/api/v1/namespaces/a/pods"), ["", "v1", "a", "pods", "", ""]);
        assert_eq!(of("/api/v1/nodes/n1/status"), ["", "v1", "", "nodes", "n1", "status"]);
        assert_eq!(of("/api/v1/nodes/n%31"), ["", "v1", "", "nodes", "n1", ""]);
    }

    #[test]
    fn the_rest() {
        assert_eq!(parse("/"), Route::Root);
        assert_eq!(parse("/version/"), Route::Version);
        assert_eq!(parse("/readyz"), Route::Health);
        assert_eq!(parse("/api"), Route::CoreVersions);
        assert_eq!(parse("/apis/batch"), Route::Group("batch".into()));
        assert_eq!(parse("/apis/batch/v1"), Route::Resources("batch".into(), "v1".into()));
        assert_eq!(parse("/openapi/v3/apis/batch/v1"), Route::OpenApi("apis/batch/v1".into()));
        for path in ["/foo", "/api/v1//pods", "/api/v1/pods/%zz", "/api/v1/pods/%ff"] {
            assert_eq!(parse(path), Route::Unknown, "{path}");
        }
    }
}
