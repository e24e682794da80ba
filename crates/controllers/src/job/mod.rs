//! The Job controller.

pub mod decide;
mod template;

pub use decide::{Snapshot, decide, is_finished};
