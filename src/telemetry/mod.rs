//! What the controller tells of itself: metrics and log set-up.

pub mod metrics;

pub use metrics::{Metrics, TickReport};
