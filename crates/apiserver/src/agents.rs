//! The agents whose streams end at this API server, and reading a container's output through them (design D7).
//!
//! ```text
//!  reader --read_output--> Agents --ServerMessage{id, read_output}--> agent's stream
//!  reader <-----bytes----- Agents <--AgentMessage{id, output | end}-- agent's stream
//!         --taken pieces-> Agents --ServerMessage{id, credit}------->
//! ```
//!
//! Agents dial out; the server only writes into streams that they hold open. One stream may speak for many (simulated)
//! nodes. A reader that goes away sends a Cancel. An agent sends as many pieces of an answer as its reader has room for, so
//! one that stands still (`kubectl logs -f | less`) holds up nobody else on the stream.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use api::status::{self, StatusError};
use bytes::Bytes;
use futures::Stream;
use parking_lot::Mutex;
use proto::raftsman_v1::{
    AgentMessage, AgentOutputRequest, Cancel, Credit, OutputRequest, ServerMessage, agent_message, server_message,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// Pieces of output on their way to one reader.
const WINDOW: u32 = 16;
/// So many taken pieces are told to the agent together.
const CREDIT_EACH: u32 = WINDOW / 4;
/// How long a reader may hold up an agent that does not count pieces (one of before).
const STALLED_MAX: Duration = Duration::from_secs(5);

/// What a reader gets. Dropped before its end, it tells the agent to stop.
pub struct Output {
    chunks: ReceiverStream<Result<Bytes, StatusError>>,
    agent: Weak<Agent>,
    id: u64,
    /// Pieces that were taken and not told yet.
    taken: u32,
}

impl Stream for Output {
    type Item = Result<Bytes, StatusError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let chunk = ready!(Pin::new(&mut self.chunks).poll_next(cx));
        self.taken += u32::from(chunk.is_some());
        if self.taken >= CREDIT_EACH
            && let Some(agent) = self.agent.upgrade()
        {
            let credit = Credit { pieces: std::mem::take(&mut self.taken) };
            agent.tell(self.id, server_message::Message::Credit(credit));
        }
        Poll::Ready(chunk)
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let Some(agent) = self.agent.upgrade() else { return };
        if agent.readers.lock().remove(&self.id).is_some() {
            agent.tell(self.id, server_message::Message::Cancel(Cancel {}));
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
        // One place more, so that an error can always be told.
        let (reader, output) = mpsc::channel(WINDOW as usize + 1);
        let id = agent.next.fetch_add(1, Ordering::Relaxed);
        agent.readers.lock().insert(id, reader);
        let (node_name, pod_uid) = (node.to_string(), pod_uid.to_string());
        let ask = AgentOutputRequest { node: node_name, pod_uid, request: Some(request), window: WINDOW };
        let message = ServerMessage { id, message: Some(server_message::Message::ReadOutput(ask)) };
        if agent.to_agent.send(message).await.is_err() {
            agent.readers.lock().remove(&id);
            return Err(away());
        }
        Ok(Output { chunks: ReceiverStream::new(output), agent: Arc::downgrade(&agent), id, taken: 0 })
    }
}

impl Agent {
    /// Hands a message of the agent to its reader. Where that one has no room an agent of before has sent it: then this waits,
    /// but not for long.
    pub async fn receive(&self, message: AgentMessage) {
        let reader = self.readers.lock().get(&message.id).cloned();
        match (message.message, reader) {
            (Some(agent_message::Message::Output(data)), Some(reader)) => {
                match tokio::time::timeout(STALLED_MAX, reader.reserve_many(2)).await {
                    // The second place stays free for an error.
                    Ok(Ok(mut places)) => {
                        if let Some(place) = places.next() {
                            place.send(Ok(Bytes::from(data)));
                        }
                    }
                    // A reader that has gone has sent its cancel.
                    Ok(Err(_)) => {}
                    Err(_) => self.end(message.id, "the output was not read for too long; read it again"),
                }
            }
            (Some(agent_message::Message::End(end)), reader) => {
                self.readers.lock().remove(&message.id);
                if let (Some(status), Some(reader)) = (end.status, reader) {
                    reader.try_send(Err(StatusError::from_status(status))).ok();
                }
            }
            _ => {}
        }
    }

    /// Ends an answer for a reason of the server's.
    fn end(&self, id: u64, why: &str) {
        if let Some(reader) = self.readers.lock().remove(&id) {
            reader.try_send(Err(status::service_unavailable(why))).ok();
            self.tell(id, server_message::Message::Cancel(Cancel {}));
        }
    }

    /// Sends the agent a word that must not be lost, also when its queue is full.
    fn tell(&self, id: u64, message: server_message::Message) {
        let message = ServerMessage { id, message: Some(message) };
        if let Err(mpsc::error::TrySendError::Full(message)) = self.to_agent.try_send(message) {
            let to_agent = self.to_agent.clone();
            // An agent that goes away meanwhile needs no word any more.
            tokio::spawn(async move { to_agent.send(message).await.ok() });
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

#[cfg(test)]
mod tests {
    use futures::StreamExt;

    use super::*;

    const PIECE: &[u8] = b"line\n";

    fn piece(id: u64) -> AgentMessage {
        AgentMessage { id, message: Some(agent_message::Message::Output(PIECE.to_vec())) }
    }

    async fn asked(outbox: &mut mpsc::Receiver<ServerMessage>) -> (u64, server_message::Message) {
        let message = tokio::time::timeout(STALLED_MAX * 2, outbox.recv()).await.expect("in time");
        let message = message.expect("the stream is open");
        (message.id, message.message.expect("it says something"))
    }

    #[tokio::test]
    async fn a_reader_that_stands_still_holds_up_nobody_else() {
        let agents = Agents::default();
        let (to_agent, mut outbox) = mpsc::channel(64);
        let agent = agents.connect(&["n".to_owned()], to_agent);
        let _still = agents.read_output("n", "u", OutputRequest::default()).await.expect("connected");
        let mut other = agents.read_output("n", "u", OutputRequest::default()).await.expect("connected");
        let (first, server_message::Message::ReadOutput(request)) = asked(&mut outbox).await else { panic!() };
        let (second, _) = asked(&mut outbox).await;
        let received = async {
            for _ in 0..request.window {
                agent.receive(piece(first)).await;
            }
            agent.receive(piece(second)).await;
        };
        tokio::time::timeout(STALLED_MAX / 2, received).await.expect("nobody waited");
        assert_eq!(other.next().await.expect("a piece").expect("no error"), PIECE);
    }

    #[tokio::test]
    async fn what_is_taken_is_credited_also_through_a_full_queue() {
        let agents = Agents::default();
        let (to_agent, mut outbox) = mpsc::channel(1);
        let agent = agents.connect(&["n".to_owned()], to_agent);
        // The request itself fills the queue.
        let mut output = agents.read_output("n", "u", OutputRequest::default()).await.expect("connected");
        for _ in 0..CREDIT_EACH {
            agent.receive(piece(1)).await;
            output.next().await.expect("a piece").expect("no error");
        }
        let (_, server_message::Message::ReadOutput(_)) = asked(&mut outbox).await else { panic!() };
        let credit = server_message::Message::Credit(Credit { pieces: CREDIT_EACH });
        assert_eq!(asked(&mut outbox).await, (1, credit));
        drop(output);
        assert_eq!(asked(&mut outbox).await, (1, server_message::Message::Cancel(Cancel {})));
    }

    #[tokio::test]
    async fn an_agent_that_does_not_count_is_held_up_for_a_moment_only() {
        let agents = Agents::default();
        let (to_agent, _outbox) = mpsc::channel(64);
        let agent = agents.connect(&["n".to_owned()], to_agent);
        let still = agents.read_output("n", "u", OutputRequest::default()).await.expect("connected");
        let received = async {
            for _ in 0..100 {
                agent.receive(piece(1)).await;
            }
        };
        tokio::time::timeout(STALLED_MAX * 4, received).await.expect("it waited once, not for each piece");
        let got: Vec<_> = still.collect().await;
        assert_eq!(got.len(), WINDOW as usize + 1);
        let error = got.last().expect("an end").as_ref().expect_err("it is cut, and says so");
        assert_eq!(error.status().code, 503);
    }
}
