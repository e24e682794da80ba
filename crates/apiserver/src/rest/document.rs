//! Paths that are no resources: discovery, OpenAPI, version, health, metrics.

use std::collections::BTreeMap;

use api::status::{self, StatusError};
use axum::response::Response;
use bytes::Bytes;
use http::Method;
use parking_lot::Mutex;
use serde_json::json;

use super::path::Route;
use super::{Call, answer, discovery, metrics, negotiate, openapi, served};

/// OpenAPI documents, made once when first asked for.
#[derive(Default)]
pub struct Documents(Mutex<BTreeMap<String, Bytes>>);

impl Documents {
    fn get(&self, name: &str, make: impl FnOnce() -> Option<serde_json::Value>) -> Option<Bytes> {
        if let Some(made) = self.0.lock().get(name) {
            return Some(made.clone());
        }
        let made = Bytes::from(make()?.to_string());
        self.0.lock().insert(name.to_string(), made.clone());
        Some(made)
    }
}

/// Serves `route`; `path` is its text, for the authorizer.
pub fn serve(call: &Call, route: &Route, path: &str) -> Result<Response, StatusError> {
    if call.method != Method::GET {
        return match route {
            Route::Unknown => Ok(answer::page_not_found()),
            _ => Err(status::method_not_allowed()),
        };
    }
    let registry = call.registry();
    registry.authorize_path(&call.ctx, path)?;
    let kinds = &served::kinds(registry);
    let aggregated = negotiate::aggregated(call.accept());
    let found = match route {
        Route::Root => Some(root()),
        Route::Version => Some(version(&registry.version)),
        Route::Health => Some(health(call, path)),
        Route::Metrics => {
            let text = metrics::text(&call.face.metrics);
            let text = text.ok_or_else(|| api::status::internal_error("a metric cannot be written"))?;
            Some(answer::bytes(200, metrics::CONTENT_TYPE, text))
        }
        Route::CoreVersions => Some(match aggregated {
            Some(version) => discovery::aggregated(kinds, true, version),
            None => discovery::core_versions(),
        }),
        Route::Groups => Some(match aggregated {
            Some(version) => discovery::aggregated(kinds, false, version),
            None => discovery::group_list(kinds),
        }),
        Route::Group(group) => discovery::group(kinds, group),
        Route::Resources(group, version) => discovery::resource_list(kinds, group, version),
        Route::OpenApiV2 => Some(answer::bytes(200, openapi::V2_CONTENT_TYPE, openapi::v2())),
        Route::OpenApiIndex => document(call, "", || Some(openapi::index(kinds))),
        Route::OpenApi(name) => document(call, name, || openapi::document(kinds, name)),
        Route::Resource(_) | Route::Unknown => None,
    };
    Ok(found.unwrap_or_else(answer::page_not_found))
}

fn document(call: &Call, name: &str, make: impl FnOnce() -> Option<serde_json::Value>) -> Option<Response> {
    let body = call.face.openapi.get(name, make)?;
    Some(answer::bytes(200, "application/json", body))
}

fn root() -> Response {
    let paths = [
        "/api",
        "/api/v1",
        "/apis",
        "/healthz",
        "/livez",
        "/metrics",
        "/openapi/v2",
        "/openapi/v3",
        "/readyz",
        "/version",
    ];
    answer::json(200, &json!({"paths": paths}))
}

fn version(git_version: &str) -> Response {
    let platform = match std::env::consts::ARCH {
        "x86_64" => "linux/amd64",
        "aarch64" => "linux/arm64",
        _ => "linux/unknown",
    };
    answer::json(
        200,
        &json!({
            "major": "1",
            "minor": "36",
            "gitVersion": git_version,
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "none (Rust)",
            "compiler": "rustc",
            "platform": platform,
        }),
    )
}

fn health(call: &Call, path: &str) -> Response {
    let ready = match path.starts_with("/readyz") {
        true => call.registry().is_ready(),
        false => Ok(()),
    };
    match ready {
        Ok(()) if call.query.has("verbose") => {
            let name = path.trim_matches('/');
            answer::bytes(200, "text/plain; charset=utf-8", format!("[+]ping ok\n{name} check passed\n"))
        }
        Ok(()) => answer::bytes(200, "text/plain; charset=utf-8", "ok"),
        Err(problem) => {
            let text = format!("[-]store failed: {problem}\nreadyz check failed\n");
            answer::bytes(500, "text/plain; charset=utf-8", text)
        }
    }
}
