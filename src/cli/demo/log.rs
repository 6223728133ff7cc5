//! What happened, one thing a paragraph: the part of the demo that stays on the screen.

use anstyle::AnsiColor;
use jiff::Timestamp;
use serde_json::Value;

use super::numbers;
use crate::api::model::EventView;
use crate::cli::output;
use crate::simulation::Change;

/// Columns of the time and the label in front of each text.
const INDENT: usize = 21;

/// Narrower texts would be hard to read.
const TEXT_MIN: usize = 40;

/// Sentences of a judge's explanation that a time line can do without, by their first words.
const LEFT_OUT: [&str; 5] =
    ["Accepted is", "There is no next step", "The proof for", "Blue's come in bursts", "Evidence "];

/// Something that happened.
pub(super) struct Entry {
    /// When.
    pub(super) at: Timestamp,
    label: &'static str,
    colour: Option<AnsiColor>,
    text: String,
}

impl Entry {
    /// What the script made happen.
    pub(super) fn of_world(at: Timestamp, change: Change) -> Self {
        Self { at, label: "world", colour: Some(AnsiColor::Magenta), text: change.to_string() }
    }

    /// What the journal tells, if it is something to tell.
    pub(super) fn of_event(event: &EventView) -> Option<Self> {
        let data = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        let (label, colour) = match event.kind.as_str() {
            "phase_changed" => ("phase", colour_of_phase(data("to"))),
            "weight_intended" | "weight_confirmed" => ("weight", None),
            "step_passed" => ("step", Some(AnsiColor::Green)),
            "verdict_changed" => ("verdict", colour_of_verdict(data("verdict"))),
            "drift_found" | "drift_cleared" => ("drift", Some(AnsiColor::Yellow)),
            "notice_raised" => ("notice", Some(AnsiColor::Yellow)),
            "hold_changed" if is_worrying(data("reason")) => ("hold", Some(AnsiColor::Yellow)),
            "created" | "baseline_taken" => ("rollout", None),
            _ => return None,
        };
        Some(Self { at: event.at, label, colour, text: brief(&event.text) })
    }

    /// Its lines, the text wrapped to `width`.
    pub(super) fn lines(&self, start: Timestamp, width: usize) -> Vec<String> {
        let time = numbers::elapsed(self.at, start);
        let label = match self.colour {
            Some(colour) => output::coloured(colour, format!("{:<8}", self.label)),
            None => format!("{:<8}", self.label),
        };
        let texts = wrap(&self.text, width.saturating_sub(INDENT).max(TEXT_MIN));
        let head = format!("{}  {label}", output::dim(format!("{time:>9}")));
        let first = texts.first().map_or("", String::as_str);
        let mut lines = vec![format!("{head}  {first}")];
        lines.extend(texts.iter().skip(1).map(|text| format!("{:INDENT$}{text}", "")));
        lines
    }
}

fn colour_of_phase(phase: &str) -> Option<AnsiColor> {
    match phase {
        "rolling_back" | "rolled_back" | "aborted" | "halted" => Some(AnsiColor::Red),
        "paused" | "awaiting_approval" => Some(AnsiColor::Yellow),
        "completed" => Some(AnsiColor::Green),
        _ => Some(AnsiColor::Cyan),
    }
}

fn colour_of_verdict(verdict: &str) -> Option<AnsiColor> {
    match verdict {
        "passing" => Some(AnsiColor::Green),
        "failing" => Some(AnsiColor::Red),
        _ => Some(AnsiColor::Yellow),
    }
}

/// Holds that tell of trouble, and not just of the plan.
fn is_worrying(reason: &str) -> bool {
    matches!(
        reason,
        "no_data" | "common_cause" | "suspect" | "drift" | "route_unreadable" | "green_unhealthy" | "blue_unhealthy"
    )
}

/// An explanation without the sentences that only a closer look needs.
fn brief(text: &str) -> String {
    let sentences = text.split_inclusive(". ");
    let kept = sentences.filter(|sentence| LEFT_OUT.iter().all(|start| !sentence.starts_with(start)));
    kept.collect::<String>().trim_end().to_owned()
}

/// Breaks a text into lines of at most `width` columns, between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split_whitespace() {
        let longer = line.chars().count().saturating_add(1).saturating_add(word.chars().count());
        if !line.is_empty() && longer > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_break_between_words() {
        assert_eq!(wrap("one two three", 7), ["one two", "three"]);
        assert_eq!(wrap("unbreakable", 4), ["unbreakable"]);
        assert!(wrap("  ", 4).is_empty());
    }

    #[test]
    fn a_brief_text_keeps_what_was_concluded_and_counted() {
        let whole = "Roll back: worse. Of the requests 5 of 10 (5.0 %) failed on green. Accepted is up to 1.50 times \
                     blue's rate. Evidence against green: 2.0 to 1.";
        assert_eq!(brief(whole), "Roll back: worse. Of the requests 5 of 10 (5.0 %) failed on green.");
    }
}
