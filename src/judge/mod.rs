//! The statistics that decide whether green serves its users as well as blue does.
//!
//! A *check* compares bad requests (errors, 4xx, slow requests) of the two sides, one metric period at a time.
//! Everything it has learned is one [`Evidence`]; each period gives a [`Reading`] that says whether to roll back,
//! hold, advance or go on. All of it is arithmetic on numbers that are passed in: no clock, no I/O, no randomness,
//! and no input that can make it panic. `docs/judge.md` explains the method and its limits.
#![deny(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    clippy::indexing_slicing,
    clippy::arithmetic_side_effects
)]

mod counts;
mod dispersion;
mod evidence;
mod explain;
mod forecast;
pub mod latency;
mod reading;
mod replay;
mod settings;
pub mod share;
mod stored;
mod tilt;

pub use counts::{Counts, Noise, concurrent, historical, promotion};
pub use evidence::{Evidence, EvidenceVersion};
pub use explain::{Explanation, Wording, explain};
pub use forecast::{Forecast, Outlook, Traffic, Undecidable, forecast};
pub use reading::{Conclusion, Reading, Reason, Thresholds, Window};
pub use replay::{Replayed, Row, replay};
pub use settings::{Settings, SettingsError};
