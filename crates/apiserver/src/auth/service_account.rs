//! Service accounts' tokens: JWTs signed with the cluster's `sa.key` (ES256), checked by the same key.
//!
//! ```text
//!  base64url({"alg":"ES256","kid":..}) . base64url({"iss","sub","aud","exp","iat","kubernetes.io":{..}}) . signature
//! ```

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair, UnparsedPublicKey,
};
use serde::{Deserialize, Serialize};

use super::authenticated;
use crate::context::Identity;

/// Who issues the tokens.
pub const ISSUER: &str = "https://kubernetes.default.svc";

/// A key file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Missing or unreadable.
    #[error("cannot read the service accounts' key {path}: {source}; `raftsman pki create` writes one")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// No P-256 key in PKCS#8 PEM.
    #[error("{path} holds no ECDSA P-256 key in PKCS#8 PEM; `raftsman pki create` writes one")]
    Form {
        /// The file.
        path: PathBuf,
    },
    /// The system gave no randomness.
    #[error("cannot make a key: the system gives no random numbers")]
    Random,
}

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// [`ISSUER`].
    pub iss: String,
    /// `system:serviceaccount:NAMESPACE:NAME`.
    pub sub: String,
    /// Whom it is for.
    pub aud: Vec<String>,
    /// When it ends, in seconds since 1970.
    pub exp: i64,
    /// When it was issued.
    pub iat: i64,
    /// The account.
    #[serde(rename = "kubernetes.io")]
    pub account: Account,
}

/// The account in a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    /// Its namespace.
    pub namespace: String,
    /// Its name and uid.
    pub serviceaccount: Named,
}

/// An object by name and uid.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// The name.
    pub name: String,
    /// The uid.
    pub uid: String,
}

/// The key that signs and checks.
pub struct ServiceAccountKeys {
    pair: EcdsaKeyPair,
    random: SystemRandom,
}

impl ServiceAccountKeys {
    /// From a PKCS#8 PEM file.
    ///
    /// # Errors
    /// [`KeyError`], which names the file.
    pub fn open(path: &Path) -> Result<Self, KeyError> {
        let pem = std::fs::read_to_string(path).map_err(|source| KeyError::Read { path: path.into(), source })?;
        let form = || KeyError::Form { path: path.into() };
        let body: String = pem.lines().filter(|line| !line.starts_with("-----")).map(str::trim).collect();
        let der = STANDARD.decode(body).map_err(|_| form())?;
        Self::from_der(&der).map_err(|_| form())
    }

    /// A key of this process only: tokens end with it.
    ///
    /// # Errors
    /// [`KeyError::Random`].
    pub fn ephemeral() -> Result<Self, KeyError> {
        let document = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new());
        let document = document.map_err(|_| KeyError::Random)?;
        Self::from_der(document.as_ref()).map_err(|_| KeyError::Random)
    }

    fn from_der(der: &[u8]) -> Result<Self, ring::error::KeyRejected> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der, &random)?;
        Ok(ServiceAccountKeys { pair, random })
    }

    /// The token that says this; `None` when the system gives no randomness.
    pub fn sign(&self, claims: &Claims) -> Option<String> {
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"ES256","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(claims).ok()?);
        let signed = format!("{header}.{claims}");
        let signature = self.pair.sign(&self.random, signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }

    /// What a token says, when its signature is ours and its time has not passed.
    pub fn verify(&self, token: &str, now: DateTime<Utc>) -> Option<Claims> {
        let (signed, signature) = token.rsplit_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        key.verify(signed.as_bytes(), &signature).ok()?;
        let (_, claims) = signed.split_once('.')?;
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).ok()?).ok()?;
        (claims.iss == ISSUER && claims.exp > now.timestamp()).then_some(claims)
    }

    /// The service account that a token speaks for.
    pub(super) fn identify(&self, token: &str, now: DateTime<Utc>) -> Option<Identity> {
        // A token made for somebody else's ears is none for ours.
        let claims = self.verify(token, now).filter(|claims| claims.aud.iter().any(|audience| audience == ISSUER))?;
        let groups =
            vec!["system:serviceaccounts".to_string(), format!("system:serviceaccounts:{}", claims.account.namespace)];
        Some(authenticated(claims.sub, claims.account.serviceaccount.uid, groups))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_believed_until_it_ends_and_only_as_signed() {
        let keys = ServiceAccountKeys::ephemeral().expect("random numbers");
        let now = Utc::now();
        let claims = Claims {
            iss: ISSUER.into(),
            sub: "system:serviceaccount:a:b".into(),
            aud: vec![ISSUER.into()],
            exp: now.timestamp() + 60,
            iat: now.timestamp(),
            account: Account { namespace: "a".into(), serviceaccount: Named { name: "b".into(), uid: "u".into() } },
        };
        let token = keys.sign(&claims).expect("signed");
        assert_eq!(keys.verify(&token, now), Some(claims.clone()));
        assert_eq!(keys.verify(&token, now + chrono::TimeDelta::seconds(61)), None);
        let other = ServiceAccountKeys::ephemeral().expect("random numbers");
        assert_eq!(other.verify(&token, now), None);
        assert_eq!(keys.verify(&token.replace('.', ".x"), now), None);
        let identity = keys.identify(&token, now).expect("known");
        assert!(identity.in_group("system:serviceaccounts:a"));
        let elsewhere = Claims { aud: vec!["vault".into()], ..claims };
        let token = keys.sign(&elsewhere).expect("signed");
        assert!(keys.verify(&token, now).is_some() && keys.identify(&token, now).is_none(), "for another audience");
    }
}
