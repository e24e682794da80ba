//! Members come, go and come back: groups of real stores that meet over their peer ports.

// In a test a panic is the failure.
#![allow(clippy::unwrap_used)]

mod change;
mod founding;
mod group;
