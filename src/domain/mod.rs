//! The rules of a rollout: pure values and functions. Nothing here reads a clock, does I/O, logs or panics.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]
#![cfg_attr(test, expect(clippy::arithmetic_side_effects, reason = "tests may panic"))]

pub mod advance;
pub mod analysis;
pub mod check;
pub mod command;
pub mod event;
pub mod forecast;
pub mod freeze;
pub mod hold;
pub mod ids;
pub mod invariants;
pub mod latency;
pub mod observation;
pub mod phase;
pub mod plan;
pub mod preflight;
pub mod replay;
pub mod request;
pub mod rollout;
pub mod schedule;
pub mod share;
pub mod time;
pub mod weight;
