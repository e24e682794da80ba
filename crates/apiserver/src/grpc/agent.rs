//! `AgentService/Connect`: an agent's stream, over which this server asks it for output.

use std::sync::Arc;

use futures::StreamExt;
use futures::stream::BoxStream;
use proto::raftsman_v1::agent_service_server::AgentService;
use proto::raftsman_v1::{AgentMessage, ServerMessage, agent_message};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status, Streaming};

use super::context;
use crate::auth::{SIMULATED_NODES, everything};
use crate::context::Identity;
use crate::registry::Registry;

/// Requests on their way to one agent.
const AGENT_QUEUE: usize = 64;

pub(super) struct Service(pub Arc<Registry>);

#[tonic::async_trait]
impl AgentService for Service {
    type ConnectStream = BoxStream<'static, Result<ServerMessage, Status>>;

    async fn connect(
        &self,
        request: Request<Streaming<AgentMessage>>,
    ) -> Result<Response<Self::ConnectStream>, Status> {
        let identity = context(request.extensions()).identity;
        let agents = self.0.agents.clone();
        let draining = self.0.caches.draining.clone();
        let mut messages = request.into_inner();
        let (to_agent, outbox) = mpsc::channel(AGENT_QUEUE);
        // The answer's headers must not wait for the agent's first message, so the greeting is read in the task.
        tokio::spawn(async move {
            let nodes = match messages.message().await {
                Ok(Some(AgentMessage { message: Some(agent_message::Message::Hello(hello)), .. })) => hello.nodes,
                _ => return,
            };
            if let Some(node) = nodes.iter().find(|node| !speaks_for(&identity, node)) {
                tracing::warn!(user = identity.name, node, "refused an agent that speaks for a node of another");
                return;
            }
            let agent = agents.connect(&nodes, to_agent);
            while let Some(Ok(Some(message))) = draining.run_until_cancelled(messages.message()).await {
                agent.receive(message).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(outbox).map(Ok).boxed()))
    }
}

/// Whether this identity may answer for the node.
fn speaks_for(identity: &Identity, node: &str) -> bool {
    everything(identity) || identity.in_group(SIMULATED_NODES) || identity.node() == Some(node)
}
