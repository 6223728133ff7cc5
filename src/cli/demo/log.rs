//! What happened, one thing a paragraph: the part of the demo that stays on the screen.

use std::collections::BTreeMap;

use anstyle::AnsiColor;
use jiff::Timestamp;
use serde_json::Value;

use super::numbers;
use crate::api::model::EventView;
use crate::cli::output;
use crate::domain::event::Verdict;
use crate::simulation::Change;

/// Columns of the time and the label in front of each text.
const INDENT: usize = 21;

/// Narrower texts would be hard to read.
const TEXT_MIN: usize = 40;

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

/// What of the journal is worth telling.
#[derive(Default)]
pub(super) struct Reader {
    /// The last verdict of each check that was told.
    verdicts: BTreeMap<String, Verdict>,
}

impl Reader {
    /// What an event tells, if it is something to tell.
    pub(super) fn read(&mut self, event: &EventView) -> Option<Entry> {
        let data = |key: &str| event.data.get(key).and_then(Value::as_str).unwrap_or_default();
        let text = || short(&event.text);
        let (label, colour, text) = match event.kind.as_str() {
            "phase_changed" => ("phase", Some(colour_of_phase(data("to"))), text()),
            "weight_intended" | "weight_confirmed" => ("weight", None, text()),
            "step_passed" => ("step", Some(AnsiColor::Green), step_passed(event)),
            "verdict_changed" => {
                let verdict = serde_json::from_value(event.data.get("verdict").cloned()?).ok()?;
                let colour = Some(output::verdict_colour(verdict));
                ("verdict", colour, self.verdict(data("check"), verdict, data("reason"), data("detail"))?)
            }
            "drift_found" | "drift_cleared" => ("drift", Some(AnsiColor::Yellow), text()),
            "notice_raised" => ("notice", Some(AnsiColor::Yellow), text()),
            "hold_changed" if is_worrying(data("reason")) => ("hold", Some(AnsiColor::Yellow), text()),
            "requested" => ("person", Some(AnsiColor::Magenta), text()),
            "created" | "baseline_taken" => ("rollout", None, text()),
            _ => return None,
        };
        Some(Entry { at: event.at, label, colour, text })
    }

    /// That evidence begins anew with a weight is no news, nor that it is undecided at first.
    fn verdict(&mut self, check: &str, verdict: Verdict, reason: &str, detail: &str) -> Option<String> {
        let before = self.verdicts.insert(check.to_owned(), verdict).unwrap_or(Verdict::Inconclusive);
        let waits = matches!(reason, "no_period_yet" | "undecided");
        if waits && (before == Verdict::Inconclusive || reason == "no_period_yet") {
            return None;
        }
        // What is concluded, and the counts: the first two sentences.
        let mut sentences = detail.split_inclusive(". ");
        let headline = sentences.next().unwrap_or_default();
        let headline = headline.split_once(": ").map_or(headline, |(_conclusion, why)| why);
        let counts = sentences.next().unwrap_or_default().trim_end();
        Some(format!("{check} {}: {headline}{counts}", verdict.as_str()))
    }
}

fn step_passed(event: &EventView) -> String {
    let proven = event.data.pointer("/cause/code").and_then(Value::as_str) == Some("proven");
    match event.text.split_once(": ") {
        Some((step, _every_verdict)) if proven => {
            format!("{step}: every check is proven good enough for the next")
        }
        Some(_) | None => short(&event.text),
    }
}

fn colour_of_phase(phase: &str) -> AnsiColor {
    match phase {
        "rolling_back" | "rolled_back" | "aborted" | "halted" => AnsiColor::Red,
        "paused" | "awaiting_approval" => AnsiColor::Yellow,
        "completed" => AnsiColor::Green,
        _ => AnsiColor::Cyan,
    }
}

/// Holds that tell of trouble, and not just of the plan.
fn is_worrying(reason: &str) -> bool {
    matches!(
        reason,
        "no_data" | "common_cause" | "suspect" | "drift" | "route_unreadable" | "green_unhealthy" | "blue_unhealthy"
    )
}

/// The first sentence of a text, with names of resources that fit a line. The counts stand in the verdict.
fn short(text: &str) -> String {
    let first = text.split(". ").next().unwrap_or_default().trim_end_matches('.').replace(": Roll back: ", ": ");
    let word = |word: &str| match word.strip_prefix("arn:").and_then(|arn| arn.rsplit_once('/')) {
        Some((_, last)) => format!("rule {last}"),
        None => word.to_owned(),
    };
    first.split(' ').map(word).collect::<Vec<_>>().join(" ")
}

/// Breaks a text into lines of at most `width` columns, between words.
pub(super) fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    // A number keeps its percent sign.
    let text = text.replace(" %", "\u{a0}%");
    for word in text.split(' ').filter(|word| !word.is_empty()) {
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
    lines.iter().map(|line| line.replace('\u{a0}', " ")).collect()
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
    fn a_number_is_not_parted_from_its_percent_sign() {
        assert_eq!(wrap("of 10 (5.0 %) on", 12), ["of 10", "(5.0 %) on"]);
    }

    #[test]
    fn a_short_text_is_one_sentence_without_long_names() {
        let long = "green is to get 0%: check `errors`: Roll back: green is worse. Of the requests 5 of 10 failed.";
        assert_eq!(short(long), "green is to get 0%: check `errors`: green is worse");
        let named = "changed: arn:aws:elasticloadbalancing:eu-west-1:1:listener/app/web/50dc/f2f7: green has 0%";
        assert_eq!(short(named), "changed: rule f2f7: green has 0%");
    }

    #[test]
    fn a_verdict_is_told_when_it_says_something_new() {
        let mut reader = Reader::default();
        let mut tell = |verdict, reason| reader.verdict("errors", verdict, reason, "Go on: so it is. 1 of 2. More.");
        assert_eq!(tell(Verdict::Inconclusive, "no_period_yet"), None);
        assert_eq!(tell(Verdict::Inconclusive, "undecided"), None);
        let told = tell(Verdict::Passing, "proven");
        assert_eq!(told.as_deref(), Some("errors passing: so it is. 1 of 2."));
        assert!(tell(Verdict::Inconclusive, "undecided").is_some(), "a proof was lost again");
        assert!(tell(Verdict::Inconclusive, "common_cause").is_some());
    }
}
