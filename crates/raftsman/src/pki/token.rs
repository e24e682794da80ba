//! Bearer tokens. A token is shown once; only its hash is kept, in `tokens.json`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, SecondsFormat, Utc};
use rand::RngExt;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Error;
use super::files::{self, Access};

/// Characters that are read the same aloud and on paper.
const ALPHABET: &[u8] = b"abcdefghijkmnpqrstuvwxyz23456789";
const ID_CHARACTERS: usize = 6;
/// 32 characters of 5 bits each: 160 bits.
const SECRET_CHARACTERS: usize = 32;

/// What `tokens.json` holds of one token.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct TokenEntry {
    /// Names the token in lists and to `token revoke`; not secret.
    #[serde(default)]
    pub id: String,
    /// SHA-256 of the whole token, in hex.
    pub sha256: String,
    pub user: String,
    #[serde(default)]
    pub groups: Vec<String>,
    /// RFC 3339; absent means that it does not expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// A new token: what its holder gets, and what is kept of it.
pub struct NewToken {
    pub secret: String,
    pub entry: TokenEntry,
}

/// Draws a token for `user`.
pub fn draw(
    user: &str,
    groups: &[String],
    expires: Option<DateTime<Utc>>,
    note: &str,
    random: &mut impl rand::Rng,
) -> NewToken {
    let id = text(ID_CHARACTERS, random);
    let secret = format!("rm-{id}.{}", text(SECRET_CHARACTERS, random));
    NewToken {
        entry: TokenEntry {
            id,
            sha256: hash(&secret),
            user: user.to_owned(),
            groups: groups.to_vec(),
            expires: expires.map(|at| at.to_rfc3339_opts(SecondsFormat::Secs, true)),
            note: note.to_owned(),
        },
        secret,
    }
}

fn hash(token: &str) -> String {
    Sha256::digest(token).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn text(length: usize, random: &mut impl rand::Rng) -> String {
    (0..length).map(|_| char::from(ALPHABET[random.random_range(0..ALPHABET.len())])).collect()
}

/// The file that an API server reads token hashes from.
pub struct TokenFile {
    path: PathBuf,
    contents: Contents,
}

#[derive(Default, Serialize, Deserialize)]
struct Contents {
    tokens: Vec<TokenEntry>,
}

impl TokenFile {
    /// Reads the file; an absent one is an empty one.
    pub fn open(path: &Path) -> Result<TokenFile, Error> {
        let contents = match files::read(path) {
            Ok(text) => serde_json::from_str(&text)
                .map_err(|source| Error::Tokens { path: path.display().to_string(), source })?,
            Err(Error::Missing { .. }) => Contents::default(),
            Err(other) => return Err(other),
        };
        Ok(TokenFile { path: path.to_owned(), contents })
    }

    pub fn entries(&self) -> &[TokenEntry] {
        &self.contents.tokens
    }

    /// Adds an entry and writes the file.
    pub fn add(&mut self, entry: TokenEntry) -> Result<(), Error> {
        self.contents.tokens.push(entry);
        self.save()
    }

    /// Removes the entry with this id and writes the file; false when there is none.
    pub fn revoke(&mut self, id: &str) -> Result<bool, Error> {
        let before = self.contents.tokens.len();
        self.contents.tokens.retain(|entry| entry.id != id);
        if self.contents.tokens.len() == before {
            return Ok(false);
        }
        self.save()?;
        Ok(true)
    }

    fn save(&self) -> Result<(), Error> {
        let text = serde_json::to_string_pretty(&self.contents)
            .map_err(|source| Error::Tokens { path: self.path.display().to_string(), source })?;
        files::write(&self.path, &(text + "\n"), Access::Owner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_kept_as_its_hash_and_revoked_by_its_id() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tokens.json");
        let token = draw("admin", &["system:masters".into()], None, "", &mut rand::rng());
        let mut file = TokenFile::open(&path).unwrap();
        file.add(token.entry.clone()).unwrap();
        let kept = std::fs::read_to_string(&path).unwrap();
        assert!(!kept.contains(&token.secret));
        let mut again = TokenFile::open(&path).unwrap();
        assert_eq!(again.entries(), std::slice::from_ref(&token.entry));
        assert!(!again.revoke("other").unwrap());
        assert!(again.revoke(&token.entry.id).unwrap());
        assert!(TokenFile::open(&path).unwrap().entries().is_empty());
    }

    #[test]
    fn a_hash_is_sha256_in_hex() {
        assert_eq!(hash("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
