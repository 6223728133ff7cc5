//! What an operator wrote, as typed values, or all that is wrong with it, each problem at its line.

pub mod controller;
mod environment;
mod layers;
mod problem;
mod reader;
pub mod rollout;
mod share;
mod tree;
mod written;

pub use environment::{Environment, ProcessEnvironment};
pub use problem::{DocumentErrors, Problem, Severity};
