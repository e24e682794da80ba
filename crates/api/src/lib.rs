//! The meaning of the kinds: names, metadata, selectors, quantities, defaults, validation, schedules and dependencies.
//!
//! Everything here is pure and synchronous; time and randomness come in as arguments (design D8). The API server, the
//! controllers, the scheduler and the agent all decide with these functions, so a rule is written once.

pub mod condition;
pub mod defaults;
pub mod dependency;
pub mod duration;
pub mod fence;
pub mod field;
pub mod fields;
pub mod kind;
pub mod meta;
pub mod names;
pub mod prepare;
pub mod quantity;
pub mod resources;
pub mod schedule;
pub mod selector;
pub mod status;
pub mod storage;
pub mod taint;
pub mod time;
pub mod validate;
pub mod warnings;

/// The messages themselves, for crates that depend on this one only.
pub use proto;
