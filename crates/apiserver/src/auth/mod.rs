//! Who is it (authentication), and may it do that (authorization).

mod authorizer;
mod certificate;
mod nodes;
mod service_account;
mod tokens;

use std::sync::Arc;

use api::status::{self, StatusError};
use chrono::{DateTime, Utc};

pub use authorizer::Authorizer;
pub(crate) use authorizer::everything;
pub use certificate::identity as certificate_identity;
pub use service_account::{Account, Claims, ISSUER, KeyError, Named, ServiceAccountKeys};
pub use tokens::{TokenFile, TokenFileError};

use crate::cache::Caches;
use crate::context::Identity;

/// The group of all who showed a valid credential.
pub const AUTHENTICATED: &str = "system:authenticated";
/// Members of this group may do everything.
pub const MASTERS: &str = "system:masters";
/// Controllers and scheduler.
pub const CONTROL_PLANE: &str = "system:control-plane";
/// Agents.
pub const NODES: &str = "system:nodes";
/// The agent of many simulated nodes.
pub const SIMULATED_NODES: &str = "system:simulated-nodes";

/// Turns a request's credentials into an identity.
pub struct Authenticator {
    /// Bearer tokens by their hash.
    pub tokens: TokenFile,
    /// Service accounts' signed tokens.
    pub keys: Arc<ServiceAccountKeys>,
    /// Where the accounts themselves are looked up.
    pub(crate) caches: Arc<Caches>,
    /// Whether the identity of simulated nodes is accepted.
    pub allow_simulated_nodes: bool,
}

impl Authenticator {
    /// The identity of a request: its bearer token where it shows one, else the connection's certificate.
    ///
    /// # Errors
    /// 401 for a token that is unknown, expired or malformed.
    pub fn identify(
        &self,
        authorization: Option<&str>,
        certificate: Option<&Arc<Identity>>,
        now: DateTime<Utc>,
    ) -> Result<Arc<Identity>, StatusError> {
        let identity = match (authorization, certificate) {
            (Some(header), _) => Arc::new(self.bearer(header, now).ok_or_else(status::unauthorized)?),
            (None, Some(identity)) => identity.clone(),
            (None, None) => return Ok(Arc::new(Identity::anonymous())),
        };
        if identity.in_group(SIMULATED_NODES) && !self.allow_simulated_nodes {
            return Err(status::unauthorized());
        }
        Ok(identity)
    }

    fn bearer(&self, header: &str, now: DateTime<Utc>) -> Option<Identity> {
        let (scheme, token) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let token = token.trim();
        self.tokens.identify(token, now).or_else(|| self.account(token, now))
    }

    /// A service account's token ends with the account, also where one of the same name has come after it.
    fn account(&self, token: &str, now: DateTime<Utc>) -> Option<Identity> {
        let identity = self.keys.identify(token, now)?;
        let key = identity.name.strip_prefix("system:serviceaccount:")?.replacen(':', "/", 1);
        let accounts = crate::strategy::resources().iter().find(|resource| resource.info.kind == "ServiceAccount")?;
        let account = self.caches.kind(accounts).get(&key)?;
        (account.uid() == identity.uid).then_some(identity)
    }
}

/// Adds what every authenticated identity is a member of.
pub(crate) fn authenticated(name: String, uid: String, mut groups: Vec<String>) -> Identity {
    groups.push(AUTHENTICATED.to_string());
    Identity { name, uid, groups }
}
