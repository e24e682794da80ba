//! Everything that touches openraft and RocksDB. Outside of this folder neither is named.
//!
//! ```text
//!  services --propose--> node --client_write--> openraft --append--> log (own database, fsync)
//!                                                   |
//!                                                 apply
//!                                                   v
//!                                state: worker -> machine -> one batch -> events -> watch hub
//! ```

mod codec;
mod database;
pub mod log;
mod mark;
mod network;
mod node;
mod pending;
pub mod restore;
mod salvage;
pub mod state;
mod threads;
mod types;

pub use database::sync_dir;
pub use network::{Identity, Links, MESSAGE_BYTES_MAX};
pub use node::{Leadership, Membership, Node, NodeConfig, ProposeError, ReadError, Reshape};
pub use pending::Pending;
pub use salvage::salvage;
pub use threads::Threads;

#[cfg(test)]
mod suite_tests;
#[cfg(test)]
mod tests;
