//! Label and field selectors: which objects a list, a watch or an owner means.

mod field;
mod label;
mod parse;

pub use field::{FieldSelector, FieldTerm, InvalidField};
pub use label::{LabelSelector, Operator, Requirement};

#[cfg(test)]
mod tests;
