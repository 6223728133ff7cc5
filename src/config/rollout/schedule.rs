//! When a document lets weight rise.

use jiff::Timestamp;
use jiff::civil::Time;
use jiff::tz::TimeZone;

use crate::config::problem::Findings;
use crate::config::reader::{At, nearest};
use crate::domain::schedule::{Schedule, Window, days};

const WINDOWS_MAX: usize = 20;
/// A week has seven days; ranges and single days may both be listed.
const DAYS_MAX: usize = 14;

pub(super) fn schedule(at: &At<'_>, out: &mut Findings) -> Schedule {
    let mut schedule = Schedule::default();
    let Some(fields) = at.fields("`schedule`", &["start_at", "windows"], &[], out) else { return schedule };
    schedule.start_at = fields.get("start_at").and_then(|at| {
        at.parse("`start_at`", "a moment such as `2026-03-28T12:00:00Z`", out, |text| {
            text.parse::<Timestamp>().map_err(|_not_read: jiff::Error| {
                format!("`{text}` is not a moment: write it with its offset, as `2026-03-28T12:00:00Z` or `2026-03-28T12:00:00+01:00`")
            })
        })
    });
    if let Some(items) = fields.get("windows").and_then(|at| at.list("`windows`", WINDOWS_MAX, out)) {
        schedule.windows = items.iter().filter_map(|item| window(item, out)).collect();
    }
    schedule
}

fn window(at: &At<'_>, out: &mut Findings) -> Option<Window> {
    let fields = at.fields("a window", &["days", "from", "to", "tz"], &[], out)?;
    let days = fields.require("days", "[mon-fri]", out).and_then(|at| day_list(at, out));
    let from = fields.require("from", "\"09:00\"", out).and_then(|at| time(at, "`from`", out));
    let to = fields.require("to", "\"16:00\"", out).and_then(|at| time(at, "`to`", out));
    let tz = fields.require("tz", "Europe/London", out).and_then(|at| zone(at, out));
    let window = Window { days: days?, from: from?, to: to?, tz: tz? };
    // Eight days from any moment hold every opening of a week.
    if window.opens_at(Timestamp::UNIX_EPOCH).is_none() {
        at.error(out, "this window never opens", None::<String>);
    }
    Some(window)
}

/// Days of the week in their order, each once.
fn day_list(at: &At<'_>, out: &mut Findings) -> Option<Vec<i8>> {
    let items = at.list("`days`", DAYS_MAX, out)?;
    if items.is_empty() {
        at.error(out, "this window never opens: it names no day", Some("write `days: [mon-fri]`"));
        return None;
    }
    let mut found = Vec::new();
    let mut all = true;
    for item in &items {
        let read = item.parse("a day", "a day such as `mon` or `mon-fri`", out, |text| {
            days(text).ok_or_else(|| format!("`{text}` is not a day: write `mon` to `sun`, or a range as `mon-fri`"))
        });
        all &= read.is_some();
        found.extend(read.unwrap_or_default());
    }
    found.sort_unstable();
    found.dedup();
    all.then_some(found)
}

fn time(at: &At<'_>, what: &str, out: &mut Findings) -> Option<Time> {
    at.parse(what, "a time of day such as `09:00`", out, |text| {
        let clock = text.bytes().all(|b| b.is_ascii_digit() || b == b':') && text.contains(':');
        clock.then(|| text.parse::<Time>().ok()).flatten().ok_or_else(|| {
            format!("`{text}` is not a time of day: write `00:00` to `23:59` (`to: 00:00` is the end of the day)")
        })
    })
}

fn zone(at: &At<'_>, out: &mut Findings) -> Option<String> {
    let text = at.text("`tz`", out)?;
    let known = TimeZone::get(text).is_ok();
    if !known {
        let names: Vec<String> = jiff::tz::db().available().map(|name| name.as_str().to_owned()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let help = nearest(text, &names).map_or_else(
            || "use a name of the IANA database, such as `Europe/London` or `UTC`".to_owned(),
            |near| format!("did you mean `{near}`?"),
        );
        at.error(out, format!("`{text}` is not a time zone that is known here"), Some(help));
    }
    known.then(|| text.to_owned())
}
