//! The stream that this agent holds to each API server, over which that server asks for output.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use client::Client;
use client::servers::Server;
use proto::meta_v1::Status;
use proto::raftsman_v1::agent_message::Message as Answer;
use proto::raftsman_v1::agent_service_client::AgentServiceClient;
use proto::raftsman_v1::server_message::Message as Asked;
use proto::raftsman_v1::{AgentMessage, AgentOutputRequest, End, Hello};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::ReceiverStream;

use super::lines::Selection;
use super::read::{Reader, Request};
use crate::runtime::{Runtime, StartId};

const RETRY_FIRST: Duration = Duration::from_millis(250);
const RETRY_LONGEST: Duration = Duration::from_secs(5);
/// Pieces of output on their way; a reader that is slow holds its container's reader up, not its container.
const PIECES: usize = 16;

/// Serves every API server until it is cancelled.
pub async fn serve(client: &Client, nodes: &[String], runtime: Arc<dyn Runtime>) {
    let streams =
        client.each_server().iter().map(|server| stay_connected(server.clone(), nodes.to_vec(), runtime.clone()));
    futures::future::join_all(streams).await;
}

async fn stay_connected(server: Server, nodes: Vec<String>, runtime: Arc<dyn Runtime>) {
    let mut delay = RETRY_FIRST;
    loop {
        let begun = tokio::time::Instant::now();
        match connect(&server, &nodes, &runtime).await {
            Ok(()) => tracing::debug!(server = %server.url, "the API server closed the agent's stream"),
            Err(status) => tracing::debug!(server = %server.url, %status, "no stream to the API server"),
        }
        delay = if begun.elapsed() > RETRY_LONGEST { RETRY_FIRST } else { (delay * 2).min(RETRY_LONGEST) };
        tokio::time::sleep(delay).await;
    }
}

async fn connect(server: &Server, nodes: &[String], runtime: &Arc<dyn Runtime>) -> Result<(), tonic::Status> {
    let (sender, receiver) = mpsc::channel(PIECES);
    let hello = Answer::Hello(Hello { nodes: nodes.to_vec() });
    let _ = sender.send(AgentMessage { id: 0, message: Some(hello) }).await;
    let mut request = tonic::Request::new(ReceiverStream::new(receiver));
    server.authorize(&mut request);
    let mut asked = AgentServiceClient::new(server.channel.clone()).connect(request).await?.into_inner();
    let mut reads = Reads::default();
    while let Some(message) = asked.message().await? {
        reads.drop_finished();
        match message.message {
            Some(Asked::ReadOutput(request)) => {
                let outlet = Outlet { id: message.id, room: room(&request), sender: sender.clone() };
                let room = outlet.room.clone();
                let task = tokio::spawn(answer(request, runtime.clone(), outlet));
                reads.running.insert(message.id, Read { task, room });
            }
            Some(Asked::Cancel(_)) => reads.cancel(message.id),
            Some(Asked::Credit(credit)) => reads.credit(message.id, credit.pieces),
            None => {}
        }
    }
    Ok(())
}

/// The answers in progress on one stream; they end with it.
#[derive(Default)]
struct Reads {
    running: HashMap<u64, Read>,
}

struct Read {
    task: JoinHandle<()>,
    room: Room,
}

impl Reads {
    fn cancel(&mut self, id: u64) {
        if let Some(read) = self.running.remove(&id) {
            read.task.abort();
        }
    }

    fn credit(&self, id: u64, pieces: u32) {
        if let Some(Read { room: Some(room), .. }) = self.running.get(&id) {
            room.add_permits(pieces as usize);
        }
    }

    fn drop_finished(&mut self) {
        self.running.retain(|_, read| !read.task.is_finished());
    }
}

impl Drop for Reads {
    fn drop(&mut self) {
        self.running.values().for_each(|read| read.task.abort());
    }
}

/// How many pieces the server's reader has room for; `None`: the server does not count.
type Room = Option<Arc<Semaphore>>;

fn room(request: &AgentOutputRequest) -> Room {
    (request.window > 0).then(|| Arc::new(Semaphore::new(request.window as usize)))
}

/// The way of one answer to the server.
struct Outlet {
    id: u64,
    room: Room,
    sender: mpsc::Sender<AgentMessage>,
}

impl Outlet {
    /// Waits until the reader has room; false: the stream is gone.
    async fn send(&self, piece: Vec<u8>) -> bool {
        if let Some(room) = &self.room {
            match room.acquire().await {
                Ok(place) => place.forget(),
                Err(_) => return false,
            }
        }
        let message = AgentMessage { id: self.id, message: Some(Answer::Output(piece)) };
        self.sender.send(message).await.is_ok()
    }
}

async fn answer(request: AgentOutputRequest, runtime: Arc<dyn Runtime>, outlet: Outlet) {
    let status = send_output(request, &*runtime, &outlet).await.err();
    // A stream that is gone has nobody to tell.
    let _ = outlet.sender.send(AgentMessage { id: outlet.id, message: Some(Answer::End(End { status })) }).await;
}

async fn send_output(request: AgentOutputRequest, runtime: &dyn Runtime, outlet: &Outlet) -> Result<(), Status> {
    if runtime.is_simulated() {
        return Ok(());
    }
    let asked = request.request.unwrap_or_default();
    let (container, pod) = (&asked.container, &asked.pod);
    let latest = runtime.latest(&request.pod_uid, container).await.ok_or_else(|| {
        bad_request(format!("container {container:?} in pod {pod:?} is waiting to start: ContainerCreating"))
    })?;
    let number = match asked.previous {
        false => latest,
        true => latest.checked_sub(1).ok_or_else(|| {
            bad_request(format!("previous terminated container {container:?} in pod {pod:?} not found"))
        })?,
    };
    let start = StartId { pod_uid: request.pod_uid, container: container.clone(), number };
    let dir = runtime.output(&start).ok_or_else(|| bad_request(format!("container {container:?} has no output")))?;
    let request = Request {
        selection: Selection {
            timestamps: asked.timestamps,
            since: since(&asked, Utc::now()),
            limit: asked.limit_bytes.and_then(|limit| u64::try_from(limit).ok()),
        },
        tail: asked.tail_lines.map(|lines| usize::try_from(lines).unwrap_or(0)),
        follow: asked.follow,
    };
    let failed =
        |error: std::io::Error| internal(format!("cannot read the output of container {container:?}: {error}"));
    let mut reader = Reader::open(dir, request).map_err(failed)?;
    while let Some(bytes) = reader.next().await.map_err(failed)? {
        if !outlet.send(bytes).await {
            break;
        }
    }
    Ok(())
}

/// The time before which lines are left out, as output files write it.
fn since(asked: &proto::raftsman_v1::OutputRequest, now: DateTime<Utc>) -> Option<String> {
    let by_age = asked.since_seconds.and_then(TimeDelta::try_seconds).and_then(|age| now.checked_sub_signed(age));
    let at = by_age.or_else(|| api::time::opt(&asked.since_time))?;
    Some(at.to_rfc3339_opts(SecondsFormat::Nanos, true))
}

fn bad_request(message: String) -> Status {
    failure(400, "BadRequest", message)
}

fn internal(message: String) -> Status {
    failure(500, "InternalError", message)
}

fn failure(code: i32, reason: &str, message: String) -> Status {
    Status { status: "Failure".to_owned(), code, reason: reason.to_owned(), message, ..Status::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_more_is_sent_than_the_reader_has_room_for() {
        let (sender, mut sent) = mpsc::channel(PIECES);
        let room = room(&AgentOutputRequest { window: 2, ..Default::default() });
        let outlet = Outlet { id: 7, room: room.clone(), sender };
        let mut reads = Reads::default();
        let task = tokio::spawn(async move {
            for number in 0..4 {
                outlet.send(vec![number]).await;
            }
        });
        reads.running.insert(7, Read { task, room });
        let mut next = async || sent.recv().await.and_then(|message| message.message);
        assert_eq!(next().await, Some(Answer::Output(vec![0])));
        assert_eq!(next().await, Some(Answer::Output(vec![1])));
        tokio::task::yield_now().await;
        assert!(!reads.running[&7].task.is_finished(), "it waits for its reader");
        reads.credit(7, 1);
        assert_eq!(next().await, Some(Answer::Output(vec![2])));
        reads.credit(7, 5);
        assert_eq!(next().await, Some(Answer::Output(vec![3])));
        assert_eq!(next().await, None);
    }
}
