//! Reads the output files of one start of a container, oldest first, to their end or for as long as the container runs.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lines::{Formatter, Line, Selection};

/// A follower looks this often; a person does not notice it.
const POLL: Duration = Duration::from_millis(100);
const READ_BYTES: usize = 64 * 1024;

/// What a reader asked for.
#[derive(Clone, Debug, Default)]
pub struct Request {
    pub selection: Selection,
    /// Only the last lines.
    pub tail: Option<usize>,
    /// Until the container has ended.
    pub follow: bool,
}

/// A place in the files.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Place {
    file: u64,
    offset: u64,
}

/// An open read.
pub struct Reader {
    dir: PathBuf,
    follow: bool,
    formatter: Formatter,
    place: Place,
    file: Option<File>,
    /// Bytes of a stored line whose end has not been read.
    rest: Vec<u8>,
    done: bool,
}

impl Reader {
    pub fn open(dir: PathBuf, request: Request) -> io::Result<Reader> {
        let first = numbers(&dir)?.first().copied().unwrap_or(0);
        let place = match request.tail {
            Some(count) => tail(&dir, count)?,
            None => Place { file: first, offset: 0 },
        };
        let formatter = Formatter::new(request.selection);
        Ok(Reader { dir, follow: request.follow, formatter, place, file: None, rest: Vec::new(), done: false })
    }

    /// The next bytes, never none; `None`: the end.
    pub async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut out = Vec::new();
        while !self.done {
            // Before reading: what was written before the exit is read after it was seen.
            let ended = self.dir.join("exit").exists() || !self.dir.join("output.0").exists() && !self.dir.exists();
            let progressed = self.read(&mut out)?;
            if !out.is_empty() {
                return Ok(Some(out));
            }
            if progressed {
                continue;
            }
            if ended || !self.follow {
                self.done = true;
            } else {
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(None)
    }

    /// Reads once; false: nothing more is there now.
    fn read(&mut self, out: &mut Vec<u8>) -> io::Result<bool> {
        let Some(file) = self.current()? else { return Ok(false) };
        let mut bytes = vec![0; READ_BYTES];
        let length = file.read(&mut bytes)?;
        if length == 0 {
            return self.next_file();
        }
        self.place.offset += length as u64;
        self.rest.extend_from_slice(&bytes[..length]);
        let mut begin = 0;
        while let Some(end) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            if !self.formatter.format(&self.rest[begin..begin + end], out) {
                self.done = true;
                return Ok(true);
            }
            begin += end + 1;
        }
        self.rest.drain(..begin);
        Ok(true)
    }

    fn current(&mut self) -> io::Result<Option<&mut File>> {
        if self.file.is_none() {
            match File::open(path(&self.dir, self.place.file)) {
                Ok(mut file) => {
                    file.seek(SeekFrom::Start(self.place.offset))?;
                    self.file = Some(file);
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            }
        }
        Ok(self.file.as_mut())
    }

    /// At a file's end: goes on to the next one, of which the first byte is written after this one's last.
    fn next_file(&mut self) -> io::Result<bool> {
        let Some(next) = numbers(&self.dir)?.into_iter().find(|number| *number > self.place.file) else {
            return Ok(false);
        };
        if let Some(file) = &mut self.file {
            // The last lines may have come between the read and the rotation.
            if file.metadata()?.len() > self.place.offset {
                return Ok(true);
            }
        }
        self.place = Place { file: next, offset: 0 };
        self.file = None;
        Ok(true)
    }
}

/// The numbers of the output files, ascending.
fn numbers(dir: &Path) -> io::Result<Vec<u64>> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut numbers: Vec<u64> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_prefix("output.")?.parse().ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

fn path(dir: &Path, number: u64) -> PathBuf {
    dir.join(format!("output.{number}"))
}

/// Where the last `count` lines begin. A line in parts is one.
fn tail(dir: &Path, count: usize) -> io::Result<Place> {
    let mut begins: VecDeque<Place> = VecDeque::with_capacity(count.min(4096) + 1);
    let mut end = Place::default();
    let mut in_line = false;
    for number in numbers(dir)? {
        let bytes = fs::read(path(dir, number))?;
        let mut place = Place { file: number, offset: 0 };
        for stored in bytes.split_inclusive(|byte| *byte == b'\n') {
            if !in_line {
                begins.push_back(place);
                if begins.len() > count {
                    begins.pop_front();
                }
            }
            in_line = Line::parse(stored).is_some_and(|line| !line.is_full);
            place.offset += stored.len() as u64;
        }
        end = place;
    }
    Ok(begins.front().copied().unwrap_or(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str, files: &[(u64, &[&str])]) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("raftsman-read-{}-{name}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (number, lines) in files {
            let text: String =
                lines.iter().map(|line| format!("2026-11-24T20:00:00.000000000Z stdout {line}\n")).collect();
            fs::write(path(&dir, *number), text).unwrap();
        }
        dir
    }

    async fn all(dir: &Path, tail: Option<usize>, follow: bool) -> String {
        let mut reader = Reader::open(dir.to_owned(), Request { tail, follow, ..Request::default() }).unwrap();
        let mut text = Vec::new();
        while let Some(bytes) = reader.next().await.unwrap() {
            text.extend(bytes);
        }
        String::from_utf8(text).unwrap()
    }

    #[tokio::test]
    async fn files_are_read_in_order_and_from_the_tail() {
        let dir = folder("order", &[(9, &["F a", "P b"]), (10, &["F c", "F d"])]);
        assert_eq!(all(&dir, None, false).await, "a\nbc\nd\n");
        assert_eq!(all(&dir, Some(2), false).await, "bc\nd\n");
        assert_eq!(all(&dir, Some(1), false).await, "d\n");
        assert_eq!(all(&dir, Some(0), false).await, "");
        assert_eq!(all(&dir, Some(99), false).await, "a\nbc\nd\n");
        fs::remove_dir_all(&dir).unwrap();
    }

    #[tokio::test]
    async fn a_follower_reads_over_rotations_to_the_exit() {
        let dir = folder("follow", &[(0, &["F a"])]);
        let follower = tokio::spawn({
            let dir = dir.clone();
            async move { all(&dir, None, true).await }
        });
        tokio::time::sleep(POLL * 2).await;
        folder("follow", &[(1, &["F b"])]);
        tokio::time::sleep(POLL * 2).await;
        folder("follow", &[(2, &["F c"])]);
        fs::write(dir.join("exit"), "").unwrap();
        assert_eq!(follower.await.unwrap(), "a\nb\nc\n");
        fs::remove_dir_all(&dir).unwrap();
    }
}
