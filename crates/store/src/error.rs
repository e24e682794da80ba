//! Why a store does not start, or stops by itself. Each is one line that says what to do.

use std::io;
use std::path::PathBuf;

/// A store's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory can't be used.
    #[error("data directory {}: {source}; make it writable or choose another with --data-dir", path.display())]
    DataDir {
        /// The directory, or what in it.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// The data directory is another member's.
    #[error(
        "data directory {} belongs to member {found:?}, not to {name:?}; start with --name {found} or choose another \
         --data-dir",
        path.display()
    )]
    OtherMember {
        /// The directory.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who wanted it.
        name: String,
    },
    /// The data directory was written by a later version.
    #[error("data directory {} has format {found}, this version knows up to {known}; use a newer raftsman", path.display())]
    NewerFormat {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest that this version knows.
        known: u32,
    },
    /// Another process uses the data directory.
    #[error("data directory {} is in use by another process; stop that one or choose another --data-dir", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
    },
    /// The data directory's content can't be what was written.
    #[error(
        "{} is damaged: {reason}; restore a snapshot into a fresh --data-dir (in a group of several: remove this \
         member, delete the directory and add it again)",
        path.display()
    )]
    Damaged {
        /// The database or file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A snapshot of the state, made for other members, can't be what was written.
    #[error(
        "{} is damaged: {reason}; look after this disk, then remove that folder: the state is whole, and another \
         snapshot is made of it",
        path.display()
    )]
    DamagedSnapshot {
        /// The folder of all snapshots.
        path: PathBuf,
        /// What is wrong, and in which file.
        reason: String,
    },
    /// The group does not let the member take part, or it must not.
    #[error("{0}")]
    Group(String),
    /// Certificates can't be used.
    #[error("{}: {reason}; check the certificates of the store", path.display())]
    Tls {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A thread or listener can't be had.
    #[error("can't start: {0}")]
    Start(#[from] io::Error),
    /// Raft did not come up, or the store can't go on.
    #[error("stopped: {0}")]
    Stopped(String),
}
