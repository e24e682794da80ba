//! The container's deadline (design D7): its node's lease must have been renewed not too long ago.
//!
//! The agent writes the file `lease`, one line `SENT BOOT TENURE SENT TENURE`, after each renewal that the control plane has
//! committed: when its request was sent, on the boot clock; which boot that is; and which row of closely following renewals it
//! belongs to. The line is overwritten in place, so the numbers stand in it twice: where they differ it was read half-written.
//! The shim reads it, and needs no agent to end its container.

use std::fs;
use std::path::PathBuf;

const NS_PER_MS: u64 = 1_000_000;

/// What the shim holds its container to.
#[derive(Clone, Debug, PartialEq)]
pub struct Fence {
    pub lease: PathBuf,
    /// After a renewal.
    pub after_ms: u64,
    /// The row of renewals in which the agent decided on this start; none: any.
    pub tenure: Option<u64>,
}

/// What the file says.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Renewal {
    sent_ns: u64,
    tenure: u64,
}

impl Renewal {
    /// None: it says nothing that can be understood.
    fn parse(text: &str) -> Option<Renewal> {
        let mut fields = text.split_ascii_whitespace();
        let sent_ns = fields.next()?.parse().ok()?;
        let renewal = Renewal { sent_ns, tenure: fields.nth(1).and_then(|tenure| tenure.parse().ok()).unwrap_or(0) };
        // An agent of before writes them once, and never in place.
        let Some(sent_again) = fields.next() else { return Some(renewal) };
        let again = Renewal { sent_ns: sent_again.parse().ok()?, tenure: fields.next()?.parse().ok()? };
        (renewal == again).then_some(renewal)
    }
}

/// A fence with the last renewal that could be read.
pub struct Deadline<'a> {
    fence: &'a Fence,
    renewal: Renewal,
}

impl<'a> Deadline<'a> {
    pub fn new(fence: &'a Fence) -> Deadline<'a> {
        Deadline { fence, renewal: Renewal::default() }
    }

    /// When the container must be over, on the boot clock. What can't be read changes nothing: it can neither prolong a life
    /// nor cut it short.
    pub fn at(&mut self) -> u64 {
        if let Some(renewal) = fs::read_to_string(&self.fence.lease).ok().and_then(|text| Renewal::parse(&text)) {
            self.renewal = renewal;
        }
        self.renewal.sent_ns.saturating_add(self.fence.after_ms.saturating_mul(NS_PER_MS))
    }

    /// Whether the container may begin now; the error says why not.
    pub fn permits_start(&mut self, now_ns: u64) -> Result<(), String> {
        if now_ns >= self.at() {
            return Err(format!(
                "the node's lease was not renewed for {} s, so the container was not started",
                self.fence.after_ms / 1000
            ));
        }
        // Renewals have lapsed since the agent decided, and the control plane may have given the Pod up meanwhile.
        if self.fence.tenure.is_some_and(|tenure| tenure != self.renewal.tenure) {
            return Err("the node was cut off while the container was about to start".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn fence(name: &str, text: &str) -> Fence {
        let lease = std::env::temp_dir().join(format!("raftsman-shim-fence-{}-{name}", std::process::id()));
        fs::write(&lease, text).unwrap();
        Fence { lease, after_ms: 20_000, tenure: Some(7) }
    }

    #[test]
    fn a_renewal_moves_the_deadline_and_rubbish_does_not() {
        let fence = fence("moves", "100000000000 boot 7\n");
        let mut deadline = Deadline::new(&fence);
        assert_eq!(deadline.at(), 120 * S);
        fs::write(&fence.lease, "105000000000 boot 7\n").unwrap();
        assert_eq!(deadline.at(), 125 * S);
        fs::write(&fence.lease, "00000000000105000000000 boot 00007 00000000000105000000000 00007   \n").unwrap();
        assert_eq!(deadline.at(), 125 * S);
        for rubbish in ["", "soon\n", "-5 boot 7\n", "900000000000 boot 7 105000000000 7\n", "900000000000 boot 7 9"] {
            fs::write(&fence.lease, rubbish).unwrap();
            assert_eq!(deadline.at(), 125 * S, "{rubbish:?}");
        }
        fs::remove_file(&fence.lease).unwrap();
        assert_eq!(deadline.at(), 125 * S);
    }

    #[test]
    fn what_was_never_renewed_never_begins() {
        let fence = Fence { lease: "/no/such/lease".into(), after_ms: 20_000, tenure: None };
        assert!(Deadline::new(&fence).permits_start(20 * S).is_err());
    }

    #[test]
    fn a_start_is_refused_after_the_deadline_and_in_another_tenure() {
        let fence = fence("refused", "100000000000 boot 7\n");
        assert_eq!(Deadline::new(&fence).permits_start(119 * S), Ok(()));
        assert!(Deadline::new(&fence).permits_start(120 * S).unwrap_err().contains("not renewed for 20 s"));
        fs::write(&fence.lease, "300000000000 boot 300000000000\n").unwrap();
        assert!(Deadline::new(&fence).permits_start(301 * S).unwrap_err().contains("cut off"));
        fs::remove_file(&fence.lease).unwrap();
    }
}
