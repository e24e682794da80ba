//! Random graphs of owners and dependents, random deletions, until nothing changes any more.

use std::collections::BTreeMap;

use api::kind::Kind;
use api::proto::raftsman_v1::write::Op;
use api::time::Instant;
use proptest::prelude::*;

use super::*;

/// A small API: objects by name, whose uid is their name.
#[derive(Debug, Default)]
struct World(BTreeMap<String, ObjectView>);

impl World {
    fn create(&mut self, name: &str, owners: &[String]) {
        let owners = owners.iter().map(|owner| OwnerReference {
            api_version: "v1".into(),
            kind: "Pod".into(),
            name: owner.clone(),
            uid: owner.clone(),
            controller: None,
            block_owner_deletion: Some(true),
        });
        let view = ObjectView {
            resource: "pods",
            name: name.into(),
            uid: name.into(),
            owners: owners.collect(),
            ..Default::default()
        };
        self.0.insert(name.into(), view);
    }

    /// As the registry deletes: finalizers hold an object.
    fn delete(&mut self, name: &str, propagation: &str) {
        let Some(object) = self.0.get_mut(name) else { return };
        object.finalizers.retain(|finalizer| finalizer != FOREGROUND && finalizer != ORPHAN);
        match propagation {
            "Foreground" => object.finalizers.push(FOREGROUND.into()),
            "Orphan" => object.finalizers.push(ORPHAN.into()),
            _ => {}
        }
        object.deletion = Some(Instant::default());
        self.sweep(name);
    }

    fn sweep(&mut self, name: &str) {
        if self.0.get(name).is_some_and(|object| object.deletion.is_some() && object.finalizers.is_empty()) {
            self.0.remove(name);
        }
    }

    fn owner(&self, reference: &OwnerReference) -> Owner {
        match self.0.get(&reference.name) {
            None => Owner::Absent { info: Pod::INFO, successor: None },
            Some(owner) if owner.deletion.is_some() && owner.has_finalizer(FOREGROUND) => Owner::Waiting,
            Some(_) => Owner::Solid,
        }
    }

    fn dependents(&self, uid: &str) -> Vec<ObjectView> {
        self.0.values().filter(|object| object.owners.iter().any(|owner| owner.uid == uid)).cloned().collect()
    }

    fn observe(&self, object: &ObjectView) -> Snapshot {
        let dependents = self.dependents(&object.uid).into_iter().map(|dependent| Dependent {
            owned_otherwise: dependent
                .owners
                .iter()
                .any(|owner| owner.uid != object.uid && self.owner(owner) == Owner::Solid),
            has_dependents: !self.dependents(&dependent.uid).is_empty(),
            object: dependent,
        });
        Snapshot {
            owners: object.owners.iter().map(|owner| (owner.clone(), self.owner(owner))).collect(),
            dependents: dependents.collect(),
            has_dependents: !self.dependents(&object.uid).is_empty(),
            object: object.clone(),
        }
    }

    /// Every object once; true when something changed.
    fn turn(&mut self) -> bool {
        let mut changed = false;
        for name in self.0.keys().cloned().collect::<Vec<_>>() {
            let Some(object) = self.0.get(&name).cloned() else { continue };
            for write in decide(&self.observe(&object)).writes {
                changed = true;
                match write.op() {
                    Op::Delete(delete) => {
                        let victim = &self.0[&delete.name];
                        let solid = victim.owners.iter().any(|owner| self.owner(owner) == Owner::Solid);
                        assert!(!solid, "{} is deleted though an owner of it stays", delete.name);
                        let policy = delete.options.as_ref().unwrap().propagation_policy.clone().unwrap();
                        self.delete(&delete.name, &policy);
                    }
                    Op::Metadata(change) => {
                        let object = self.0.get_mut(&change.name).unwrap();
                        object.finalizers.retain(|finalizer| !change.remove_finalizers.contains(finalizer));
                        object.owners.retain(|owner| !change.remove_owner_uids.contains(&owner.uid));
                        self.sweep(&change.name);
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        changed
    }
}

proptest! {
    /// It comes to rest; then nothing is half deleted, no object names an owner that is gone, and what nobody deleted and
    /// nobody owned is still there.
    #[test]
    fn it_comes_to_rest_with_nothing_dangling(
        edges in prop::collection::vec(prop::collection::vec(0_usize..12, 0..3), 1..12),
        deletions in prop::collection::vec((0_usize..12, 0_usize..3), 0..5),
    ) {
        let mut world = World::default();
        for (index, owners) in edges.iter().enumerate() {
            // Owners come before their dependents: no cycles.
            let mut owners: Vec<String> =
                owners.iter().filter(|owner| **owner < index).map(|owner| format!("o{owner:02}")).collect();
            owners.sort();
            owners.dedup();
            world.create(&format!("o{index:02}"), &owners);
        }
        let roots: Vec<String> =
            world.0.values().filter(|object| object.owners.is_empty()).map(|object| object.name.clone()).collect();
        let mut deleted = Vec::new();
        for (index, policy) in &deletions {
            let name = format!("o{index:02}");
            world.delete(&name, ["Background", "Foreground", "Orphan"][*policy]);
            deleted.push(name);
            world.turn();
        }
        let mut turns = 0;
        while world.turn() {
            turns += 1;
            prop_assert!(turns < 100, "it never comes to rest");
        }
        for object in world.0.values() {
            prop_assert!(object.deletion.is_none(), "{} is half deleted", object.name);
            for owner in &object.owners {
                prop_assert!(world.0.contains_key(&owner.name), "{} names {} that is gone", object.name, owner.name);
            }
        }
        for root in roots.iter().filter(|root| !deleted.contains(root)) {
            prop_assert!(world.0.contains_key(root), "{root} is lost");
        }
    }
}
