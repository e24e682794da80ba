//! Commit, the one write path (design D2): groups of writes, each atomic by itself, all in one revision.
//!
//! ```text
//!  groups          Commits (one store transaction each)
//!  g1 [40 ops] \
//!  g2 [99 ops]  >  CommitRequest { g1 g2 g3 }     group count + the largest group's operations stay below etcd's
//!  g3 [ 3 ops] /                                  128 a Txn, and the bytes below 1 MiB
//!  g4 [99 ops] --  CommitRequest { g4 .. }
//! ```
//!
//! A group is never split: it is what is atomic. The answers come back in the order of the groups that were given.

use prost::Message;
use proto::meta_v1::{DeleteOptions, ObjectMeta, Status};
pub use proto::raftsman_v1::Fence;
use proto::raftsman_v1::write::Op;
use proto::raftsman_v1::{self as wire, CommitRequest, CommitResponse, MetadataWrite};

use api::kind::KindInfo;

use crate::client::Client;
use crate::error::Error;
use crate::object::Storable;
use crate::resource::Resource;

/// Writes and preconditions of one group together.
pub const GROUP_OPS_MAX: usize = 99;
/// Groups of one Commit.
pub const COMMIT_GROUPS_MAX: usize = 28;
/// Bytes of one Commit, as encoded; a single write may be larger.
pub const COMMIT_BYTES_MAX: usize = 1 << 20;

/// One write of one object. Its precondition is the resourceVersion in the object's metadata, where there is one.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    kind: &'static KindInfo,
    op: Op,
}

impl Write {
    pub fn create<K: Storable>(object: K) -> Write {
        Write { kind: K::INFO, op: Op::Create(object.into_object()) }
    }

    /// Everything but the status.
    pub fn update<K: Storable>(object: K) -> Write {
        Write { kind: K::INFO, op: Op::Update(object.into_object()) }
    }

    /// The status.
    pub fn update_status<K: Storable>(object: K) -> Write {
        Write { kind: K::INFO, op: Op::UpdateStatus(object.into_object()) }
    }

    /// Metadata and status, not the spec.
    pub fn update_all<K: Storable>(object: K) -> Write {
        Write { kind: K::INFO, op: Op::UpdateAll(object.into_object()) }
    }

    /// Deletes by name; preconditions lie in the options.
    pub fn delete<K: Resource>(namespace: &str, name: &str, options: DeleteOptions) -> Write {
        let delete = wire::Delete {
            resource: K::INFO.group_resource(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            options: Some(options),
        };
        Write { kind: K::INFO, op: Op::Delete(delete) }
    }

    /// Removes finalizers without sending the object. Of the metadata, namespace, name, uid and resourceVersion are used.
    pub fn release<K: Resource>(seen: &ObjectMeta, finalizers: &[&str]) -> Write {
        let remove_finalizers = finalizers.iter().map(|finalizer| (*finalizer).to_owned()).collect();
        Self::metadata::<K>(seen, MetadataWrite { remove_finalizers, ..Default::default() })
    }

    /// Removes the owner references with these uids, without sending the object.
    pub fn disown<K: Resource>(seen: &ObjectMeta, owner_uids: Vec<String>) -> Write {
        Self::metadata::<K>(seen, MetadataWrite { remove_owner_uids: owner_uids, ..Default::default() })
    }

    fn metadata<K: Resource>(seen: &ObjectMeta, change: MetadataWrite) -> Write {
        let write = MetadataWrite {
            resource: K::INFO.group_resource(),
            namespace: seen.namespace.clone(),
            name: seen.name.clone(),
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
            ..change
        };
        Write { kind: K::INFO, op: Op::Metadata(write) }
    }

    /// Assigns a Pod to a node, once. Of the metadata, namespace, name, uid and resourceVersion are used.
    pub fn bind<K: Resource>(pod: &ObjectMeta, node: &str) -> Write {
        let bind = wire::Bind {
            namespace: pod.namespace.clone(),
            name: pod.name.clone(),
            uid: pod.uid.clone(),
            resource_version: pod.resource_version.clone(),
            node: node.to_owned(),
        };
        Write { kind: K::INFO, op: Op::Bind(bind) }
    }

    /// The kind that is written.
    pub fn kind(&self) -> &'static KindInfo {
        self.kind
    }

    /// Whether it makes a new object.
    pub fn is_create(&self) -> bool {
        matches!(self.op, Op::Create(_))
    }

    /// Bytes that it takes in a Commit.
    pub fn encoded_len(&self) -> usize {
        self.op.encoded_len()
    }

    /// What is written.
    pub fn op(&self) -> &Op {
        &self.op
    }
}

/// A condition on an object that the group does not write.
#[derive(Clone, Debug, PartialEq)]
pub struct Precondition(wire::Precondition);

impl Precondition {
    /// The object is as it was seen (uid and resourceVersion, those that are given).
    pub fn seen<K: Resource>(seen: &ObjectMeta) -> Precondition {
        Precondition(wire::Precondition {
            resource: K::INFO.group_resource(),
            namespace: seen.namespace.clone(),
            name: seen.name.clone(),
            uid: seen.uid.clone(),
            resource_version: seen.resource_version.clone(),
        })
    }

    /// There is no object of that name.
    pub fn absent<K: Resource>(namespace: &str, name: &str) -> Precondition {
        Precondition(wire::Precondition {
            resource: K::INFO.group_resource(),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Default::default()
        })
    }
}

/// Writes that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Group {
    pub writes: Vec<Write>,
    pub preconditions: Vec<Precondition>,
    /// The leader's claim; the store refuses the group when it is no longer held.
    pub fence: Option<Fence>,
}

/// What became of one group.
#[derive(Clone, Debug)]
pub enum GroupResult {
    /// All writes are stored, at this revision.
    Committed { revision: i64 },
    /// Nothing of it is stored. `failed` is the index of the write, or of the precondition after the writes, at fault.
    Refused { status: Box<Status>, failed: Option<usize> },
    /// The answer was lost: look again.
    Unknown { error: String },
}

impl GroupResult {
    /// Somebody else wrote first: look again.
    pub fn is_conflict(&self) -> bool {
        matches!(self, GroupResult::Refused { status, .. }
            if matches!(status.reason.as_str(), "Conflict" | "AlreadyExists" | "NotFound"))
    }
}

impl Client {
    /// Commits the groups, in as few Commits as the limits allow, and answers for each of them, in order.
    ///
    /// Fails as a whole only when a group breaks a limit; when a server can't be reached its groups are
    /// [`GroupResult::Unknown`].
    pub async fn commit(&self, groups: Vec<Group>) -> Result<Vec<GroupResult>, Error> {
        let groups: Vec<wire::Group> = groups.into_iter().map(encode).collect::<Result<_, _>>()?;
        let mut results = Vec::with_capacity(groups.len());
        for groups in split(groups) {
            let count = groups.len();
            let request = CommitRequest { groups, ..Default::default() };
            let path = http::uri::PathAndQuery::from_static("/raftsman.v1.CommitService/Commit");
            let server = self.server().clone();
            match self.call::<_, CommitResponse>(path, request).await {
                Ok(answer) if answer.groups.len() == count => {
                    if answer.groups.iter().any(|group| group.error.as_ref().is_some_and(is_stores_fault)) {
                        self.move_on(&server);
                    }
                    results.extend(answer.groups.into_iter().map(|result| decode(result, answer.revision)));
                }
                Ok(answer) => {
                    let error = format!("{count} groups were sent, {} answered", answer.groups.len());
                    results.extend((0..count).map(|_| GroupResult::Unknown { error: error.clone() }));
                }
                Err(Error::Api { status }) if !is_stores_fault(&status) => {
                    results.extend((0..count).map(|_| GroupResult::Refused { status: status.clone(), failed: None }));
                }
                Err(error) => {
                    let error = error.to_string();
                    results.extend((0..count).map(|_| GroupResult::Unknown { error: error.clone() }));
                }
            }
        }
        Ok(results)
    }
}

fn encode(group: Group) -> Result<wire::Group, Error> {
    let ops = group.writes.len() + group.preconditions.len();
    if ops > GROUP_OPS_MAX {
        return Err(Error::Limit(format!(
            "a group of {ops} writes and preconditions; at most {GROUP_OPS_MAX} are atomic"
        )));
    }
    Ok(wire::Group {
        writes: group.writes.into_iter().map(|write| wire::Write { op: Some(write.op) }).collect(),
        preconditions: group.preconditions.into_iter().map(|precondition| precondition.0).collect(),
        fence: group.fence,
    })
}

fn decode(result: wire::GroupResult, revision: i64) -> GroupResult {
    match result.error {
        None => GroupResult::Committed { revision },
        Some(status) if is_stores_fault(&status) => GroupResult::Unknown { error: status.message },
        Some(status) => {
            GroupResult::Refused { status: Box::new(status), failed: usize::try_from(result.failed_index).ok() }
        }
    }
}

/// The API server has no answer of its store, which may have taken the writes all the same.
pub(crate) fn is_stores_fault(status: &Status) -> bool {
    matches!(status.code, 503 | 504)
}

/// Cuts a list of groups into Commits, each within the limits, keeping the order.
fn split(groups: Vec<wire::Group>) -> Vec<Vec<wire::Group>> {
    let mut commits: Vec<Vec<wire::Group>> = Vec::new();
    let mut bytes = 0;
    for group in groups {
        let size = group.encoded_len();
        match commits.last_mut() {
            Some(commit) if commit.len() < COMMIT_GROUPS_MAX && bytes + size <= COMMIT_BYTES_MAX => {
                commit.push(group);
                bytes += size;
            }
            _ => {
                commits.push(vec![group]);
                bytes = size;
            }
        }
    }
    commits
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn group(bytes: usize) -> wire::Group {
        let annotations = BTreeMap::from([("a".to_owned(), "x".repeat(bytes))]);
        let write = MetadataWrite { annotations, ..Default::default() };
        wire::Group { writes: vec![wire::Write { op: Some(Op::Metadata(write)) }], ..Default::default() }
    }

    fn sizes(commits: &[Vec<wire::Group>]) -> Vec<usize> {
        commits.iter().map(Vec::len).collect()
    }

    #[test]
    fn splits_by_count_and_by_bytes() {
        assert_eq!(sizes(&split((0..60).map(|_| group(1)).collect())), [28, 28, 4]);
        assert_eq!(sizes(&split((0..5).map(|_| group(400_000)).collect())), [2, 2, 1]);
        assert_eq!(sizes(&split(vec![group(1), group(3_000_000), group(1)])), [1, 1, 1]);
        assert!(split(Vec::new()).is_empty());
    }

    #[test]
    fn an_answer_that_the_store_did_not_give_is_none() {
        let failed = |code| {
            let status = Status { code, message: "etcdserver: leader changed".into(), ..Default::default() };
            decode(wire::GroupResult { error: Some(status), ..Default::default() }, 0)
        };
        assert!(matches!(failed(503), GroupResult::Unknown { .. }));
        assert!(matches!(failed(504), GroupResult::Unknown { .. }));
        assert!(matches!(failed(409), GroupResult::Refused { .. }));
    }

    #[test]
    fn refuses_a_group_that_cannot_be_atomic() {
        let meta = ObjectMeta::default();
        let writes = (0..100).map(|_| Write::release::<proto::core_v1::Pod>(&meta, &["x"])).collect();
        let error = encode(Group { writes, ..Default::default() }).unwrap_err().to_string();
        assert!(error.contains("100 writes"), "{error}");
    }
}
