//! What a node has to give.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use proto::resource::Quantity;

/// A node's resources.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Capacity {
    pub cpu_millis: i64,
    pub memory_bytes: i64,
    pub storage_bytes: i64,
    pub pods: u32,
}

impl Capacity {
    /// This machine, as it is; storage is that of the data directory's file system.
    pub fn of_this_machine(data: &Path, pods: u32) -> io::Result<Capacity> {
        let meminfo = fs::read_to_string("/proc/meminfo")?;
        let cpus = std::thread::available_parallelism()?.get();
        Ok(Capacity {
            cpu_millis: i64::try_from(cpus).unwrap_or(1) * 1000,
            memory_bytes: total_memory(&meminfo)
                .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/meminfo has no MemTotal"))?,
            storage_bytes: file_system_bytes(data)?,
            pods,
        })
    }

    /// Of a simulated node: roomy, so that Pods per node are the only limit.
    pub fn simulated(pods: u32) -> Capacity {
        Capacity { cpu_millis: 64_000, memory_bytes: 256 << 30, storage_bytes: 1 << 40, pods }
    }

    /// As a node's status lists it.
    pub fn quantities(&self) -> BTreeMap<String, Quantity> {
        let cpu = if self.cpu_millis % 1000 == 0 {
            (self.cpu_millis / 1000).to_string()
        } else {
            format!("{}m", self.cpu_millis)
        };
        [
            ("cpu", cpu),
            ("memory", format!("{}Ki", self.memory_bytes >> 10)),
            ("ephemeral-storage", format!("{}Ki", self.storage_bytes >> 10)),
            ("pods", self.pods.to_string()),
        ]
        .map(|(name, text)| (name.to_owned(), Quantity { string: text }))
        .into()
    }
}

fn total_memory(meminfo: &str) -> Option<i64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: i64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

fn file_system_bytes(path: &Path) -> io::Result<i64> {
    let name = std::ffi::CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: an all-zero statvfs is valid; the path is a C string.
    let (result, stat) = unsafe {
        let mut stat: libc::statvfs = std::mem::zeroed();
        (libc::statvfs(name.as_ptr(), &mut stat), stat)
    };
    if result != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i64::try_from(stat.f_blocks.saturating_mul(stat.f_frsize)).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_something_to_give() {
        let capacity = Capacity::of_this_machine(Path::new("/"), 110).unwrap();
        assert!(capacity.cpu_millis >= 1000 && capacity.memory_bytes > 64 << 20 && capacity.storage_bytes > 0);
        assert_eq!(total_memory("MemFree: 1 kB\nMemTotal:       24105 kB\n"), Some(24105 << 10));
        assert_eq!(capacity.quantities()["pods"].string, "110");
    }
}
