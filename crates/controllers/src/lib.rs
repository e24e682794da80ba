//! The controllers.

pub mod job;
pub mod plan;
pub mod pod_view;
