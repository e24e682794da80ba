//! What the suites under `tests/` share: real processes of ours, real clients, and patience.

pub mod cluster;
pub mod dice;
pub mod docker;
pub mod exposition;
pub mod history;
pub mod members;
pub mod netns;
pub mod patience;
pub mod peers;
pub mod process;
pub mod runs;
pub mod source;
pub mod store_client;
pub mod traffic;
pub mod watching;
