//! The machine's database as far as it is in memory.

use std::sync::Arc;

use bytes::Bytes;

use super::RocksDisk;
use crate::machine::{Disk, DiskError, Revision};

/// Reads that never wait for the disk: what is not in memory is an error here.
pub struct Cached(pub Arc<RocksDisk>);

impl Disk for Cached {
    fn record(&self, revision: Revision) -> Result<Option<Bytes>, DiskError> {
        self.0.cached_record(revision)
    }

    fn records(&self, _: Revision, _: &mut dyn FnMut(Revision, Bytes) -> bool) -> Result<(), DiskError> {
        Err(DiskError("a scan reads the disk".into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Batch;
    use crate::raft::state::StateDir;

    /// What does not compress.
    fn noise(seed: i64) -> Bytes {
        let step = |number: &u64| Some(number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695));
        std::iter::successors(Some(seed as u64 + 1), step).take(32).flat_map(u64::to_be_bytes).collect()
    }

    #[test]
    fn what_lies_on_disk_only_is_not_taken_for_missing() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Arc::new(RocksDisk::open(StateDir::open(dir.path()).unwrap()).unwrap());
        let (here, nowhere) = (Revision { main: 500, sub: 0 }, Revision { main: 1000, sub: 0 });
        let disk = open();
        let mut batch = Batch::default();
        // More than a block, as opening the database reads one.
        for main in 0..nowhere.main {
            batch.put(&crate::keys::state::record(Revision { main, sub: 0 }), noise(main));
        }
        disk.write(&batch).unwrap();
        let cached = Cached(disk.clone());
        assert_eq!(cached.record(here).unwrap(), Some(noise(here.main)));
        disk.flush().unwrap();
        drop((cached, disk));

        let disk = open();
        let cached = Cached(disk.clone());
        assert!(cached.record(here).is_err());
        assert!(cached.records(here, &mut |_, _| true).is_err());
        // Once it was read, it is in memory.
        assert!(disk.record(here).unwrap().is_some());
        assert!(cached.record(here).unwrap().is_some());
        assert!(disk.record(nowhere).unwrap().is_none());
    }
}
