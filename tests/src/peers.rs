//! The real clients: pinned by tests/peers/go.mod, built by `make peers`.

use std::path::PathBuf;

/// A peer's path. RAFTSMAN_PEERS names another folder than the cache.
pub fn peer(name: &str) -> PathBuf {
    let folder = std::env::var_os("RAFTSMAN_PEERS").map_or_else(|| cache().join("peers"), PathBuf::from);
    let path = folder.join(name);
    assert!(path.is_file(), "{} is missing; run `make peers`", path.display());
    path
}

/// The python that has the pinned Kubernetes client.
pub fn python() -> PathBuf {
    let path = cache().join("python/bin/python");
    assert!(path.is_file(), "{} is missing; run scripts/python.sh", path.display());
    path
}

/// The folder of what is built or fetched once.
pub fn cache() -> PathBuf {
    let home = || PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/raftsman");
    std::env::var_os("RAFTSMAN_CACHE").map_or_else(home, PathBuf::from)
}
