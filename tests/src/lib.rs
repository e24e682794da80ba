//! What the suites under `tests/` share: real processes of ours, real clients, and patience.

pub mod cluster;
pub mod patience;
pub mod peers;
pub mod process;
pub mod source;
