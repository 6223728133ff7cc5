//! One integration binary: the rules, their invariants and whole stories, on worlds in memory.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may panic")]

mod invariants;
mod scenarios;
mod states;
mod world;
