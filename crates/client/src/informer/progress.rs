//! How far an informer is, and how to wait until it is further.
//!
//! A watch is silent about what happens to other kinds, so an idle kind seems to lag behind for as long as nobody asks. The
//! server's answer to one question moves every watch of the connection; so those who wait at the same time ask once.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::client::Client;
use crate::servers::Server;

/// After so long without the awaited revision, the server is asked how far it is.
const PROGRESS_AFTER: Duration = Duration::from_millis(100);

/// Up to which revision everything is known of one kind.
pub struct Progress {
    client: Client,
    // 0 until the first list is complete.
    revision: watch::Sender<i64>,
    // Whom the watch runs on: the only server that can tell its progress.
    server: Mutex<Option<Server>>,
}

impl Progress {
    pub(super) fn new(client: &Client) -> Self {
        Progress { client: client.clone(), revision: watch::Sender::new(0), server: Mutex::new(None) }
    }

    pub(super) fn client(&self) -> &Client {
        &self.client
    }

    pub(super) fn served_by(&self, server: &Server) {
        *self.server.lock() = Some(server.clone());
    }

    /// A list is complete: what is known is that of this revision.
    pub(super) fn listed(&self, revision: i64) {
        self.revision.send_replace(revision);
    }

    /// Never backwards.
    pub(super) fn moved(&self, to: i64) {
        self.revision.send_if_modified(|revision| {
            let moved = to > *revision;
            *revision = (*revision).max(to);
            moved
        });
    }

    /// The revision up to which everything is known; 0 before the first list.
    pub fn revision(&self) -> i64 {
        *self.revision.borrow()
    }

    /// Waits until everything up to `revision` is known, which was written to this kind: its watch is about to tell.
    pub async fn reached(&self, revision: i64) {
        self.wait_asking(revision, PROGRESS_AFTER).await;
    }

    /// Waits until everything up to `revision` is known, whatever it was written to: the server is asked at once.
    pub async fn caught_up(&self, revision: i64) {
        self.wait_asking(revision, Duration::ZERO).await;
    }

    pub(super) async fn wait(&self, revision: i64) {
        let mut reached = self.revision.subscribe();
        // The sender lives in `self`.
        reached.wait_for(|reached| *reached >= revision).await.expect("the sender is alive");
    }

    async fn wait_asking(&self, revision: i64, mut patience: Duration) {
        let mut asked = false;
        while tokio::time::timeout(patience, self.wait(revision)).await.is_err() {
            // A server that does not answer must not hold up what its watch tells all the same.
            tokio::select! {
                () = self.wait(revision) => return,
                () = self.ask(revision, asked) => {}
            }
            asked = true;
            patience = PROGRESS_AFTER;
        }
    }

    /// `again`: an answer that others got did not help, for the watch may be younger than it.
    async fn ask(&self, revision: i64, again: bool) {
        let Some(server) = self.server.lock().clone() else { return };
        let answer = match again {
            false => self.client.progress_to(&server, revision).await,
            true => self.client.progress(&server).await.map(|_| ()),
        };
        if let Err(error) = answer {
            tracing::debug!(%error, "asking for progress");
        }
    }
}
