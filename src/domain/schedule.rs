//! When weight may rise: a start time and weekly windows in a time zone. Lowering is never scheduled.

use jiff::civil::{Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Zoned};
use serde::{Deserialize, Serialize};

/// When a rollout may begin and when its weight may rise.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Schedule {
    /// Not before this moment.
    pub start_at: Option<Timestamp>,
    /// Raises only inside one of these; empty = always.
    #[serde(default)]
    pub windows: Vec<Window>,
}

/// A weekly window. Its times are wall-clock times of its zone, so it keeps its hours over daylight-saving changes; a
/// time that does not exist on a day is the moment of the jump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Days on which it opens, Monday = 1 to Sunday = 7 (ISO 8601).
    pub days: Vec<i8>,
    /// Opens at.
    pub from: Time,
    /// Closes at; not after `from` means on the next day.
    pub to: Time,
    /// IANA name of the time zone, known to the bundled database.
    pub tz: String,
}

impl Schedule {
    /// Whether weight may rise at `now`.
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.opens_at(now).is_none_or(|at| at <= now)
    }

    /// When weight may rise next: `None` = at any time, `Some(now)` or earlier = now, later = then. With windows that
    /// never open (which documents are refused for) the last moment that can be written.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let from = self.start_at.filter(|start| *start > now).unwrap_or(now);
        if self.windows.is_empty() {
            return self.start_at.map(|_| from);
        }
        let opening = self.windows.iter().filter_map(|window| window.opens_at(from)).min();
        Some(opening.unwrap_or(Timestamp::MAX))
    }
}

impl Window {
    /// `now` when it is open then, else its next opening; `None` when its zone is unknown or it names no day.
    pub fn opens_at(&self, now: Timestamp) -> Option<Timestamp> {
        let zone = TimeZone::get(&self.tz).ok()?;
        let today = now.to_zoned(zone);
        // From yesterday (a window over midnight) to the same weekday of next week.
        (-1_i64..=8).filter_map(|offset| self.on_day(&today, offset)).find_map(|(open, close)| {
            let ends_later = close > now;
            ends_later.then(|| if open > now { open } else { now })
        })
    }

    /// Opening and closing of the window that opens `offset` days after `today`.
    fn on_day(&self, today: &Zoned, offset: i64) -> Option<(Timestamp, Timestamp)> {
        let day = today.date().checked_add(offset.days()).ok()?;
        let named = self.days.contains(&day.weekday().to_monday_one_offset());
        if !named {
            return None;
        }
        let zone = today.time_zone();
        let closing_day = if self.to <= self.from { day.tomorrow().ok()? } else { day };
        let open = day.to_datetime(self.from).to_zoned(zone.clone()).ok()?.timestamp();
        let close = closing_day.to_datetime(self.to).to_zoned(zone.clone()).ok()?.timestamp();
        Some((open, close))
    }
}

/// Reads `mon`, `mon-fri`, `sat`; the days in ISO numbers, Monday = 1. `None` for anything else.
pub fn days(text: &str) -> Option<Vec<i8>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (day(first.trim())?, day(last.trim())?);
    let mut found = vec![first];
    let mut current = first;
    while current != last {
        current = if current == 7 { 1 } else { current.saturating_add(1) };
        found.push(current);
    }
    Some(found)
}

fn day(text: &str) -> Option<i8> {
    let names = [
        ("mon", Weekday::Monday),
        ("tue", Weekday::Tuesday),
        ("wed", Weekday::Wednesday),
        ("thu", Weekday::Thursday),
        ("fri", Weekday::Friday),
        ("sat", Weekday::Saturday),
        ("sun", Weekday::Sunday),
    ];
    let lower = text.to_ascii_lowercase();
    names.into_iter().find(|(name, _)| *name == lower).map(|(_, day)| day.to_monday_one_offset())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn business_hours(tz: &str) -> Window {
        Window {
            days: days("mon-fri").unwrap(),
            from: "09:00".parse().unwrap(),
            to: "16:00".parse().unwrap(),
            tz: tz.to_owned(),
        }
    }

    #[test]
    fn a_window_keeps_its_wall_clock_hours_over_daylight_saving() {
        let window = business_hours("Europe/London");
        // Friday 27 March 2026 is winter time, Monday 30 March summer time.
        assert_eq!(window.opens_at(at("2026-03-27T08:59:00Z")), Some(at("2026-03-27T09:00:00Z")));
        assert_eq!(window.opens_at(at("2026-03-27T16:00:00Z")), Some(at("2026-03-30T08:00:00Z")));
        assert_eq!(window.opens_at(at("2026-03-30T14:59:59Z")), Some(at("2026-03-30T14:59:59Z")));
    }

    #[test]
    fn a_window_over_midnight_is_open_on_the_next_morning() {
        let night = Window { from: "22:00".parse().unwrap(), to: "04:00".parse().unwrap(), ..business_hours("UTC") };
        // Friday's window reaches into Saturday morning; Saturday itself opens none.
        assert_eq!(night.opens_at(at("2026-03-28T03:00:00Z")), Some(at("2026-03-28T03:00:00Z")));
        assert_eq!(night.opens_at(at("2026-03-28T04:00:00Z")), Some(at("2026-03-30T22:00:00Z")));
    }

    #[test]
    fn a_start_time_waits_and_then_windows_count() {
        let schedule =
            Schedule { start_at: Some(at("2026-03-28T12:00:00Z")), windows: vec![business_hours("Europe/London")] };
        assert_eq!(schedule.opens_at(at("2026-03-27T10:00:00Z")), Some(at("2026-03-30T08:00:00Z")));
        assert!(Schedule::default().is_open(at("2026-03-27T10:00:00Z")));
    }

    #[test]
    fn days_wrap_around_the_week() {
        assert_eq!(days("sat-mon"), Some(vec![6, 7, 1]));
        assert_eq!(days("Sun"), Some(vec![7]));
        assert_eq!(days("someday"), None);
    }
}
