//! What the container prints, kept as lines in the CRI format:
//!
//! ```text
//! 2026-11-24T20:33:16.123456789Z stdout F a whole line
//! 2026-11-24T20:33:16.123456790Z stderr P the first 16 KiB of a longer one ...
//! ```
//!
//! in files `output.0`, `output.1`, ...: when one is full the next is begun and the oldest removed, so a
//! reader that holds a number never sees a file change under it, and the size on disk is bounded.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;

use crate::clock;

/// Longest text of one stored line; a longer line is stored in parts marked `P`, the last `F`.
pub const LINE_BYTES_MAX: usize = 16 * 1024;

/// One of the container's two streams, and the line it is in the middle of.
pub struct Stream {
    name: &'static str,
    partial: Vec<u8>,
}

impl Stream {
    pub fn new(name: &'static str) -> Stream {
        Stream { name, partial: Vec::new() }
    }

    /// Takes what was read and appends every line that is now complete to `out`.
    pub fn feed(&mut self, mut bytes: &[u8], wall_ns: i128, out: &mut Vec<u8>) {
        while let Some(end) = bytes.iter().position(|byte| *byte == b'\n') {
            self.fill(&bytes[..end], wall_ns, out);
            self.emit(b"F", wall_ns, out);
            bytes = &bytes[end + 1..];
        }
        self.fill(bytes, wall_ns, out);
    }

    /// At the stream's end: a last line without a line break is stored as a part, so that a reader
    /// adds none either.
    pub fn finish(&mut self, wall_ns: i128, out: &mut Vec<u8>) {
        if !self.partial.is_empty() {
            self.emit(b"P", wall_ns, out);
        }
    }

    fn fill(&mut self, mut bytes: &[u8], wall_ns: i128, out: &mut Vec<u8>) {
        while self.partial.len() + bytes.len() > LINE_BYTES_MAX {
            let (fits, rest) = bytes.split_at(LINE_BYTES_MAX - self.partial.len());
            self.partial.extend_from_slice(fits);
            self.emit(b"P", wall_ns, out);
            bytes = rest;
        }
        self.partial.extend_from_slice(bytes);
    }

    fn emit(&mut self, tag: &[u8], wall_ns: i128, out: &mut Vec<u8>) {
        clock::write_rfc3339(out, wall_ns);
        for part in [b" ", self.name.as_bytes(), b" ", tag, b" ", &self.partial, b"\n"] {
            out.extend_from_slice(part);
        }
        self.partial.clear();
    }
}

/// The files of one container start.
pub struct Files {
    dir: PathBuf,
    current: File,
    number: u64,
    size: u64,
    bytes_max: u64,
    files_max: u64,
    /// What could not be written, on a full disk say: the container must not stand still for it.
    pub lost_bytes: u64,
}

impl Files {
    pub fn create(dir: PathBuf, bytes_max: u64, files_max: u64) -> io::Result<Files> {
        let current = open(&dir, 0)?;
        Ok(Files { dir, current, number: 0, size: 0, bytes_max, files_max: files_max.max(1), lost_bytes: 0 })
    }

    /// Appends whole lines.
    pub fn append(&mut self, lines: &[u8]) {
        let length = lines.len() as u64;
        if self.size > 0 && self.size + length > self.bytes_max && self.rotate().is_err() {
            self.lost_bytes += length;
            return;
        }
        match self.current.write_all(lines) {
            Ok(()) => self.size += length,
            Err(_) => self.lost_bytes += length,
        }
    }

    /// Before the exit is told: its output survives what its exit code survives.
    pub fn sync(&self) -> io::Result<()> {
        self.current.sync_data()
    }

    fn rotate(&mut self) -> io::Result<()> {
        let next = open(&self.dir, self.number + 1)?;
        self.current = next;
        self.number += 1;
        self.size = 0;
        if let Some(oldest) = self.number.checked_sub(self.files_max) {
            match fs::remove_file(self.dir.join(format!("output.{oldest}"))) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

fn open(dir: &std::path::Path, number: u64) -> io::Result<File> {
    OpenOptions::new().create(true).append(true).open(dir.join(format!("output.{number}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(stream: &mut Stream, input: &[&[u8]]) -> String {
        let mut out = Vec::new();
        for bytes in input {
            stream.feed(bytes, 0, &mut out);
        }
        stream.finish(0, &mut out);
        String::from_utf8(out).unwrap().replace("1970-01-01T00:00:00.000000000Z ", "")
    }

    #[test]
    fn lines_are_cut_at_line_breaks_only() {
        let mut stream = Stream::new("stdout");
        assert_eq!(lines(&mut stream, &[b"a\nb", b"c\n\nd"]), "stdout F a\nstdout F bc\nstdout F \nstdout P d\n");
    }

    #[test]
    fn a_long_line_comes_in_parts_and_is_whole_again() {
        let mut stream = Stream::new("stderr");
        let long = vec![b'x'; LINE_BYTES_MAX * 2 + 5];
        let out = lines(&mut stream, &[&long, b"\n"]);
        let sizes: Vec<(usize, bool)> =
            out.lines().map(|line| (line.len() - "stderr F ".len(), line.contains(" P "))).collect();
        assert_eq!(sizes, [(LINE_BYTES_MAX, true), (LINE_BYTES_MAX, true), (5, false)]);
    }

    #[test]
    fn old_files_go_and_none_grows_past_its_bound() {
        let dir = std::env::temp_dir().join(format!("raftsman-output-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        let mut files = Files::create(dir.clone(), 100, 3).unwrap();
        for _ in 0..40 {
            files.append(&[b'x'; 30]);
        }
        let mut names: Vec<_> = fs::read_dir(&dir)
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert!(entry.metadata().unwrap().len() <= 100);
                entry.file_name().into_string().unwrap()
            })
            .collect();
        names.sort();
        assert_eq!(names, ["output.11", "output.12", "output.13"]);
        fs::remove_dir_all(&dir).unwrap();
    }
}
