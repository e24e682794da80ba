//! The peak memory of the server that a URL names, where it runs on this machine.
//!
//! `/proc` tells which socket listens on the port and which process holds that socket, so the figure is
//! the right process's, whatever else runs here.

use std::fs;
use std::path::Path;

/// Peak resident memory (VmHWM) in bytes of the process that listens on the URL's port; None where it is elsewhere.
pub fn peak_of_server(url: &str) -> Option<u64> {
    let port = url.trim_end_matches('/').rsplit(':').next()?.parse().ok()?;
    let inode = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .find_map(|table| listening_inode(&fs::read_to_string(table).ok()?, port))?;
    let pid = holder_of(inode)?;
    peak(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?)
}

/// The inode of the socket that listens on `port`, in the form of `/proc/net/tcp`.
fn listening_inode(table: &str, port: u16) -> Option<u64> {
    const LISTEN: &str = "0A";
    table.lines().skip(1).find_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let local = fields.get(1)?.rsplit(':').next()?;
        let matches = u16::from_str_radix(local, 16).ok()? == port && *fields.get(3)? == LISTEN;
        matches.then(|| fields.get(9)?.parse().ok()).flatten()
    })
}

/// The process that has this socket open.
fn holder_of(inode: u64) -> Option<u32> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    processes.flatten().find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let mut open = fs::read_dir(process.path().join("fd")).ok()?.flatten();
        open.any(|file| fs::read_link(file.path()).is_ok_and(|target| target == Path::new(&wanted))).then_some(pid)
    })
}

fn peak(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_by_its_port() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = peak_of_server(&format!("https://127.0.0.1:{port}")).unwrap();
        assert!(found > 100_000);
        drop(listener);
        assert_eq!(peak_of_server(&format!("https://127.0.0.1:{port}")), None);
    }
}
