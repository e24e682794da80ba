//! What a follower asks of the leader for its clients.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::{Stream, StreamExt};
use parking_lot::Mutex;
use prost::Message;
use proto::raftsman_store_v1 as pb;
use tokio::sync::mpsc;
use tonic::Request;
use tonic::transport::Channel;

use crate::raft::network::{Identity, Lane, MESSAGE_BYTES_MAX, Network};
use crate::raft::pending::Pending;
use crate::raft::types::Peer;

/// Proposals that may wait for their place in a message; more wait for a place here.
const QUEUE_LEN: usize = 4096;
/// Bytes of commands in one message, but at least one command.
const BATCH_BYTES: usize = 1 << 20;

/// Calls of the leader.
#[derive(Clone)]
pub struct LeaderCalls {
    identity: Arc<Identity>,
    leader: u64,
    client: pb::leader_client::LeaderClient<Channel>,
}

impl LeaderCalls {
    /// The way to `leader`.
    pub fn new(network: &Network, leader: u64, peer: &Peer) -> Self {
        let channel = network.links.channel(leader, peer, Lane::Leader);
        let client = pb::leader_client::LeaderClient::new(channel).max_decoding_message_size(MESSAGE_BYTES_MAX);
        Self { identity: network.identity.clone(), leader, client }
    }

    /// The service's methods, each of which wants a `request`.
    pub fn client(&self) -> pb::leader_client::LeaderClient<Channel> {
        self.client.clone()
    }

    /// A message for the leader, to be answered within `limit`.
    pub fn request<T>(&self, message: T, limit: Duration) -> Request<T> {
        let mut request = self.stream(message);
        request.set_timeout(limit);
        request
    }

    fn stream<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        self.identity.address(self.leader, request.metadata_mut());
        request
    }
}

/// Hands proposals on to the leader, over one stream for all.
pub struct Forward {
    pending: Arc<Pending>,
    route: Mutex<Option<Route>>,
}

/// The stream to one leader in one term.
struct Route {
    leader: u64,
    term: u64,
    commands: mpsc::Sender<(u64, Bytes)>,
}

impl Forward {
    /// No stream yet; what the leader refuses is told to `pending`.
    pub fn new(pending: Arc<Pending>) -> Self {
        Self { pending, route: Mutex::default() }
    }

    /// Sends a command to the leader of `term`, to whom `calls` is the way. Its outcome is told to `pending`.
    pub async fn send(
        &self,
        (leader, term): (u64, u64),
        calls: impl FnOnce() -> Option<LeaderCalls>,
        number: u64,
        command: &pb::Command,
    ) {
        let taken = match self.commands(leader, term, calls) {
            Some(commands) => commands.send((number, command.encode_to_vec().into())).await.is_ok(),
            None => false,
        };
        if !taken {
            self.pending.not_taken(number, term);
        }
    }

    fn commands(
        &self,
        leader: u64,
        term: u64,
        calls: impl FnOnce() -> Option<LeaderCalls>,
    ) -> Option<mpsc::Sender<(u64, Bytes)>> {
        let mut route = self.route.lock();
        if let Some(route) = &*route
            && (route.leader, route.term) == (leader, term)
            && !route.commands.is_closed()
        {
            return Some(route.commands.clone());
        }
        let (commands, queue) = mpsc::channel(QUEUE_LEN);
        let queue = Queue { term, commands: queue, pending: self.pending.clone() };
        tokio::spawn(run(calls()?, queue, self.pending.clone()));
        *route = Some(Route { leader, term, commands: commands.clone() });
        Some(commands)
    }
}

/// Commands that are not sent yet. What is left in it at the end was never sent.
struct Queue {
    term: u64,
    commands: mpsc::Receiver<(u64, Bytes)>,
    pending: Arc<Pending>,
}

impl Drop for Queue {
    fn drop(&mut self) {
        self.commands.close();
        while let Ok((number, _)) = self.commands.try_recv() {
            self.pending.not_taken(number, self.term);
        }
    }
}

impl Queue {
    /// What waits, as one message; `None` when nothing comes any more.
    async fn next(&mut self) -> Option<Vec<Bytes>> {
        let (_, first) = self.commands.recv().await?;
        let mut bytes = first.len();
        let mut commands = vec![first];
        while bytes < BATCH_BYTES
            && let Ok((_, command)) = self.commands.try_recv()
        {
            bytes += command.len();
            commands.push(command);
        }
        Some(commands)
    }

    fn messages(self) -> impl Stream<Item = pb::ProposeRequest> + Send + 'static {
        futures::stream::unfold(self, move |mut queue| async move {
            let commands = queue.next().await?;
            Some((pb::ProposeRequest { term: queue.term, commands }, queue))
        })
    }
}

/// Keeps the stream for as long as it works. What was sent over one that broke may come through the log yet.
async fn run(calls: LeaderCalls, queue: Queue, pending: Arc<Pending>) {
    let term = queue.term;
    let request = calls.stream(queue.messages());
    let mut responses = match calls.client().propose(request).await {
        Ok(response) => response.into_inner(),
        Err(status) => return tracing::debug!("proposals can't be sent to the leader: {}", status.message()),
    };
    while let Some(response) = responses.next().await {
        match response {
            Ok(response) => response.not_taken.into_iter().for_each(|number| pending.not_taken(number, term)),
            Err(status) => return tracing::debug!("the stream to the leader ended: {}", status.message()),
        }
    }
}
