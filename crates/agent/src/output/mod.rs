//! What containers printed: read from the files that their shims write, served to the API servers.

pub mod lines;
pub mod read;
pub mod serve;
