//! Everything that is tested from outside, in one binary.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::wildcard_enum_match_arm,
    reason = "a test fails by panicking, also where it calls a function of its own"
)]

mod journal_contract;
mod journal_crash;
mod journal_samples;
mod journal_sqlite;
