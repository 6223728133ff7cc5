//! One integration binary: everything that needs more than one module, or a server.

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "test code"
)]

#[path = "../aws_stand_in/mod.rs"]
mod aws_stand_in;
mod aws_stand_in_faults;
mod aws_stand_in_metrics;
mod aws_stand_in_rules;
mod documents;
