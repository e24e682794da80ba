//! What to run: read from the file `spec`, which holds `key=value` fields, each ended by a NUL
//! byte (a NUL can stand neither in an argument, a variable nor a path, everything else can).

use std::ffi::CString;
use std::path::PathBuf;

use crate::fence::Fence;

/// A container, as the agent has fully worked it out: nothing is expanded or defaulted here.
#[derive(Debug, Default, PartialEq)]
pub struct Spec {
    /// Program and arguments; never empty.
    pub args: Vec<CString>,
    /// The whole environment, `NAME=value`.
    pub env: Vec<CString>,
    pub cwd: CString,
    /// The root filesystem to change into; none: the host's own.
    pub root: Option<CString>,
    pub uid: Option<u32>,
    pub gid: Option<u32>,
    /// Supplementary groups; applied when `gid` is given.
    pub groups: Vec<u32>,
    pub output_bytes_max: u64,
    pub output_files_max: u64,
    /// Between SIGTERM and SIGKILL when the shim itself is asked to end.
    pub grace_ms: u64,
    /// The file in which the agent keeps the boot-clock time of the node's last renewed lease, and
    /// how long after it this container must be over; none: it may run for ever alone.
    pub fence: Option<Fence>,
}

const OUTPUT_BYTES_MAX: u64 = 10 * 1024 * 1024;
const OUTPUT_FILES_MAX: u64 = 5;
const GRACE_MS: u64 = 30_000;

impl Spec {
    /// Errors are one line that names the field.
    pub fn parse(bytes: &[u8]) -> Result<Spec, String> {
        let mut spec = Spec {
            cwd: CString::from(c"/"),
            output_bytes_max: OUTPUT_BYTES_MAX,
            output_files_max: OUTPUT_FILES_MAX,
            grace_ms: GRACE_MS,
            ..Spec::default()
        };
        let mut lease = None;
        let mut fence_after_ms = None;
        let mut tenure = None;
        for field in bytes.split(|byte| *byte == 0).filter(|field| !field.is_empty()) {
            let equals = field
                .iter()
                .position(|byte| *byte == b'=')
                .ok_or_else(|| format!("spec: no '=' in {:?}", String::from_utf8_lossy(field)))?;
            let (key, value) = (&field[..equals], &field[equals + 1..]);
            match key {
                b"arg" => spec.args.push(text(value)),
                b"env" => spec.env.push(text(value)),
                b"cwd" => spec.cwd = text(value),
                b"root" => spec.root = Some(text(value)),
                b"uid" => spec.uid = Some(number("uid", value)?),
                b"gid" => spec.gid = Some(number("gid", value)?),
                b"group" => spec.groups.push(number("group", value)?),
                b"output_bytes_max" => spec.output_bytes_max = number("output_bytes_max", value)?,
                b"output_files_max" => spec.output_files_max = number("output_files_max", value)?,
                b"grace_ms" => spec.grace_ms = number("grace_ms", value)?,
                b"lease" => lease = Some(PathBuf::from(String::from_utf8_lossy(value).as_ref())),
                b"fence_after_ms" => fence_after_ms = Some(number("fence_after_ms", value)?),
                b"tenure" => tenure = Some(number("tenure", value)?),
                _ => {
                    return Err(format!("spec: unknown field {:?}", String::from_utf8_lossy(key)));
                }
            }
        }
        if spec.args.is_empty() {
            return Err("spec: no arg".to_owned());
        }
        spec.fence = lease.zip(fence_after_ms).map(|(lease, after_ms)| Fence { lease, after_ms, tenure });
        Ok(spec)
    }

    /// The value of a variable of the container's own environment.
    pub fn variable(&self, name: &str) -> Option<&[u8]> {
        self.env.iter().rev().find_map(|entry| entry.to_bytes().strip_prefix(name.as_bytes())?.strip_prefix(b"="))
    }
}

fn text(value: &[u8]) -> CString {
    CString::new(value).expect("fields were split at NUL")
}

fn number<N: std::str::FromStr>(key: &str, value: &[u8]) -> Result<N, String> {
    let text = String::from_utf8_lossy(value);
    text.parse().map_err(|_| format!("spec: {key} is no number: {text:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_hold_line_breaks_and_equal_signs() {
        let spec = Spec::parse(b"arg=sh\0arg=-c\0arg=a=b\nc\0env=A=1=2\0uid=7\0").unwrap();
        assert_eq!(spec.args[2].to_bytes(), b"a=b\nc");
        assert_eq!(spec.variable("A"), Some(b"1=2".as_slice()));
        assert_eq!((spec.uid, spec.gid, spec.root), (Some(7), None, None));
        assert_eq!(spec.cwd.to_bytes(), b"/");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_by_name() {
        for (bytes, error) in [
            (b"cwd=/\0".as_slice(), "spec: no arg"),
            (b"arg=a\0uid=x\0", "spec: uid is no number: \"x\""),
            (b"arg=a\0colour=red\0", "spec: unknown field \"colour\""),
            (b"arg\0", "spec: no '=' in \"arg\""),
        ] {
            assert_eq!(Spec::parse(bytes).unwrap_err(), error);
        }
    }

    #[test]
    fn a_fence_needs_both_halves() {
        assert_eq!(Spec::parse(b"arg=a\0lease=/l\0").unwrap().fence, None);
        let fence = Spec::parse(b"arg=a\0lease=/l\0fence_after_ms=300000\0").unwrap().fence;
        assert_eq!(fence, Some(Fence { lease: "/l".into(), after_ms: 300_000, tenure: None }));
        let fence = Spec::parse(b"arg=a\0lease=/l\0fence_after_ms=300000\0tenure=7\0").unwrap().fence;
        assert_eq!(fence.unwrap().tenure, Some(7));
    }
}
