//! The kinds' JSON, as Kubernetes reads and writes it (reference: kinds-from-proto.md).
//!
//! ```text
//! bytes --decode::<Job>--> Decoded { value: Job, api_version: "batch/v1", kind: "Job", problems: [] }
//! {"spec":{"completions":"3"}}   Err: json: cannot unmarshal string into Go struct field JobSpec.spec.completions of type int32
//! {"spec":{"complations":3}}     problems: unknown field "spec.complations"
//! {"spec":{"suspend":true,"suspend":false}}   problems: duplicate field "spec.suspend"
//! ```
//!
//! The members of each message are generated (build/json.rs); this module holds the traits that they implement, the
//! scalars and the cursor that knows where in the document we are.

mod cursor;
mod decode;
mod document;
mod encode;
mod generated;
mod instant;
mod scalar;

pub use cursor::Cursor;
pub use decode::{Decoded, Error, Fields, Value, decode};
pub use document::Document;
pub use encode::{Object, to_string, to_vec};

/// A message with a JSON form: what [`to_vec`] and [`decode`] take.
pub trait Json: Fields {}
impl<T: Fields> Json for T {}

#[cfg(test)]
mod tests;
