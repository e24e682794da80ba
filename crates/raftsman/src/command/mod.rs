//! Commands for people, one file a verb.

pub mod bench;
pub mod connection;
pub mod cron;
pub mod job;
pub mod member;
pub mod node;
pub mod pki;
pub mod print;
pub mod snapshot;
pub mod store;
pub mod token;
pub mod version;
