//! What the write path is asked for: one form for single REST and gRPC writes and for the groups of a Commit.

use super::{DeleteOptions, Modify, StatusError, Target};
use crate::object::AnyObject;

/// Which part of an object an update may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// All but the status.
    Main,
    /// The status; labels, annotations and finalizers too where the writer shows the resourceVersion that it saw.
    Status,
    /// A namespace's `spec.finalizers`.
    Finalize,
    /// A Pod's node.
    Binding,
    /// Finalizers, owner references and annotations; the rest is known to be unchanged and not validated again.
    Metadata,
}

impl Part {
    /// The subresource that authorization is asked for.
    pub(crate) fn subresource(self) -> &'static str {
        match self {
            Part::Main | Part::Metadata => "",
            Part::Status => "status",
            Part::Finalize => "finalize",
            Part::Binding => "binding",
        }
    }
}

/// As [`Modify`], owned.
pub type OwnedModify<'a> = Box<dyn Fn(&AnyObject) -> Result<AnyObject, StatusError> + Send + Sync + 'a>;

/// What the new object is made by.
pub enum Change<'a> {
    /// Borrowed from a face's call.
    By(Modify<'a>),
    /// Owned by an entry of a Commit.
    Owned(OwnedModify<'a>),
}

impl Change<'_> {
    pub(crate) fn make(&self, current: &AnyObject) -> Result<AnyObject, StatusError> {
        match self {
            Change::By(modify) => modify(current),
            Change::Owned(modify) => modify(current),
        }
    }
}

/// One write.
pub enum Ask<'a> {
    /// A new object.
    Create {
        /// Kind and namespace.
        target: Target<'a>,
        /// The object as sent.
        object: AnyObject,
    },
    /// A change of an object.
    Update {
        /// The object.
        target: Target<'a>,
        /// What of it.
        part: Part,
        /// Into what.
        change: Change<'a>,
    },
    /// An object's end.
    Delete {
        /// The object.
        target: Target<'a>,
        /// How.
        options: DeleteOptions,
    },
}

impl<'a> Ask<'a> {
    pub(crate) fn target(&self) -> Target<'a> {
        match self {
            Ask::Create { target, .. } | Ask::Update { target, .. } | Ask::Delete { target, .. } => *target,
        }
    }
}

/// A precondition without a write: the object must be this one. An empty part is not compared; with neither, it must
/// exist.
pub struct Check<'a> {
    /// The object.
    pub target: Target<'a>,
    /// Its uid.
    pub uid: String,
    /// Its resourceVersion.
    pub resource_version: String,
}

/// The claim that a leader holds, and the epoch in which it does (design D4).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The claim's name.
    pub claim: String,
    /// The revision that took it.
    pub epoch: i64,
}

/// A group of writes: all or nothing.
#[derive(Default)]
pub struct GroupAsk<'a> {
    /// At most one write an object.
    pub writes: Vec<Ask<'a>>,
    /// Objects that are compared only.
    pub checks: Vec<Check<'a>>,
    /// The writer's leadership.
    pub fence: Option<Fence>,
}

/// What one write of a group did.
#[derive(Debug)]
pub struct Done {
    /// The object as it is now (deleted: as it was last), with its resourceVersion.
    pub object: AnyObject,
    /// For the user.
    pub warnings: Vec<String>,
    /// What happened to it.
    pub effect: Effect,
}

/// What a write does to its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It is stored.
    Stored,
    /// It was so already.
    Unchanged,
    /// It is gone.
    Removed,
}

/// Why a group failed, and at which write (or, after the writes, which check); -1 for the fence.
#[derive(Debug)]
pub struct Refused {
    /// The error.
    pub error: StatusError,
    /// The index; see above.
    pub index: i32,
}

/// What a group did: its revision (0 when nothing was to be written) and one entry a write.
pub type GroupAnswer = Result<(i64, Vec<Done>), Refused>;
