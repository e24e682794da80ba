//! Who asks, and when: what every registry call gets from the face that received the request.

use std::sync::Arc;

use chrono::{DateTime, Utc};

/// The authenticated caller. The faces find it in the request's extensions, where the listener put it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Identity {
    /// The user's name, e.g. `admin`, `system:node:n1`, `system:serviceaccount:default:default`.
    pub name: String,
    /// The user's unique id, where the credential has one (service accounts).
    pub uid: String,
    /// Groups, `system:authenticated` among them for all but the anonymous user.
    pub groups: Vec<String>,
}

impl Identity {
    /// Whether the caller is a member of `group`.
    pub fn in_group(&self, group: &str) -> bool {
        self.groups.iter().any(|g| g == group)
    }

    /// The caller that showed no credential.
    pub fn anonymous() -> Self {
        Identity { name: "system:anonymous".into(), uid: String::new(), groups: vec!["system:unauthenticated".into()] }
    }

    /// The API server itself: its own bootstrap objects are written as this.
    pub fn internal() -> Self {
        Identity {
            name: "system:apiserver".into(),
            uid: String::new(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
        }
    }

    /// The node whose agent this is (`system:node:NAME` in the group `system:nodes`).
    pub fn node(&self) -> Option<&str> {
        if !self.in_group("system:nodes") {
            return None;
        }
        self.name.strip_prefix("system:node:")
    }
}

/// One request's surroundings. `now` is an argument so that what the registry decides can be tested (design D8).
#[derive(Clone, Debug)]
pub struct RequestContext {
    /// The caller.
    pub identity: Arc<Identity>,
    /// When the request arrived.
    pub now: DateTime<Utc>,
}

impl RequestContext {
    /// A request of `identity` that arrives at `now`.
    pub fn new(identity: Arc<Identity>, now: DateTime<Utc>) -> Self {
        RequestContext { identity, now }
    }
}
