//! A container's output, read through the agent of its node.

use api::status;
use proto::core_v1::Pod;
use proto::raftsman_v1::OutputRequest;

use super::{Freshness, Registry, StatusError, Target, pods};
use crate::agents::Output;
use crate::context::RequestContext;

impl Registry {
    /// `pods/log`: what a container of the Pod printed. An empty container name means the only one.
    ///
    /// # Errors
    /// 400 for a container that is not named or does not exist, or a Pod without a node; 403; 404; 503 when the agent of
    /// the Pod's node is not connected to this API server.
    pub async fn read_output(&self, ctx: &RequestContext, mut request: OutputRequest) -> Result<Output, StatusError> {
        let target = Target { resource: pods(), namespace: &request.namespace.clone(), name: &request.pod.clone() };
        self.authorize(ctx, "get", target, "log")?;
        let object = self.get_object(ctx, target, Freshness::Consistent).await?.decode();
        let pod = object.downcast_ref::<Pod>().ok_or_else(|| status::internal_error("a Pod is something else"))?;
        request.container = container(pod, &request.container)?;
        let node = pod.spec.as_ref().map_or("", |spec| &spec.node_name);
        if node.is_empty() {
            let message = format!("pod {} does not have a host assigned", target.name);
            return Err(status::bad_request(message));
        }
        self.agents.read_output(node, &object.metadata().uid, request).await
    }
}

/// The container that is meant.
fn container(pod: &Pod, asked: &str) -> Result<String, StatusError> {
    let spec = pod.spec.clone().unwrap_or_default();
    let name = pod.metadata.as_ref().map_or("", |meta| &meta.name);
    let names: Vec<&str> = spec.containers.iter().map(|container| container.name.as_str()).collect();
    let inits: Vec<&str> = spec.init_containers.iter().map(|container| container.name.as_str()).collect();
    match (asked, names.as_slice()) {
        ("", [only]) => Ok((*only).to_string()),
        ("", _) => {
            let choice = format!("[{}]", names.join(" "));
            let more = if inits.is_empty() {
                String::new()
            } else {
                format!(" or one of the init containers: [{}]", inits.join(" "))
            };
            Err(status::bad_request(format!(
                "a container name must be specified for pod {name}, choose one of: {choice}{more}"
            )))
        }
        (asked, _) if names.contains(&asked) || inits.contains(&asked) => Ok(asked.to_string()),
        (asked, _) => Err(status::bad_request(format!("container {asked} is not valid for pod {name}"))),
    }
}
