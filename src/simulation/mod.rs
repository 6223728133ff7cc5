//! A seeded world in memory: traffic, errors, latency, faults and foreign writers, with honest statistics. It drives the
//! memory adapters, so that the real controller runs over it, faster than time.

pub mod scenario;
pub mod script;
pub mod world;

pub use scenario::{SCENARIOS, Scenario};
pub use script::{Change, Cue, When};
pub use world::{Felt, World};
