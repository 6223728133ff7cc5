//! What an operator wrote, as typed values, or all that is wrong with it, each problem at its line.

mod problem;
mod reader;
pub mod rollout;
mod share;
mod tree;

pub use problem::{DocumentErrors, Problem, Severity};
