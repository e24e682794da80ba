//! A snapshot's folder, and how long it lives.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A snapshot's folder: files of a database, and the file `checksums` beside them.
///
/// A kept one stays until a newer one takes its place. One that is only passing (being built, received, or given
/// away) goes with the last clone of this handle.
#[derive(Debug, Clone)]
pub struct SnapshotFolder {
    path: PathBuf,
    _passing: Option<Arc<Passing>>,
}

#[derive(Debug)]
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.0)
            // Renamed away, because it was kept.
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!("{} stays until the next start: {error}", self.0.display());
        }
    }
}

impl SnapshotFolder {
    /// One that stays.
    pub fn kept(path: PathBuf) -> Self {
        Self { path, _passing: None }
    }

    /// One that is removed with its last handle.
    pub fn passing(path: PathBuf) -> Self {
        Self { _passing: Some(Arc::new(Passing(path.clone()))), path }
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}
