//! Watches: every change of the keys that a client asked for, in order, once, whole revisions at a time.
//!
//! ```text
//!  machine worker --feed (never blocks)--> hub thread --> synced watchers' streams
//!                                             | a full stream: its watcher falls behind
//!                                             v
//!                    catch-up thread: reads the history from disk --> streams; level again: synced
//! ```
//!
//! A watcher is *synced* when it has been given everything up to the hub's revision; the hub hands new changes
//! to it directly. All others (a start in the past, a stream that could not take more) are brought up by the
//! catch-up thread, from disk. Each has one number, `next`: the first revision that it has not been given.
//! Both threads give only what is at or after `next` and move it under the hub's lock, so nothing is given twice
//! or left out, whoever gives it.
//!
//! A stream's queue carries events, creations, cancellations and progress alike: progress can't overtake events.

mod catchup;
mod change;
mod feed;
mod hub;
mod response;
mod watcher;

pub use feed::feed;
pub use hub::{Hub, StreamHandle};
pub use response::Response;
