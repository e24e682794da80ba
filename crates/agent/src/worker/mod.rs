pub mod backoff;
pub mod conditions;
pub mod decide;
pub mod life;
pub mod status;
