//! A Pod as the scheduler's informer keeps it: small once it is placed, whole while it waits.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use api::proto::core_v1::Pod;

use crate::class::{Class, Classes};

/// Pods that name another scheduler are not ours.
const SCHEDULER_NAME: &str = "default-scheduler";

/// The classes of all Pods of this process. Global because an informer's transform is a plain function; it holds
/// nothing but shared values, so nobody can tell.
static CLASSES: LazyLock<Mutex<Classes>> = LazyLock::new(Mutex::default);

/// Where a Pod is on its way.
#[derive(Debug, Clone)]
pub enum Stage {
    /// Waits for a node. Kept whole, for its status is written when it fits nowhere.
    Waiting(Box<Pod>),
    /// Takes room on this node, also while it is being deleted.
    Placed(String),
    /// Not for us: ended, deleted before it had a node, held by a scheduling gate, or another scheduler's.
    Apart,
}

#[derive(Debug, Clone)]
pub struct SeenPod {
    pub uid: String,
    pub stage: Stage,
    pub class: Arc<Class>,
}

impl From<Pod> for SeenPod {
    fn from(mut pod: Pod) -> Self {
        let uid = pod.metadata.as_ref().map(|metadata| metadata.uid.clone()).unwrap_or_default();
        let spec = pod.spec.get_or_insert_default();
        let class = CLASSES.lock().unwrap_or_else(PoisonError::into_inner).intern(spec);
        let stage = stage(pod);
        Self { uid, stage, class }
    }
}

fn stage(pod: Pod) -> Stage {
    let spec = pod.spec.as_ref();
    let phase = pod.status.as_ref().map(|status| status.phase.as_str()).unwrap_or_default();
    if phase == "Succeeded" || phase == "Failed" {
        return Stage::Apart;
    }
    let node = spec.map(|spec| spec.node_name.as_str()).unwrap_or_default();
    if !node.is_empty() {
        return Stage::Placed(node.to_owned());
    }
    let deleting = pod.metadata.as_ref().is_some_and(|metadata| metadata.deletion_timestamp.is_some());
    let gated = spec.is_some_and(|spec| !spec.scheduling_gates.is_empty());
    let foreign = spec.is_some_and(|spec| !matches!(spec.scheduler_name.as_str(), "" | SCHEDULER_NAME));
    if deleting || gated || foreign { Stage::Apart } else { Stage::Waiting(Box::new(pod)) }
}

/// What the watch is asked for: Pods that have ended take no room.
pub const UNFINISHED: &str = "status.phase!=Succeeded,status.phase!=Failed";
