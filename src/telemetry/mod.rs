//! What the controller tells of itself: metrics and log set-up.

mod families;
pub mod logs;
pub mod metrics;

pub use metrics::{Metrics, MetricsError, TickReport};
