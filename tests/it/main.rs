//! One integration binary: everything that needs more than one module, or a server.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test code")]

#[path = "../aws_stand_in/mod.rs"]
mod aws_stand_in;
mod aws_stand_in_rules;
