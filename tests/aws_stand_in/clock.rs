//! The stand-in's own time: real, faster than real, or moved by hand.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z.
pub(crate) type Millis = i64;

/// A clock that starts at some instant and runs at some speed.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    base: Millis,
    since: Instant,
    scale: f64,
}

impl Clock {
    /// The wall clock.
    pub(crate) fn real() -> Self {
        Self { base: wall_clock(), since: Instant::now(), scale: 1.0 }
    }

    /// A clock that stands at `start` until it is moved by hand.
    pub(crate) fn manual(start: Millis) -> Self {
        Self { base: start, since: Instant::now(), scale: 0.0 }
    }

    /// What the clock shows.
    pub(crate) fn now(&self) -> Millis {
        self.base + (self.since.elapsed().as_secs_f64() * 1000.0 * self.scale) as Millis
    }

    /// Runs `scale` times as fast as real time from now on; 0 stops the clock.
    pub(crate) fn set_scale(&mut self, scale: f64) {
        self.base = self.now();
        self.since = Instant::now();
        self.scale = scale.max(0.0);
    }

    /// Jumps ahead.
    pub(crate) fn advance(&mut self, by: Millis) {
        self.base += by;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock in the stand-in")]
fn wall_clock() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    since.as_millis() as Millis
}

/// RFC 3339 with milliseconds, as AWS prints it in XML.
pub(crate) fn iso(at: Millis) -> String {
    jiff::Timestamp::from_millisecond(at).map_or_else(|_| String::new(), |stamp| format!("{stamp:.3}"))
}

/// Reads RFC 3339; `None` when it is none.
pub(crate) fn parse_iso(text: &str) -> Option<Millis> {
    text.parse::<jiff::Timestamp>().ok().map(jiff::Timestamp::as_millisecond)
}
