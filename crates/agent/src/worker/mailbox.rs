//! How a worker hears of its Pod: one slot, in which a newer Pod replaces an older one that was not taken yet.

use std::sync::Arc;

use parking_lot::Mutex;
use proto::core_v1::Pod;
use tokio::sync::Notify;

/// News of a Pod.
#[derive(Debug, PartialEq)]
pub enum News {
    Changed(Box<Pod>),
    /// Its object is no more.
    Gone,
}

/// Clones are the same mailbox.
#[derive(Clone, Default)]
pub struct Mailbox {
    slot: Arc<Slot>,
}

#[derive(Default)]
struct Slot {
    news: Mutex<Option<News>>,
    wake: Notify,
}

impl Mailbox {
    pub fn put(&self, news: News) {
        *self.slot.news.lock() = Some(news);
        self.slot.wake.notify_one();
    }

    pub fn try_take(&self) -> Option<News> {
        self.slot.news.lock().take()
    }

    /// Cancel-safe: news that were not taken stay.
    pub async fn take(&self) -> News {
        loop {
            if let Some(news) = self.try_take() {
                return news;
            }
            self.slot.wake.notified().await;
        }
    }
}
