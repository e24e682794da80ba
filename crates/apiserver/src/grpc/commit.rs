//! `CommitService/Commit` (design D2): the messages as the registry's asks, and its answers back.

use std::sync::Arc;

use api::status::{self, StatusError};
use proto::raftsman_v1 as pb;
use proto::raftsman_v1::commit_service_server::CommitService;
use proto::raftsman_v1::object::Object as AnyKind;
use proto::raftsman_v1::write::Op;
use tonic::{Request, Response, Status};

use super::{context, grpc};
use crate::context::RequestContext;
use crate::object::AnyObject;
use crate::registry::{
    Ask, Change, Check, DeleteOptions, Fence, GroupAnswer, GroupAsk, Part, Registry, Resource, Target, binding_ask,
};

pub(super) struct Service(pub Arc<Registry>);

#[tonic::async_trait]
impl CommitService for Service {
    async fn commit(&self, request: Request<pb::CommitRequest>) -> Result<Response<pb::CommitResponse>, Status> {
        let ctx = context(request.extensions());
        let asked = request.into_inner();
        let dry_run = super::dry_run(&asked.dry_run)?;
        let mut groups: Vec<Group> = asked.groups.into_iter().map(Group::from).collect();
        let asks = groups.iter_mut().map(|group| group.asks(&ctx)).collect::<Result<Vec<_>, _>>().map_err(grpc)?;
        let answers = self.0.commit(&ctx, &asks, dry_run).await.map_err(grpc)?;
        Ok(Response::new(response(answers)))
    }
}

/// A group whose writes know their object's place, so that asks can borrow from it.
struct Group {
    writes: Vec<(Place, Option<Op>)>,
    checks: Vec<(Place, pb::Precondition)>,
    fence: Option<pb::Fence>,
}

/// Resource, namespace and name that a write is about; `None` for a resource that is not served.
struct Place {
    resource: Option<&'static Resource>,
    asked: String,
    namespace: String,
    name: String,
}

impl Place {
    fn named(asked: &str, namespace: &str, name: &str) -> Self {
        let (plural, group) = asked.split_once('.').unwrap_or((asked, ""));
        let resource = crate::strategy::resources().iter().find(|r| r.info.resource == plural && r.info.group == group);
        Place { resource, asked: asked.to_string(), namespace: namespace.to_string(), name: name.to_string() }
    }

    fn target(&self) -> Result<Target<'_>, StatusError> {
        let unknown = || status::bad_request(format!("there is no resource {}", api::field::quote(&self.asked)));
        Ok(Target { resource: self.resource.ok_or_else(unknown)?, namespace: &self.namespace, name: &self.name })
    }
}

impl From<pb::Group> for Group {
    fn from(group: pb::Group) -> Self {
        let write = |write: pb::Write| {
            let place = match &write.op {
                Some(Op::Create(object) | Op::Update(object) | Op::UpdateStatus(object) | Op::UpdateAll(object)) => {
                    place_of(object)
                }
                Some(Op::Bind(bind)) => Place::named("pods", &bind.namespace, &bind.name),
                Some(Op::Delete(delete)) => Place::named(&delete.resource, &delete.namespace, &delete.name),
                Some(Op::Metadata(write)) => Place::named(&write.resource, &write.namespace, &write.name),
                None => Place::named("", "", ""),
            };
            (place, write.op)
        };
        let check = |check: pb::Precondition| (Place::named(&check.resource, &check.namespace, &check.name), check);
        Group {
            writes: group.writes.into_iter().map(write).collect(),
            checks: group.preconditions.into_iter().map(check).collect(),
            fence: group.fence,
        }
    }
}

impl Group {
    fn asks(&mut self, ctx: &RequestContext) -> Result<GroupAsk<'_>, StatusError> {
        let mut writes = Vec::with_capacity(self.writes.len());
        for (place, op) in &mut self.writes {
            let op = op.take().ok_or_else(|| status::bad_request("a write has no operation"))?;
            writes.push(ask(ctx, place.target()?, op)?);
        }
        let mut checks = Vec::with_capacity(self.checks.len());
        for (place, check) in &self.checks {
            let (uid, resource_version) = (check.uid.clone(), check.resource_version.clone());
            checks.push(Check { target: place.target()?, uid, resource_version });
        }
        let fence = self.fence.take().map(|fence| Fence { claim: fence.claim, epoch: fence.epoch });
        Ok(GroupAsk { writes, checks, fence })
    }
}

fn ask<'a>(ctx: &RequestContext, target: Target<'a>, op: Op) -> Result<Ask<'a>, StatusError> {
    let replace = |object: pb::Object, part| -> Result<Ask<'a>, StatusError> {
        let object = any(object)?;
        let change = move |_: &AnyObject| -> Result<AnyObject, StatusError> { Ok(object.clone_box()) };
        Ok(Ask::Update { target, part, change: Change::Owned(Box::new(change)) })
    };
    Ok(match op {
        Op::Create(object) => Ask::Create { target, object: any(object)? },
        Op::Update(object) => replace(object, Part::Main)?,
        Op::UpdateStatus(object) | Op::UpdateAll(object) => replace(object, Part::Status)?,
        Op::Bind(bind) => binding_ask(ctx, target, bind.node, bind.uid, bind.resource_version),
        Op::Delete(delete) => {
            Ask::Delete { target, options: DeleteOptions::parse(&delete.options.unwrap_or_default())? }
        }
        Op::Metadata(write) => metadata_ask(target, write),
    })
}

fn metadata_ask(target: Target<'_>, write: pb::MetadataWrite) -> Ask<'_> {
    let change = move |current: &AnyObject| -> Result<AnyObject, StatusError> {
        let mut object = current.clone_box();
        let meta = object.metadata_mut();
        meta.finalizers.retain(|finalizer| !write.remove_finalizers.contains(finalizer));
        for finalizer in &write.add_finalizers {
            api::meta::add_finalizer(meta, finalizer);
        }
        meta.owner_references.retain(|owner| !write.remove_owner_uids.contains(&owner.uid));
        meta.annotations.extend(write.annotations.clone());
        if !write.uid.is_empty() {
            meta.uid = write.uid.clone();
        }
        meta.resource_version = write.resource_version.clone();
        Ok(object)
    };
    Ask::Update { target, part: Part::Metadata, change: Change::Owned(Box::new(change)) }
}

fn response(answers: Vec<GroupAnswer>) -> pb::CommitResponse {
    let mut revision = 0;
    let groups = answers
        .into_iter()
        .map(|answer| match answer {
            Ok((at, done)) => {
                revision = revision.max(at);
                let written = done.iter().map(|done| {
                    let meta = done.object.metadata();
                    pb::Written {
                        namespace: meta.namespace.clone(),
                        name: meta.name.clone(),
                        uid: meta.uid.clone(),
                        resource_version: meta.resource_version.clone(),
                    }
                });
                pb::GroupResult { error: None, failed_index: 0, written: written.collect() }
            }
            Err(refused) => pb::GroupResult {
                error: Some(refused.error.into_status()),
                failed_index: refused.index,
                written: Vec::new(),
            },
        })
        .collect();
    pb::CommitResponse { revision, groups }
}

macro_rules! kinds {
    ($($kind:ident),*) => {
        fn any(object: pb::Object) -> Result<AnyObject, StatusError> {
            match object.object {
                $(Some(AnyKind::$kind(object)) => Ok(Box::new(object)),)*
                None => Err(status::bad_request("a write has no object")),
            }
        }

        fn place_of(object: &pb::Object) -> Place {
            match &object.object {
                $(Some(AnyKind::$kind(object)) => place(object),)*
                None => Place::named("", "", ""),
            }
        }
    };
}

kinds! { Pod, Node, Namespace, Event, ConfigMap, Secret, ServiceAccount, Service, PodTemplate, Job, CronJob, Lease }

fn place<K: api::kind::Kind>(object: &K) -> Place {
    let (namespace, name) = object.metadata().map_or(("", ""), |meta| (meta.namespace.as_str(), meta.name.as_str()));
    Place::named(&K::INFO.group_resource(), namespace, name)
}
