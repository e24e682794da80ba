pub mod launch;
pub mod runtime;
pub mod worker;
