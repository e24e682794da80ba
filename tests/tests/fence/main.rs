//! Nothing lives or leads twice (designs D4 and D7): nodes that are cut off, agents that die, a control plane that is away, and
//! leaders that were frozen; with real processes, which write down when they lived.
//!
//! The cases wait most of the time, so they run side by side.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod ground;
mod leaders;
mod nodes;
mod outage;
