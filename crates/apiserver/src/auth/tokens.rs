//! Bearer tokens: a file of their hashes, read again when it has changed.
//!
//! ```json
//! {"tokens": [{"sha256": "9f86...", "user": "admin", "groups": ["system:masters"], "expires": "2027-01-01T00:00:00Z"}]}
//! ```

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Utc};
use parking_lot::Mutex;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::authenticated;
use crate::context::Identity;

/// The file's time is looked at no more often than this.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// A tokens file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// Missing or unreadable.
    #[error("cannot read the tokens file {path}: {source}; `raftsman pki create` writes one")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Not of its form.
    #[error("the tokens file {path} is damaged: {source}; write it anew by `raftsman token create`")]
    Parse {
        /// The file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
}

#[derive(Deserialize)]
struct File {
    tokens: Vec<Entry>,
}

#[derive(Clone, Deserialize)]
struct Entry {
    sha256: String,
    user: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    /// RFC 3339; a text that is none has expired.
    #[serde(default)]
    expires: Option<String>,
}

/// The tokens by their hash. Hashes make the comparison's timing tell nothing of a token.
pub struct TokenFile {
    path: Option<PathBuf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<String, Entry>,
    modified: Option<SystemTime>,
    looked: Option<Instant>,
}

impl TokenFile {
    /// Reads the file; without one, no token is valid.
    ///
    /// # Errors
    /// [`TokenFileError`], which names the file.
    pub fn open(path: Option<&Path>) -> Result<Self, TokenFileError> {
        let state = match path {
            Some(path) => State { entries: read(path)?, modified: modified(path), looked: Some(Instant::now()) },
            None => State::default(),
        };
        Ok(TokenFile { path: path.map(Path::to_path_buf), state: Mutex::new(state) })
    }

    /// The identity of a token that is known and has not expired.
    pub fn identify(&self, token: &str, now: DateTime<Utc>) -> Option<Identity> {
        let hash = hex(&Sha256::digest(token.as_bytes()));
        let mut state = self.state.lock();
        self.refresh(&mut state);
        let entry = state.entries.get(&hash)?;
        let ends = |text: &str| api::time::parse_rfc3339(text);
        if entry.expires.as_deref().is_some_and(|text| ends(text).is_none_or(|ends| ends <= now)) {
            return None;
        }
        Some(authenticated(entry.user.clone(), entry.uid.clone(), entry.groups.clone()))
    }

    /// A damaged new version keeps the old one in force, with a line in the log.
    fn refresh(&self, state: &mut State) {
        let Some(path) = &self.path else { return };
        if state.looked.is_some_and(|looked| looked.elapsed() < LOOK_INTERVAL) {
            return;
        }
        state.looked = Some(Instant::now());
        let modified = modified(path);
        if modified == state.modified {
            return;
        }
        match read(path) {
            Ok(entries) => (state.entries, state.modified) = (entries, modified),
            Err(error) => tracing::error!(%error, "the tokens in force stay those of before"),
        }
    }
}

fn modified(path: &Path) -> Option<SystemTime> {
    std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

fn read(path: &Path) -> Result<HashMap<String, Entry>, TokenFileError> {
    let bytes = std::fs::read(path).map_err(|source| TokenFileError::Read { path: path.into(), source })?;
    let file: File =
        serde_json::from_slice(&bytes).map_err(|source| TokenFileError::Parse { path: path.into(), source })?;
    Ok(file.tokens.into_iter().map(|entry| (entry.sha256.to_ascii_lowercase(), entry)).collect())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
