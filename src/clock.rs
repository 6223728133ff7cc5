//! The only place that reads the time.

use std::sync::Mutex;

use jiff::Timestamp;

use crate::domain::time::{Span, after};

/// Where the time comes from.
pub trait Clock: Send + Sync + 'static {
    /// The present moment.
    fn now(&self) -> Timestamp;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one reader of the wall clock")]
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until it is moved: for tests, the demo and simulations.
#[derive(Debug)]
pub struct ManualClock {
    now: Mutex<Timestamp>,
}

impl ManualClock {
    /// A clock that shows `start`.
    pub const fn new(start: Timestamp) -> Self {
        Self { now: Mutex::new(start) }
    }

    /// Moves it forward.
    pub fn advance(&self, by: Span) {
        let mut now = self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = after(*now, by);
    }

    /// Sets it, forward or back: real clocks step too.
    pub fn set(&self, to: Timestamp) {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = to;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.now.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A clock that runs faster than the machine's: hours of a simulated rollout pass in seconds. It follows tokio's time, so
/// a test that pauses that one pauses this one too.
#[derive(Debug, Clone, Copy)]
pub struct ScaledClock {
    start: Timestamp,
    origin: tokio::time::Instant,
    speed: u32,
}

impl ScaledClock {
    /// A clock that shows `start` now and runs `speed` times as fast as the machine's.
    pub fn new(start: Timestamp, speed: u32) -> Self {
        Self { start, origin: tokio::time::Instant::now(), speed }
    }

    /// How many times as fast as the machine's clock it runs.
    pub const fn speed(&self) -> u32 {
        self.speed
    }
}

impl Clock for ScaledClock {
    fn now(&self) -> Timestamp {
        after(self.start, Span::from(self.origin.elapsed()).times(self.speed))
    }
}
