//! What must hold whatever happens: generated Jobs, Pods that end, are deleted and restart in any order, lost answers.

use std::collections::BTreeSet;

use api::proto::batch_v1::JobSpec;
use proptest::prelude::*;

use super::world::World;
use super::{decide, is_finished};
use crate::pod_view::Phase;

#[derive(Clone, Debug)]
enum Step {
    Look,
    /// Two decisions from one snapshot are applied: the second must conflict or do nothing.
    LookTwice,
    /// The nth Pod gets this phase.
    Report(usize, Phase),
    Delete(usize),
    Wait(i64),
    Parallelism(i32),
    Suspend(bool),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => Just(Step::Look),
        2 => Just(Step::LookTwice),
        4 => (0..40usize).prop_map(|n| Step::Report(n, Phase::Running)),
        4 => (0..40usize).prop_map(|n| Step::Report(n, Phase::Succeeded)),
        2 => (0..40usize).prop_map(|n| Step::Report(n, Phase::Failed)),
        1 => (0..40usize).prop_map(Step::Delete),
        2 => (1..700i64).prop_map(Step::Wait),
        1 => (0..6i32).prop_map(Step::Parallelism),
        1 => any::<bool>().prop_map(Step::Suspend),
    ];
    prop::collection::vec(step, 1..120)
}

fn specs() -> impl Strategy<Value = JobSpec> {
    (0..6i32, prop::option::of(0..12i32), 0..4i32, any::<bool>()).prop_map(|(parallelism, completions, limit, late)| {
        JobSpec {
            parallelism: Some(parallelism),
            completions,
            backoff_limit: Some(limit),
            pod_replacement_policy: late.then(|| "Failed".into()),
            ..Default::default()
        }
    })
}

/// Counts that the Job's own must agree with: Pods whose end was seen while they were tracked.
#[derive(Default)]
struct Ends {
    succeeded: BTreeSet<String>,
}

fn step(world: &mut World, step: &Step, ends: &mut Ends) {
    let nth = |world: &World, n: usize| world.created.get(n % world.created.len().max(1)).cloned();
    match step {
        Step::Look => {
            world.look();
        }
        Step::LookTwice => {
            let snapshot = world.snapshot();
            let (first, second) = (decide(&snapshot), decide(&snapshot));
            world.apply(&first).expect("the first is fresh");
            if !second.writes.is_empty() {
                world.apply(&second).expect_err("the repeat writes the Job under a stale resourceVersion");
            }
        }
        Step::Report(n, phase) => {
            if let Some(name) = nth(world, *n) {
                let running = world.pods.get(&name).is_some_and(|pod| pod.is_tracked() && !pod.is_terminal());
                world.report(&name, *phase);
                if running && *phase == Phase::Succeeded {
                    ends.succeeded.insert(name);
                }
            }
        }
        Step::Delete(n) => {
            if let Some(name) = nth(world, *n) {
                world.delete(&name);
            }
        }
        Step::Wait(seconds) => world.now += chrono::TimeDelta::seconds(*seconds),
        Step::Parallelism(parallelism) => {
            world.job.spec.as_mut().unwrap().parallelism = Some(*parallelism);
            world.touch_job();
        }
        Step::Suspend(suspend) => {
            world.job.spec.as_mut().unwrap().suspend = Some(*suspend);
            world.touch_job();
        }
    }
}

/// A Plan never makes more Pods active than parallelism allows, nor more than are still needed; what it counts, it counts once.
fn check_look(world: &mut World) -> Result<(), TestCaseError> {
    let before = world.job.status.clone().unwrap_or_default();
    let tracked_before = world.pods.values().filter(|pod| pod.is_tracked()).count();
    let was_finished = is_finished(&world.job);
    let created_before = world.created.len();
    let active_before = active(world);
    world.look();
    let after = world.job.status.clone().unwrap_or_default();
    let spec = world.job.spec.clone().unwrap();

    let created = world.created.len() - created_before;
    let allowed = usize::try_from(spec.parallelism.unwrap_or(1)).unwrap();
    prop_assert!(created == 0 || active(world) <= allowed, "{} active of {allowed}", active(world));
    if let Some(completions) = spec.completions {
        let possible = usize::try_from(after.succeeded).unwrap() + active(world);
        prop_assert!(created == 0 || possible <= usize::try_from(completions).unwrap(), "more than {completions}");
    }
    prop_assert!(active(world) <= active_before + created);

    // Conservation: what left the tracked Pods was counted, or was active and released uncounted.
    let counted = (after.succeeded - before.succeeded) + (after.failed - before.failed);
    let released = tracked_before + created - world.pods.values().filter(|pod| pod.is_tracked()).count();
    prop_assert!(after.succeeded >= before.succeeded && after.failed >= before.failed);
    prop_assert!(usize::try_from(counted).unwrap() <= released);
    let ended = world.pods.values().all(|pod| pod.is_terminal());
    prop_assert!(ended || !is_finished(&world.job) || was_finished, "finished before its Pods");
    if let Some(status) = &world.job.status {
        prop_assert!(status.active >= 0 && status.ready.unwrap_or_default() <= status.active);
    }
    Ok(())
}

fn active(world: &World) -> usize {
    world.pods.values().filter(|pod| pod.is_tracked() && !pod.is_terminal() && pod.deletion.is_none()).count()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn never_too_many_and_each_counted_once(spec in specs(), steps in steps()) {
        let mut world = World::new(spec);
        let mut ends = Ends::default();
        for next in &steps {
            step(&mut world, next, &mut ends);
            check_look(&mut world)?;
        }
        let status = world.job.status.clone().unwrap_or_default();
        prop_assert!(usize::try_from(status.succeeded).unwrap() <= ends.succeeded.len());
    }

    /// If all that runs ends well from some time on, the Job ends; and then it holds no Pod and is left alone.
    #[test]
    fn it_ends_and_lets_go(spec in specs(), steps in steps()) {
        let mut world = World::new(spec);
        let mut ends = Ends::default();
        for next in &steps {
            step(&mut world, next, &mut ends);
        }
        let spec = world.job.spec.as_mut().unwrap();
        spec.suspend = Some(false);
        spec.parallelism = Some(3);
        world.touch_job();
        for _ in 0..60 {
            world.settle();
            world.now += chrono::TimeDelta::seconds(600);
            for name in world.created.clone() {
                world.report(&name, Phase::Succeeded);
            }
        }
        world.settle();
        prop_assert!(is_finished(&world.job), "{:?}", world.job.status);
        prop_assert!(world.pods.values().all(|pod| !pod.is_tracked() && pod.is_terminal()));
        let status = world.job.status.clone().unwrap();
        prop_assert_eq!((status.active, status.terminating), (0, Some(0)));
    }
}
