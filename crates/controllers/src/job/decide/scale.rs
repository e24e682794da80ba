//! Pods that come and go: counting the ended, creating the missing, releasing and deleting the superfluous.

use api::meta;
use api::proto::core_v1::Pod;
use api::proto::meta_v1::{DeleteOptions, Preconditions};

use super::backoff;
use super::turn::Turn;
use super::{Mode, only_replace_failed};
use crate::job::template;
use crate::plan::Write;
use crate::pod_view::{JOB_TRACKING, Phase, PodView};

/// Bytes of new Pods in one group: with the rest of it they stay below a Commit's limit.
const CREATED_BYTES_MAX: usize = 800 << 10;

/// Deletes the Pods that were released while they ran.
pub(super) fn delete_strays(turn: &mut Turn<'_>) {
    let strays = std::mem::take(&mut turn.census.strays);
    for stray in &strays {
        if turn.room() == 0 {
            turn.more();
            break;
        }
        let preconditions = Some(Preconditions { uid: Some(stray.uid.clone()), ..Default::default() });
        let options = DeleteOptions { preconditions, ..Default::default() };
        turn.write(Write::delete::<Pod>(&stray.namespace, &stray.name, options));
        turn.normal("SuccessfulDelete", &format!("Deleted pod: {}", stray.name));
    }
    turn.census.strays = strays;
}

/// Counts ended Pods: each is released in the same group in which its counter grows.
pub(super) fn count(turn: &mut Turn<'_>, mode: Mode) {
    // Where both counting and creating have much to do, each gets half of the group.
    let reserved = match mode {
        Mode::Running => missing(turn).min(turn.room() / 2),
        _ => 0,
    };
    let mut succeeded = std::mem::take(&mut turn.census.succeeded);
    let mut failed = std::mem::take(&mut turn.census.failed);
    // Failures first: they decide whether anything more is to be done.
    while turn.room() > reserved
        && let Some(pod) = failed.pop()
    {
        release(turn, pod);
        turn.status.failed = turn.status.failed.saturating_add(1);
    }
    while turn.room() > reserved
        && let Some(pod) = succeeded.pop()
    {
        release(turn, pod);
        turn.status.succeeded = turn.status.succeeded.saturating_add(1);
    }
    if !succeeded.is_empty() || !failed.is_empty() {
        turn.more();
    }
    turn.census.succeeded = succeeded;
    turn.census.failed = failed;
}

/// Creates what is missing, or releases what is too much.
pub(super) fn scale(turn: &mut Turn<'_>) {
    let (active, wanted) = (turn.census.active.len(), wanted(turn));
    if active > wanted {
        let victims = victims(&turn.census.active, active - wanted);
        return release_uncounted(turn, &victims);
    }
    let missing = missing(turn);
    if missing == 0 {
        return;
    }
    let failures = match turn.succeeded() {
        // No success yet: what the Job has counted is more than its Pods still show.
        0 => usize::try_from(turn.failed()).unwrap_or_default(),
        _ => turn.census.failures_since_success,
    };
    if let Some(left) = backoff::remaining(failures, turn.census.last_failure, turn.snapshot.now) {
        turn.why(format!("backs off for {}.{:03} s", left.as_secs(), left.subsec_millis()));
        return turn.look_again(left);
    }
    if turn.snapshot.create_refused && turn.has_writes() {
        turn.why("new Pods were refused; counts without them first");
        return turn.more();
    }
    create(turn, missing);
}

/// Releases every active Pod without counting it: the Job is suspended or done without it.
pub(super) fn release_active(turn: &mut Turn<'_>) {
    let active = victims(&turn.census.active, turn.census.active.len());
    release_uncounted(turn, &active);
}

/// The Job has failed, and every Pod that still runs with it.
pub(super) fn fail_active(turn: &mut Turn<'_>) {
    for pod in turn.census.active.clone() {
        if turn.room() == 0 {
            return turn.more();
        }
        release(turn, pod);
        turn.status.failed = turn.status.failed.saturating_add(1);
        turn.active_change -= 1;
    }
    if turn.active_change < 0 {
        turn.more();
    }
}

/// Takes the finalizer from whatever still has it.
pub(super) fn release_all(turn: &mut Turn<'_>) {
    let census = &turn.census;
    let held = [&census.succeeded, &census.failed, &census.active, &census.dying];
    let held: Vec<&PodView> = held.into_iter().flatten().copied().collect();
    for pod in held {
        if turn.room() == 0 {
            return turn.more();
        }
        release(turn, pod);
    }
}

/// How many Pods are to be active.
fn wanted(turn: &Turn<'_>) -> usize {
    let parallelism = turn.spec.parallelism.unwrap_or(1).max(0);
    let wanted = match turn.spec.completions {
        Some(completions) => completions.saturating_sub(turn.succeeded()).min(parallelism),
        // A work queue: once one has succeeded, the others finish what there is, whatever parallelism says now.
        None if turn.succeeded() > 0 => return turn.census.active.len(),
        None => parallelism,
    };
    index(wanted)
}

/// How many Pods are to be created, room and back-off aside.
fn missing(turn: &Turn<'_>) -> usize {
    let dying = if only_replace_failed(turn.spec) { turn.census.leaving() } else { 0 };
    wanted(turn).saturating_sub(turn.census.active.len() + dying)
}

fn create(turn: &mut Turn<'_>, missing: usize) {
    let mut random = turn.snapshot.seed;
    let mut bytes = 0;
    for created in 0..missing {
        if turn.room() == 0 || bytes > CREATED_BYTES_MAX {
            turn.why(format!("created {created} of {missing}"));
            return turn.more();
        }
        let taken = |name: &str| turn.snapshot.pods.iter().any(|pod| pod.name == name);
        let name = loop {
            random = next_random(random);
            let name = meta::generate_name(&template::name_base(&turn.snapshot.job), random);
            // With few names in use, looking is cheap; with many, the store refuses a name in use and the next look draws anew.
            if turn.snapshot.pods.len() > 1000 || !taken(&name) {
                break name;
            }
        };
        let write = Write::create(template::pod(&turn.snapshot.job, name.clone()));
        bytes += write.encoded_len();
        turn.write(write);
        turn.normal("SuccessfulCreate", &format!("Created pod: {name}"));
        turn.active_change += 1;
    }
}

/// A step of splitmix64: one seed gives as many names as are needed.
fn next_random(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn release(turn: &mut Turn<'_>, pod: &PodView) {
    turn.write(Write::release::<Pod>(&pod.seen(), &[JOB_TRACKING]));
}

fn release_uncounted(turn: &mut Turn<'_>, victims: &[&PodView]) {
    for (released, pod) in victims.iter().enumerate() {
        if turn.room() == 0 {
            turn.why(format!("released {released} of {}", victims.len()));
            break;
        }
        release(turn, pod);
        turn.active_change -= 1;
    }
    // Now they are strays, to be deleted by the next look.
    if !victims.is_empty() {
        turn.more();
    }
}

/// The first `count` to go: unscheduled before scheduled, pending before running, not ready before ready, then the youngest.
fn victims<'a>(active: &[&'a PodView], count: usize) -> Vec<&'a PodView> {
    let mut order = active.to_vec();
    let running = |pod: &PodView| pod.phase == Phase::Running;
    order.sort_by(|a, b| {
        let rank = |pod: &PodView| (!pod.node.is_empty(), running(pod), pod.ready);
        rank(a).cmp(&rank(b)).then(b.created.cmp(&a.created)).then(b.name.cmp(&a.name))
    });
    order.truncate(count);
    order
}

fn index(count: i32) -> usize {
    usize::try_from(count).unwrap_or_default()
}
