//! Numbers as people read them.

use jiff::Timestamp;

use crate::domain::time::since;

/// A count with its thousands grouped.
pub(super) fn count(number: f64) -> String {
    let digits = format!("{:.0}", number.max(0.0));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A ratio in percent, with as many digits as tell something.
pub(super) fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent >= 10.0 { format!("{percent:.0} %") } else { format!("{percent:.2} %") }
}

/// The natural logarithm of odds, as `12 to 1`; what speaks for nothing is a dash.
pub(super) fn odds(log: Option<f64>) -> String {
    match log {
        None => "-".to_owned(),
        Some(log) if log < 0.095 => "-".to_owned(),
        Some(log) if log > 1e6_f64.ln() => "over 1,000,000".to_owned(),
        Some(log) if log < 10.0_f64.ln() => format!("{:.1}", log.exp()),
        Some(log) => count(log.exp()),
    }
}

/// Time since the story began, as `+12:05` or `+1:02:05`.
pub(super) fn elapsed(now: Timestamp, start: Timestamp) -> String {
    let seconds = since(now, start).as_secs().max(0);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 { format!("+{hours}:{minutes:02}:{seconds:02}") } else { format!("+{minutes}:{seconds:02}") }
}

/// Part of a whole, 0 to 1, as so many places of `width`: none only when there is nothing, all only when all is there.
pub(super) fn places(part: f64, width: u16) -> usize {
    let part = if part.is_finite() { part.clamp(0.0, 1.0) } else { 0.0 };
    let exact = part * f64::from(width);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and the width")]
    let places = exact.round() as u16;
    let places = if part > 0.0 { places.max(1) } else { places };
    let places = if part < 1.0 { places.min(width.saturating_sub(1)) } else { places };
    usize::from(places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_well() {
        assert_eq!(count(1_234_567.4), "1,234,567");
        assert_eq!(count(0.0), "0");
        assert_eq!(percent(0.0021), "0.21 %");
        assert_eq!(percent(0.5), "50 %");
        assert_eq!(odds(None), "-");
        assert_eq!(odds(Some(20_000.0_f64.ln())), "20,000");
        assert_eq!(odds(Some(2.5_f64.ln())), "2.5");
    }

    #[test]
    fn a_bar_is_full_only_when_the_whole_is_there() {
        assert_eq!([places(0.0, 10), places(0.001, 10), places(0.5, 10), places(0.999, 10)], [0, 1, 5, 9]);
        assert_eq!([places(1.0, 10), places(7.0, 10), places(f64::NAN, 10)], [10, 10, 0]);
    }

    #[test]
    fn times_show_hours_only_when_there_are_some() {
        let start: Timestamp = "2026-03-02T10:00:00Z".parse().unwrap();
        let at = |text: &str| elapsed(text.parse().unwrap(), start);
        assert_eq!(at("2026-03-02T10:04:05Z"), "+4:05");
        assert_eq!(at("2026-03-02T11:04:05Z"), "+1:04:05");
        assert_eq!(at("2026-03-02T09:04:05Z"), "+0:00");
    }
}
