//! What members say of themselves.

use prost::Message;
use proto::raftsman_store_v1 as pb;

use super::{Disk, Failure, Machine, Reply};
use crate::keys;

impl<D: Disk> Machine<D> {
    /// Takes a member's word about itself. The first directory that speaks for an id keeps it, and of that directory
    /// only the newest start is heard.
    pub(super) fn publish_member(&mut self, publish: &pb::Publish) -> Result<Reply, Failure> {
        let mut group = self.shared.group.write();
        if let Some(known) = group.published.get(&publish.member_id) {
            admit(known, publish)?;
        }
        self.batch.put(&keys::state::member(publish.member_id), publish.encode_to_vec().into());
        group.published.insert(publish.member_id, publish.clone());
        Ok(Reply::Done)
    }
}

fn admit(known: &pb::Publish, new: &pb::Publish) -> Result<(), Failure> {
    // A member that was founded by an earlier version has not said its directory yet.
    if known.directory != 0 && known.directory != new.directory {
        return Err(Failure::OtherDirectory);
    }
    // The same start may speak twice: it may not know that it was heard.
    if new.starts < known.starts || (new.starts == known.starts && new.session != known.session) {
        return Err(Failure::OlderDirectory);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_directorys_and_its_newest_starts() {
        let said = |directory, starts, session| pb::Publish { directory, starts, session, ..Default::default() };
        let known = said(7, 3, 30);
        for (new, answer) in [
            (said(7, 4, 40), Ok(())),
            (said(7, 3, 30), Ok(())),
            (said(7, 3, 31), Err(Failure::OlderDirectory)),
            (said(7, 2, 20), Err(Failure::OlderDirectory)),
            (said(8, 4, 40), Err(Failure::OtherDirectory)),
            (said(0, 4, 40), Err(Failure::OtherDirectory)),
        ] {
            assert_eq!(admit(&known, &new), answer, "{new:?}");
        }
        assert_eq!(admit(&said(0, 0, 0), &said(7, 1, 10)), Ok(()));
        assert_eq!(admit(&said(7, 0, 0), &said(7, 0, 0)), Ok(()), "a member that is taken in twice");
    }
}
