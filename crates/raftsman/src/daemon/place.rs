//! A daemon's data directory: made on the first start, held by one process at a time.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::failure::Failure;
use crate::pki::files;

/// Holds a data directory for as long as it lives.
#[derive(Debug)]
pub struct Place {
    _lock: File,
}

/// Makes the directory (mode 0700) where it is missing and takes it for this process.
pub fn take(directory: &Path) -> Result<Place, Failure> {
    let shown = directory.display();
    files::make_private_folder(directory)
        .map_err(|error| Failure::Failed(format!("{error}; choose a folder that can be written (--data-dir)")))?;
    let lock =
        OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(directory.join("lock")).map_err(
            |error| {
                Failure::Failed(format!(
                    "cannot write in {shown}: {error}; choose a folder that can be written (--data-dir)"
                ))
            },
        )?;
    match lock.try_lock() {
        Ok(()) => Ok(Place { _lock: lock }),
        Err(TryLockError::WouldBlock) => Err(Failure::Failed(format!(
            "{shown} is in use by another raftsman; stop that one or choose another folder (--data-dir)"
        ))),
        Err(TryLockError::Error(error)) => Err(Failure::Failed(format!("cannot lock {shown}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("data");
        let held = take(&directory).unwrap();
        let Failure::Failed(message) = take(&directory).unwrap_err() else { panic!() };
        assert!(message.contains("in use by another raftsman"), "{message}");
        drop(held);
        take(&directory).unwrap();
    }

    #[test]
    fn a_file_in_the_way_is_told_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        std::fs::write(&path, "").unwrap();
        let Failure::Failed(message) = take(&path.join("data")).unwrap_err() else { panic!() };
        assert!(message.contains("--data-dir"), "{message}");
    }
}
