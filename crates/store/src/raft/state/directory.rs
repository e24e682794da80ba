//! Where the machine's database lies: `state/CURRENT` names the folder beside it that is in use, so that a
//! snapshot from a peer can be laid out beside the old state and taken over by one rename.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::raft::database::sync_dir;

/// The folder of the machine's databases.
#[derive(Debug, Clone)]
pub struct StateDir {
    root: PathBuf,
}

impl StateDir {
    /// Uses `root`, which is made if need be. Leftovers of an interrupted take-over are removed.
    pub fn open(root: &Path) -> io::Result<Self> {
        fs::create_dir_all(root)?;
        let dir = Self { root: root.to_owned() };
        if !dir.pointer().exists() {
            dir.point_to("1")?;
        }
        let current = dir.current()?;
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if path.is_dir() && path != current {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(dir)
    }

    fn pointer(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    /// The folder in use.
    pub fn current(&self) -> io::Result<PathBuf> {
        let name = fs::read_to_string(self.pointer())?;
        let name = name.trim();
        if name.is_empty() || name.contains(['/', '.']) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "state/CURRENT names no folder"));
        }
        Ok(self.root.join(name))
    }

    /// A folder that does not exist yet, for the next state.
    pub fn next(&self) -> io::Result<PathBuf> {
        let current = self.current()?;
        let number: u64 =
            current.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).unwrap_or(0);
        Ok(self.root.join((number + 1).to_string()))
    }

    /// Makes the folder of that name the one in use; durable when it returns.
    pub fn point_to(&self, name: &str) -> io::Result<()> {
        let fresh = self.root.join("CURRENT.new");
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{name}")?;
        file.sync_all()?;
        fs::rename(&fresh, self.pointer())?;
        sync_dir(&self.root)
    }
}
