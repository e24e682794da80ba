//! Whose a data directory is: a small file, written at the first start, that refuses a swapped directory.
//!
//! It is JSON, for people, with a checksum of its other fields: an id with a flipped digit would be another member's. A
//! later format keeps that checksum as it is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::error::Error;
use crate::keys::FORMAT;
use crate::raft::sync_dir;

const FILE: &str = "member.json";
const CHECKSUM: &str = "crc32c";

/// The member that a directory belongs to. Another field needs another format.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Marker {
    /// Layout of the whole directory.
    pub format: u32,
    /// Drawn at random, never used again; 0 until a group that has taken the member in has told it.
    pub member_id: u64,
    /// Name given at the first start.
    pub name: String,
    /// The group that the member is of, for good; 0 before it is of any.
    #[serde(default)]
    pub cluster_id: u64,
    /// Drawn for the directory: the group gives an id to one directory only. 0 in one of an earlier version.
    #[serde(default)]
    pub directory: u64,
    /// How often the member has been started on the directory.
    #[serde(default)]
    pub starts: u64,
}

impl Marker {
    /// The marker of a member that was never started.
    pub fn new(name: &str, member_id: u64, cluster_id: u64, directory: u64) -> Self {
        Self { format: FORMAT, member_id, name: name.to_owned(), cluster_id, directory, starts: 0 }
    }

    /// Writes the marker of `dir`, durably.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let mut fields: Map<_, _> = serde_json::from_value(serde_json::to_value(self)?)?;
        let checksum = checksum(&fields)?;
        fields.insert(CHECKSUM.to_owned(), checksum.into());
        let fresh = dir.join("member.json.new");
        let mut file = fs::File::create(&fresh)?;
        file.write_all(&serde_json::to_vec_pretty(&fields)?)?;
        file.sync_all()?;
        fs::rename(&fresh, dir.join(FILE))?;
        sync_dir(dir)
    }
}

/// Of the fields in the order of their names, without spaces.
fn checksum(fields: &Map<String, Value>) -> Result<u32, serde_json::Error> {
    let sorted: BTreeMap<_, _> = fields.iter().collect();
    Ok(crc32c::crc32c(&serde_json::to_vec(&sorted)?))
}

/// The marker that `path` holds.
fn read(path: &Path, bytes: &[u8]) -> Result<Marker, Error> {
    let damaged = |reason| Error::Damaged { path: path.to_owned(), reason };
    let invalid = |error: serde_json::Error| damaged(error.to_string());
    let mut fields: Map<_, _> = serde_json::from_slice(bytes).map_err(invalid)?;
    // One of an earlier version has none.
    if let Some(sum) = fields.remove(CHECKSUM)
        && sum != checksum(&fields).map_err(invalid)?
    {
        return Err(damaged("its checksum does not match".to_owned()));
    }
    // Of a later format no other field is known.
    let format = fields.get("format").and_then(Value::as_u64).unwrap_or_default();
    match u32::try_from(format) {
        Ok(format) if format > FORMAT => {
            let path = path.parent().unwrap_or(path).to_owned();
            Err(Error::NewerFormat { path, found: format, known: FORMAT })
        }
        _ => serde_json::from_value(Value::Object(fields)).map_err(invalid),
    }
}

/// Reads the marker of `dir`, or makes the directory with the marker that `fresh` gives.
pub fn claim(dir: &Path, name: &str, fresh: impl FnOnce() -> Marker) -> Result<Marker, Error> {
    let refuse = |source| Error::DataDir { path: dir.to_owned(), source };
    make_private(dir).map_err(refuse)?;
    let path = dir.join(FILE);
    let marker = match fs::read(&path) {
        Ok(bytes) => read(&path, &bytes)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = dir.join("log");
            if log.exists() {
                let reason = "it is missing, but there is a log beside it".to_owned();
                return Err(Error::Damaged { path, reason });
            }
            let marker = fresh();
            marker.write(dir).map_err(refuse)?;
            marker
        }
        Err(error) => return Err(refuse(error)),
    };
    if marker.name != name {
        return Err(Error::OtherMember { path: dir.to_owned(), found: marker.name, name: name.to_owned() });
    }
    Ok(marker)
}

/// Makes the directory `dir` with the marker of a member that was made elsewhere (a restored one).
pub fn found(dir: &Path, marker: &Marker) -> io::Result<()> {
    make_private(dir)?;
    marker.write(dir)
}

/// Only its owner may read what a store holds.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fresh() -> Marker {
        Marker::new("a", 7, 0, 9)
    }

    #[test]
    fn a_directory_keeps_its_member() {
        let dir = tempfile::tempdir().unwrap();
        let mut marker = claim(dir.path(), "a", fresh).unwrap();
        marker.starts += 1;
        marker.cluster_id = 3;
        marker.write(dir.path()).unwrap();
        assert_eq!(claim(dir.path(), "a", || Marker::new("a", 8, 0, 10)).unwrap(), marker);
        let refused = claim(dir.path(), "b", fresh).unwrap_err().to_string();
        assert!(refused.contains("belongs to member \"a\""), "{refused}");
    }

    #[test]
    fn a_marker_of_an_earlier_version_is_read() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), r#"{"format": 1, "member_id": 7, "name": "a"}"#).unwrap();
        let marker = claim(dir.path(), "a", fresh).unwrap();
        assert_eq!((marker.member_id, marker.directory, marker.starts), (7, 0, 0));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_found() {
        let dir = tempfile::tempdir().unwrap();
        claim(dir.path(), "a", fresh).unwrap();
        let path = dir.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        for (at, bit) in (0..whole.len()).flat_map(|at| (0..8).map(move |bit| (at, bit))) {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << bit;
            fs::write(&path, flipped).unwrap();
            let refused = claim(dir.path(), "a", fresh).unwrap_err().to_string();
            assert!(refused.contains("member.json is damaged: "), "bit {bit} of byte {at}: {refused}");
        }
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).unwrap();
            let refused = claim(dir.path(), "a", fresh).unwrap_err().to_string();
            assert!(refused.contains("member.json is damaged: "), "cut to {length}: {refused}");
        }
    }

    #[test]
    fn a_marker_of_a_later_format_is_refused_as_such() {
        let dir = tempfile::tempdir().unwrap();
        let later = r#"{"crc32c": 1872805386, "members": ["a"], "format": 99}"#;
        fs::write(dir.path().join(FILE), later).unwrap();
        let refused = claim(dir.path(), "a", fresh).unwrap_err().to_string();
        assert!(refused.contains("has format 99"), "{refused}");
    }

    #[test]
    fn a_log_without_its_marker_is_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("log")).unwrap();
        let refused = claim(dir.path(), "a", fresh).unwrap_err().to_string();
        assert!(refused.contains("member.json is damaged: it is missing"), "{refused}");
    }
}
