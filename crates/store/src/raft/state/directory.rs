//! Where the machine's database lies: `state/CURRENT` names the folder beside it that is in use, so that a
//! snapshot from a peer can be laid out beside the old state and taken over by one rename. The name has a checksum
//! behind it, for all other folders are removed at a start.

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
            fs::create_dir_all(root.join("1"))?;
            dir.point_to("1")?;
        }
        let current = dir.current()?;
        if !current.is_dir() {
            return Err(damaged(format!("{} is missing", current.display())));
        }
        for entry in fs::read_dir(root)? {
            let path = entry?.path();
            if path.is_dir() && path != current {
                fs::remove_dir_all(&path)?;
            }
        }
        Ok(dir)
    }

    /// Where the folders lie.
    pub fn root(&self) -> &Path {
        &self.root
    }

    fn pointer(&self) -> PathBuf {
        self.root.join("CURRENT")
    }

    /// The folder in use.
    pub fn current(&self) -> io::Result<PathBuf> {
        let text = String::from_utf8_lossy(&fs::read(self.pointer())?).into_owned();
        let name =
            text.trim_end().split_once(' ').filter(|(name, sum)| !name.contains(['/', '.']) && *sum == checksum(name));
        match name {
            Some((name, _)) => Ok(self.root.join(name)),
            None => Err(damaged(format!("{} is damaged", self.pointer().display()))),
        }
    }

    /// A folder that does not exist yet, for the next state.
    pub fn next(&self) -> io::Result<PathBuf> {
        let current = self.current()?;
        let number: u64 =
            current.file_name().and_then(|name| name.to_str()).and_then(|name| name.parse().ok()).unwrap_or(0);
        let next = self.root.join((number + 1).to_string());
        if next.exists() {
            // Of a take-over that failed.
            fs::remove_dir_all(&next)?;
        }
        Ok(next)
    }

    /// Makes the folder of that name the one in use; durable when it returns.
    pub fn point_to(&self, name: &str) -> io::Result<()> {
        let fresh = self.root.join("CURRENT.new");
        let mut file = fs::File::create(&fresh)?;
        writeln!(file, "{name} {}", checksum(name))?;
        file.sync_all()?;
        fs::rename(&fresh, self.pointer())?;
        sync_dir(&self.root)
    }
}

fn damaged(reason: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

fn checksum(name: &str) -> String {
    format!("{:08x}", crc32c::crc32c(name.as_bytes()))
}
