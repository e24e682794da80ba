//! A Pod's subresources that write: `binding` and `eviction`.

use api::field::{Error, Path};
use api::status;
use proto::core_v1::{Binding, Pod, PodCondition};
use proto::policy_v1::Eviction;

use super::ask::{Ask, Change, Part};
use super::{DeleteOptions, Registry, StatusError, Target, WriteOptions};
use crate::context::RequestContext;
use crate::object::AnyObject;
use crate::registry::Resource;

/// The Pods' resource.
pub(crate) fn pods() -> &'static Resource {
    super::resource::find("", "v1", "pods").expect("Pods are served")
}

/// The ask that gives the Pod its node. `uid` and `revision` are compared where they are not empty.
pub(crate) fn binding_ask<'a>(
    ctx: &RequestContext,
    target: Target<'a>,
    node: String,
    uid: String,
    revision: String,
) -> Ask<'a> {
    let now = api::time::to_time(ctx.now);
    let name = target.name.to_string();
    let change = move |current: &AnyObject| -> Result<AnyObject, StatusError> {
        let mut object = current.clone_box();
        let pod = object.downcast_mut::<Pod>().ok_or_else(|| status::internal_error("a Pod is something else"))?;
        assign(pod, &name, &node, now)?;
        let meta = object.metadata_mut();
        if !uid.is_empty() {
            meta.uid = uid.clone();
        }
        meta.resource_version = revision.clone();
        Ok(object)
    };
    Ask::Update { target, part: Part::Binding, change: Change::Owned(Box::new(change)) }
}

/// Writes the node and the condition PodScheduled.
fn assign(pod: &mut Pod, name: &str, node: &str, now: proto::meta_v1::Time) -> Result<(), StatusError> {
    let conflict = |cause: &str| status::conflict(status::Subject { group: "", resource: "pods/binding" }, name, cause);
    if pod.metadata.as_ref().is_some_and(api::meta::is_deleting) {
        return Err(conflict(&format!("pod {name} is being deleted, cannot be assigned to a host")));
    }
    let spec = pod.spec.get_or_insert_default();
    if !spec.node_name.is_empty() {
        return Err(conflict(&format!(
            "pod {name} is already assigned to node {}",
            api::field::quote(&spec.node_name)
        )));
    }
    spec.node_name = node.to_string();
    let conditions = &mut pod.status.get_or_insert_default().conditions;
    conditions.retain(|condition| condition.r#type != "PodScheduled");
    conditions.push(PodCondition {
        r#type: "PodScheduled".into(),
        status: "True".into(),
        last_transition_time: Some(now),
        ..PodCondition::default()
    });
    Ok(())
}

impl Registry {
    pub(super) async fn bind_pod(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        name: &str,
        binding: &Binding,
        options: &WriteOptions,
    ) -> Result<(), StatusError> {
        let reference = binding.target.clone().unwrap_or_default();
        let mut errors = Vec::new();
        let target_path = Path::new("target");
        if !reference.kind.is_empty() && reference.kind != "Node" {
            errors.push(Error::not_supported(
                &target_path.child("kind"),
                reference.kind.as_str(),
                &["Node", "<empty>"],
            ));
        }
        if reference.name.is_empty() {
            errors.push(Error::required(&target_path.child("name"), ""));
        }
        if !errors.is_empty() {
            return Err(status::invalid_kind("", "Binding", name, &errors));
        }
        let meta = binding.metadata.clone().unwrap_or_default();
        let target = Target { resource: pods(), namespace, name };
        let ask = binding_ask(ctx, target, reference.name, meta.uid, meta.resource_version);
        self.one(ctx, ask, options.dry_run).await.map(|_| ())
    }

    pub(super) async fn evict_pod(
        &self,
        ctx: &RequestContext,
        namespace: &str,
        name: &str,
        eviction: &Eviction,
        options: &WriteOptions,
    ) -> Result<(), StatusError> {
        let asked = eviction.delete_options.clone().unwrap_or_default();
        let mut delete = DeleteOptions::parse(&asked)?;
        delete.dry_run |= options.dry_run;
        let target = Target { resource: pods(), namespace, name };
        self.delete_object(ctx, target, &delete).await.map(|_| ())
    }
}
