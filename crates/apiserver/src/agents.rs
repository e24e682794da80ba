//! The agents whose streams end at this API server, and reading a container's output through them (design D7).
//!
//! ```text
//!  reader --read_output--> Agents --ServerMessage{id, read_output}--> agent's stream
//!  reader <-----bytes----- Agents <--AgentMessage{id, output | end}-- agent's stream
//! ```
//!
//! Agents dial out; the server only writes into streams that they hold open. One stream may speak for many (simulated)
//! nodes. A reader that goes away sends a Cancel.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use api::status::{self, StatusError};
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use proto::raftsman_v1::{
    AgentMessage, AgentOutputRequest, Cancel, OutputRequest, ServerMessage, agent_message, server_message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Chunks of output on their way to one reader; a slow reader slows the agent, not the server.
const READER_QUEUE: usize = 16;

/// What a reader gets. Dropped before its end, it tells the agent to stop.
pub struct Output {
    chunks: ReceiverStream<Result<Bytes, StatusError>>,
    agent: Weak<Agent>,
    id: u64,
}

impl Stream for Output {
    type Item = Result<Bytes, StatusError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Pin::new(&mut self.chunks).poll_next(cx)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(agent) = self.agent.upgrade() else { return };
        if agent.readers.lock().remove(&self.id).is_some() {
            let message = ServerMessage { id: self.id, message: Some(server_message::Message::Cancel(Cancel {})) };
            // A full queue means that the agent is slow: then its next chunk finds no reader, and is dropped.
            agent.to_agent.try_send(message).ok();
        }
    }
}

type Reader = mpsc::Sender<Result<Bytes, StatusError>>;

/// All connected agents.
#[derive(Default)]
pub struct Agents {
    /// The stream that speaks for a node: the newest wins.
    nodes: Mutex<HashMap<String, Weak<Agent>>>,
}

/// One agent's stream.
pub struct Agent {
    to_agent: mpsc::Sender<ServerMessage>,
    readers: Mutex<HashMap<u64, Reader>>,
    next: AtomicU64,
}

impl Agents {
    /// A new stream that speaks for these nodes until the returned agent is dropped.
    pub fn connect(&self, nodes: &[String], to_agent: mpsc::Sender<ServerMessage>) -> Arc<Agent> {
        let agent = Arc::new(Agent { to_agent, readers: Mutex::default(), next: AtomicU64::new(1) });
        let mut table = self.nodes.lock();
        table.retain(|_, agent| agent.strong_count() > 0);
        for node in nodes {
            table.insert(node.clone(), Arc::downgrade(&agent));
        }
        agent
    }

    /// Whether some agent speaks for the node.
    pub fn has(&self, node: &str) -> bool {
        self.nodes.lock().get(node).is_some_and(|agent| agent.strong_count() > 0)
    }

    /// For how many nodes some agent speaks.
    pub fn connected(&self) -> usize {
        self.nodes.lock().values().filter(|agent| agent.strong_count() > 0).count()
    }

    /// Reads a container's output from the agent of its node.
    ///
    /// # Errors
    /// 503 when no agent of that node is connected here.
    pub async fn read_output(&self, node: &str, pod_uid: &str, request: OutputRequest) -> Result<Output, StatusError> {
        let agent = self.nodes.lock().get(node).and_then(Weak::upgrade);
        let away =
            || status::service_unavailable(format!("the agent of node {node} is not connected to this API server"));
        let agent = agent.ok_or_else(away)?;
        let (reader, output) = mpsc::channel(READER_QUEUE);
        let id = agent.next.fetch_add(1, Ordering::Relaxed);
        agent.readers.lock().insert(id, reader);
        let ask = AgentOutputRequest { node: node.to_string(), pod_uid: pod_uid.to_string(), request: Some(request) };
        let message = ServerMessage { id, message: Some(server_message::Message::ReadOutput(ask)) };
        if agent.to_agent.send(message).await.is_err() {
            agent.readers.lock().remove(&id);
            return Err(away());
        }
        Ok(Output { chunks: ReceiverStream::new(output), agent: Arc::downgrade(&agent), id })
    }
}

impl Agent {
    /// Hands a message of the agent to its reader; waits while that one is slow.
    pub async fn receive(&self, message: AgentMessage) {
        let reader = self.readers.lock().get(&message.id).cloned();
        match (message.message, reader) {
            (Some(agent_message::Message::Output(data)), Some(reader)) => {
                // A reader that has gone has sent its cancel.
                reader.send(Ok(Bytes::from(data))).await.ok();
            }
            (Some(agent_message::Message::End(end)), reader) => {
                self.readers.lock().remove(&message.id);
                if let (Some(status), Some(reader)) = (end.status, reader) {
                    reader.send(Err(StatusError::from_status(status))).await.ok();
                }
            }
            _ => {}
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        for (_, reader) in self.readers.get_mut().drain() {
            reader.try_send(Err(status::service_unavailable("the agent's connection was lost"))).ok();
        }
    }
}
