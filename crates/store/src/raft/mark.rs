//! How far a database was made durable, noted beside it.
//!
//! A database that lost its end looks like one that never had it: a torn write at a crash is lawful and is dropped
//! when it is opened. So the last number that is known to be durable is kept outside, and compared at the next
//! start. The note itself is not synced: after a power failure it may be an older one, which asks for less; it never
//! asks for more than was durable.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use super::database::sync_dir;

/// The number and its CRC-32C, big-endian.
const BYTES: usize = 12;

/// The file with the number.
#[derive(Debug)]
pub struct Mark {
    file: File,
}

impl Mark {
    /// Opens the file `path`, or makes it; answers what was noted last, 0 for nothing. A damaged one is an error of
    /// kind `InvalidData`.
    pub fn open(path: &Path) -> io::Result<(Self, u64)> {
        if path.exists() {
            let bytes = std::fs::read(path)?;
            let noted = read(&bytes)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("{} is damaged", path.display())))?;
            return Ok((Self { file: File::options().write(true).open(path)? }, noted));
        }
        let fresh = path.with_extension("new");
        let mark = Self { file: File::create(&fresh)? };
        mark.note(0)?;
        mark.file.sync_all()?;
        std::fs::rename(&fresh, path)?;
        sync_dir(path.parent().unwrap_or(Path::new(".")))?;
        Ok((mark, 0))
    }

    /// Notes that everything up to `number` is durable.
    pub fn note(&self, number: u64) -> io::Result<()> {
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&number.to_be_bytes());
        bytes[8..].copy_from_slice(&crc32c::crc32c(&number.to_be_bytes()).to_be_bytes());
        self.file.write_all_at(&bytes, 0)
    }
}

fn read(bytes: &[u8]) -> Option<u64> {
    let (number, sum) = bytes.split_at_checked(8)?;
    (crc32c::crc32c(number).to_be_bytes() == sum).then(|| number.try_into().ok().map(u64::from_be_bytes))?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_kept_and_damage_is_found() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("synced");
        let (mark, noted) = Mark::open(&path).unwrap();
        assert_eq!(noted, 0);
        mark.note(7).unwrap();
        mark.note(u64::MAX - 1).unwrap();
        assert_eq!(Mark::open(&path).unwrap().1, u64::MAX - 1);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, bytes).unwrap();
            assert_eq!(Mark::open(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(Mark::open(&path).is_err());
        }
    }
}
