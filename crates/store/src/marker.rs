//! Whose a data directory is: a small file, written once at the first start, that refuses a swapped directory.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::keys::FORMAT;
use crate::raft::sync_dir;

const FILE: &str = "member.json";

/// The member that a directory belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Marker {
    /// Layout of the whole directory.
    pub format: u32,
    /// Drawn at random, never used again.
    pub member_id: u64,
    /// Name given at the first start.
    pub name: String,
}

/// Reads the marker of `dir`, or makes the directory and its marker with the id that `draw` gives.
pub fn claim(dir: &Path, name: &str, draw: impl FnOnce() -> u64) -> Result<Marker, Error> {
    let refuse = |source| Error::DataDir { path: dir.to_owned(), source };
    make_private(dir).map_err(refuse)?;
    let path = dir.join(FILE);
    let marker = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map_err(|error| Error::Damaged { path: path.clone(), reason: error.to_string() })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let marker = Marker { format: FORMAT, member_id: draw(), name: name.to_owned() };
            write(dir, &marker).map_err(refuse)?;
            marker
        }
        Err(error) => return Err(refuse(error)),
    };
    if marker.format > FORMAT {
        return Err(Error::NewerFormat { path: dir.to_owned(), found: marker.format, known: FORMAT });
    }
    if marker.name != name {
        return Err(Error::OtherMember { path: dir.to_owned(), found: marker.name, name: name.to_owned() });
    }
    Ok(marker)
}

/// Only its owner may read what a store holds.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

fn write(dir: &Path, marker: &Marker) -> io::Result<()> {
    let fresh = dir.join("member.json.new");
    let mut file = fs::File::create(&fresh)?;
    file.write_all(&serde_json::to_vec_pretty(marker)?)?;
    file.sync_all()?;
    fs::rename(&fresh, dir.join(FILE))?;
    sync_dir(dir)
}
