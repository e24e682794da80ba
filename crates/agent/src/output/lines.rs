//! The lines of output files, in the CRI format that `crates/shim/src/output.rs` writes, as a reader wants them.

/// One stored line: `TIME STREAM TAG TEXT`.
#[derive(Debug, PartialEq)]
pub struct Line<'a> {
    /// RFC 3339 with nine digits and Z: sorts as text.
    pub time: &'a [u8],
    /// False for a part that the next stored line of its stream goes on with.
    pub is_full: bool,
    pub text: &'a [u8],
}

impl Line<'_> {
    /// `None`: no line of ours (the disk was full, say).
    pub fn parse(bytes: &[u8]) -> Option<Line<'_>> {
        let mut parts = bytes.splitn(4, |byte| *byte == b' ');
        let (time, _stream, tag, text) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        Some(Line { time, is_full: tag == b"F", text })
    }
}

/// What of the output is wanted, line by line.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    pub timestamps: bool,
    /// Lines before it are left out.
    pub since: Option<String>,
    /// What may still be given, in bytes.
    pub limit: Option<u64>,
}

/// Turns stored lines into what a reader gets.
#[derive(Debug)]
pub struct Formatter {
    selection: Selection,
    in_line: bool,
}

impl Formatter {
    pub fn new(selection: Selection) -> Formatter {
        Formatter { selection, in_line: false }
    }

    /// Appends what a stored line (without its line break) gives; false: the limit is reached.
    pub fn format(&mut self, stored: &[u8], out: &mut Vec<u8>) -> bool {
        let Some(line) = Line::parse(stored) else { return true };
        if self.selection.since.as_ref().is_some_and(|since| line.time < since.as_bytes()) {
            return true;
        }
        let from = out.len();
        if self.selection.timestamps && !self.in_line {
            out.extend_from_slice(line.time);
            out.push(b' ');
        }
        out.extend_from_slice(line.text);
        if line.is_full {
            out.push(b'\n');
        }
        self.in_line = !line.is_full;
        let Some(limit) = &mut self.selection.limit else { return true };
        let length = (out.len() - from) as u64;
        if length >= *limit {
            out.truncate(from + usize::try_from(*limit).unwrap_or(usize::MAX));
            *limit = 0;
            return false;
        }
        *limit -= length;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STORED: [&str; 4] = [
        "2026-11-24T20:00:00.000000000Z stdout F one",
        "2026-11-24T20:00:01.000000000Z stderr P tw",
        "2026-11-24T20:00:01.500000000Z stderr F o",
        "2026-11-24T20:00:02.000000000Z stdout P end",
    ];

    fn read(selection: Selection) -> String {
        let mut formatter = Formatter::new(selection);
        let mut out = Vec::new();
        for line in STORED {
            if !formatter.format(line.as_bytes(), &mut out) {
                break;
            }
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn parts_become_lines_again() {
        assert_eq!(read(Selection::default()), "one\ntwo\nend");
        let times = read(Selection { timestamps: true, ..Selection::default() });
        assert_eq!(
            times,
            "2026-11-24T20:00:00.000000000Z one\n2026-11-24T20:00:01.000000000Z two\n2026-11-24T20:00:02.000000000Z end"
        );
    }

    #[test]
    fn since_and_limit_cut() {
        let since = Some("2026-11-24T20:00:01.200000000Z".to_owned());
        assert_eq!(read(Selection { since, ..Selection::default() }), "o\nend");
        assert_eq!(read(Selection { limit: Some(6), ..Selection::default() }), "one\ntw");
        assert_eq!(read(Selection { limit: Some(0), ..Selection::default() }), "");
    }
}
