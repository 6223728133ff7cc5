//! Moments and lengths of time, with arithmetic that cannot fail.

use std::fmt;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A length of time, never negative. Written as `90s`, `10m`, `1h30m` or ISO 8601 (`PT10M`), shown in the first form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span(SignedDuration);

/// Why a text is no length of time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a duration: write `90s`, `10m`, `1h30m` or ISO 8601 such as `PT10M`")]
pub struct BadSpan(pub String);

impl Span {
    /// No time at all.
    pub const ZERO: Self = Self(SignedDuration::ZERO);

    /// From seconds; at most the largest `i64`.
    pub const fn from_secs(seconds: u32) -> Self {
        Self(SignedDuration::from_secs(seconds as i64))
    }

    /// From milliseconds.
    pub const fn from_millis(milliseconds: u32) -> Self {
        Self(SignedDuration::from_millis(milliseconds as i64))
    }

    /// From minutes.
    pub const fn from_mins(minutes: u32) -> Self {
        Self(SignedDuration::from_secs((minutes as i64).saturating_mul(60)))
    }

    /// From hours.
    pub const fn from_hours(hours: u32) -> Self {
        Self(SignedDuration::from_secs((hours as i64).saturating_mul(3600)))
    }

    /// Reads the written form.
    pub fn parse(text: &str) -> Result<Self, BadSpan> {
        let bad = || BadSpan(text.to_owned());
        let length: SignedDuration = text.trim().parse().map_err(|_not_read: jiff::Error| bad())?;
        if length.is_negative() { Err(bad()) } else { Ok(Self(length)) }
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> i64 {
        self.0.as_secs()
    }

    /// Seconds with their fraction.
    pub fn as_secs_f64(self) -> f64 {
        self.0.as_secs_f64()
    }

    /// As the standard library's duration.
    pub fn to_std(self) -> std::time::Duration {
        self.0.unsigned_abs()
    }

    /// Both together, at most the longest length there is.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.checked_add(other.0).unwrap_or(SignedDuration::MAX))
    }

    /// `times` as long, at most the longest length there is.
    #[must_use]
    pub fn times(self, times: u32) -> Self {
        let factor = i32::try_from(times).unwrap_or(i32::MAX);
        Self(self.0.checked_mul(factor).unwrap_or(SignedDuration::MAX))
    }

    /// What is left of this after `other`, never below zero.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        let left = self.0.checked_sub(other.0).unwrap_or(SignedDuration::ZERO);
        Self(if left.is_negative() { SignedDuration::ZERO } else { left })
    }
}

impl From<std::time::Duration> for Span {
    fn from(length: std::time::Duration) -> Self {
        Self(SignedDuration::try_from(length).unwrap_or(SignedDuration::MAX))
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
        const PRINTER: SpanPrinter = SpanPrinter::new().designator(Designator::Compact).spacing(Spacing::None);
        f.pad(&PRINTER.duration_to_string(&self.0))
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// The moment `span` after `moment`; at most the last moment that can be written.
pub fn after(moment: Timestamp, span: Span) -> Timestamp {
    moment.checked_add(span.0).unwrap_or(Timestamp::MAX)
}

/// The moment `span` before `moment`; at least the first moment that can be written.
pub fn before(moment: Timestamp, span: Span) -> Timestamp {
    moment.checked_sub(span.0).unwrap_or(Timestamp::MIN)
}

/// How long `now` is after `then`; zero when it is not after (clocks can step back).
pub fn since(now: Timestamp, then: Timestamp) -> Span {
    let length = now.duration_since(then);
    Span(if length.is_negative() { SignedDuration::ZERO } else { length })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_as_people_write_them() {
        for (text, shown) in
            [("90s", "1m30s"), ("10m", "10m"), ("1h30m", "1h30m"), ("PT10M", "10m"), ("0s", "0s"), ("72h", "72h")]
        {
            assert_eq!(Span::parse(text).unwrap().to_string(), shown, "{text}");
        }
        for bad in ["", "10", "-5m", "soon", "1 fortnight"] {
            assert!(Span::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn time_that_runs_backwards_counts_as_none() {
        let now: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let earlier = before(now, Span::from_secs(5));
        assert_eq!(since(now, earlier), Span::from_secs(5));
        assert_eq!(since(earlier, now), Span::ZERO);
    }
}
