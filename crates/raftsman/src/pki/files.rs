//! Writing credentials so that a crash leaves either the whole file or none.

use std::fs;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::Path;

use super::Error;

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Mode 0644: certificates.
    Public,
    /// Mode 0600: keys, tokens and what contains them.
    Owner,
}

/// Writes `contents` beside `path` and renames it there, so that no reader sees half of it.
pub fn write(path: &Path, contents: &str, access: Access) -> Result<(), Error> {
    let failed = |source| Error::File { verb: "write", path: path.display().to_string(), source };
    let mode = match access {
        Access::Public => 0o644,
        Access::Owner => 0o600,
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let draft = path.with_file_name(format!(".{name}.new"));
    // A draft of an earlier crash may have another mode: it goes first.
    let _gone = fs::remove_file(&draft);
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(mode).open(&draft).map_err(failed)?;
    file.write_all(contents.as_bytes()).map_err(failed)?;
    file.sync_all().map_err(failed)?;
    fs::rename(&draft, path).map_err(failed)
}

/// Reads a text file; an absent one is told with what makes it.
pub fn read(path: &Path) -> Result<String, Error> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => Error::Missing { path: path.display().to_string() },
        _ => Error::File { verb: "read", path: path.display().to_string(), source },
    })
}

/// Makes a folder, with its parents, that only its owner enters.
pub fn make_private_folder(path: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|source| Error::File {
        verb: "create",
        path: path.display().to_string(),
        source,
    })
}
