//! What becomes of an object, scenario by scenario.

use api::kind::Kind;
use api::proto::raftsman_v1::write::Op;
use api::time::Instant;

use super::*;

fn object(name: &str) -> ObjectView {
    ObjectView { resource: "pods", namespace: "n".into(), name: name.into(), uid: name.into(), ..Default::default() }
}

fn owned_by(mut object: ObjectView, owner: &str) -> ObjectView {
    object.owners.push(OwnerReference {
        api_version: "batch/v1".into(),
        kind: "Job".into(),
        name: owner.into(),
        uid: owner.into(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    });
    object
}

fn ending(mut object: ObjectView, finalizer: &str) -> ObjectView {
    object.deletion = Some(Instant::default());
    object.finalizers = vec![finalizer.into()];
    object
}

fn snapshot(object: ObjectView, owners: &[Owner], dependents: Vec<Dependent>) -> Snapshot {
    let owners = object.owners.iter().cloned().zip(owners.iter().cloned()).collect();
    Snapshot { object, owners, dependents, has_dependents: false }
}

fn absent() -> Owner {
    Owner::Absent { info: Job::INFO, successor: None }
}

/// `verb name`, and how a delete spreads.
fn written(plan: &Plan) -> Vec<String> {
    let line = |write: &Write| match write.op() {
        Op::Delete(delete) => {
            let options = delete.options.as_ref().unwrap();
            let uid = options.preconditions.as_ref().unwrap().uid.as_ref().unwrap();
            assert_eq!(uid, &delete.name, "deletes only what was seen");
            format!("delete {} {}", delete.name, options.propagation_policy.as_ref().unwrap())
        }
        Op::Metadata(change) => {
            format!("{} -{:?} -{:?}", change.name, change.remove_finalizers, change.remove_owner_uids)
        }
        other => format!("{other:?}"),
    };
    plan.writes.iter().map(line).collect()
}

#[test]
fn an_object_goes_when_all_its_owners_are_gone() {
    let pod = owned_by(object("p"), "a");
    for (owners, expected) in
        [(vec![Owner::Solid], vec![]), (vec![Owner::Unknown], vec![]), (vec![absent()], vec!["delete p Background"])]
    {
        assert_eq!(written(&decide(&snapshot(pod.clone(), &owners, Vec::new()))), expected);
    }
    let twice = owned_by(pod, "b");
    for (owners, expected) in [
        (vec![absent(), absent()], "delete p Background"),
        (vec![absent(), Owner::Solid], "p -[] -[\"a\"]"),
        (vec![Owner::Waiting, Owner::Solid], "p -[] -[\"a\"]"),
        (vec![Owner::Unknown, absent()], "p -[] -[\"b\"]"),
    ] {
        assert_eq!(written(&decide(&snapshot(twice.clone(), &owners, Vec::new()))), [expected]);
    }
}

#[test]
fn the_store_is_asked_whether_the_owner_is_gone() {
    let plan = decide(&snapshot(owned_by(object("p"), "a"), &[absent()], Vec::new()));
    assert_eq!(plan.preconditions, [Precondition::absent::<Job>("n", "a")]);
    let other = ObjectView { resource: "jobs", uid: "other".into(), ..object("a") };
    let seen = other.seen();
    let replaced = Owner::Absent { info: Job::INFO, successor: Some(other) };
    let plan = decide(&snapshot(owned_by(object("p"), "a"), &[replaced], Vec::new()));
    assert_eq!(plan.preconditions, [Precondition::seen::<Job>(&seen)]);
}

#[test]
fn a_foreground_owner_goes_after_its_dependents() {
    let dependent = |object: ObjectView| Dependent { object, owned_otherwise: false, has_dependents: false };
    let owner = || ending(object("a"), FOREGROUND);
    let first = decide(&snapshot(owner(), &[], vec![dependent(owned_by(object("p"), "a"))]));
    assert_eq!(written(&first), ["delete p Background"]);
    let going = ending(owned_by(object("p"), "a"), "x");
    assert!(decide(&snapshot(owner(), &[], vec![dependent(going)])).writes.is_empty());
    assert_eq!(written(&decide(&snapshot(owner(), &[], Vec::new()))), ["a -[\"foregroundDeletion\"] -[]"]);
    let shared = Dependent { owned_otherwise: true, ..dependent(owned_by(object("p"), "a")) };
    assert_eq!(written(&decide(&snapshot(owner(), &[], vec![shared]))), ["p -[] -[\"a\"]"]);
    let with_own = Dependent { has_dependents: true, ..dependent(owned_by(object("p"), "a")) };
    assert_eq!(written(&decide(&snapshot(owner(), &[], vec![with_own]))), ["delete p Foreground"]);
}

#[test]
fn an_orphaning_owner_is_taken_out_of_its_dependents() {
    let owner = || ending(object("a"), ORPHAN);
    let dependent = Dependent { object: owned_by(object("p"), "a"), owned_otherwise: false, has_dependents: false };
    assert_eq!(written(&decide(&snapshot(owner(), &[], vec![dependent]))), ["p -[] -[\"a\"]"]);
    assert_eq!(written(&decide(&snapshot(owner(), &[], Vec::new()))), ["a -[\"orphan\"] -[]"]);
}

#[test]
fn what_is_being_deleted_is_left_alone() {
    let going = ending(owned_by(object("p"), "a"), "batch.kubernetes.io/job-tracking");
    assert!(decide(&snapshot(going, &[absent()], Vec::new())).writes.is_empty());
}
