//! What the judge would have said about recorded metrics.

use super::counts::Counts;
use super::evidence::Evidence;
use super::explain::{Wording, explain};
use super::forecast::{Traffic, forecast};
use super::reading::{Conclusion, Reading, Reason};
use super::settings::Settings;

/// Longest time that a replay forecasts before it says "not decidable".
const HORIZON_S: f64 = 3.0 * 86_400.0;

/// One recorded period; `time` is whatever the caller orders them by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<T> {
    /// When it was.
    pub time: T,
    /// Its length, seconds.
    pub period_s: f64,
    /// Blue's counts.
    pub blue: Counts,
    /// Green's counts.
    pub green: Counts,
}

/// What the judge would have said after one period.
#[derive(Debug, Clone, PartialEq)]
pub struct Replayed<T> {
    /// When.
    pub time: T,
    /// What it would have asked for.
    pub conclusion: Conclusion,
    /// Why.
    pub reason: Reason,
    /// Whether conclusion, reason or step differ from the period before.
    pub changed: bool,
    /// Index of the step whose weight the recorded traffic had.
    pub step: usize,
    /// "Would have …", with the numbers.
    pub sentence: String,
    /// All numbers.
    pub reading: Reading,
}

/// Judges recorded periods, oldest first, that went through `steps` (green's weights, rising, 0 to 1).
///
/// Periods before green's first request teach blue's usual rate. The step is read off the recorded share of requests,
/// for the record did not follow this judge. The list ends with the first rollback.
pub fn replay<T: Clone>(settings: &Settings, steps: &[f64], rows: &[Row<T>], wording: &Wording) -> Vec<Replayed<T>> {
    let mut evidence = Evidence::new();
    let mut step: Option<usize> = None;
    let mut said: Vec<Replayed<T>> = Vec::new();
    for row in rows {
        let (blue, green) = (row.blue.cleaned(), row.green.cleaned());
        if step.is_none() && green.requests <= 0.0 {
            evidence.history(settings, blue, row.period_s);
            continue;
        }
        let now = step_at(steps, blue, green, step);
        if step != Some(now) {
            let weight = |index: usize| steps.get(index).copied();
            evidence.step(settings, weight(now).unwrap_or(1.0), weight(now.saturating_add(1)));
        }
        let reading = evidence.update(settings, blue, green, row.period_s);
        let outlook = Traffic::seen(&reading, row.period_s).map(|seen| forecast(settings, &evidence, &seen, HORIZON_S));
        let next = steps.get(now.saturating_add(1)).copied();
        let explanation = explain(settings, &reading, wording, outlook.as_ref());
        let before = said.last().map(|last| (last.conclusion, last.reason, last.step));
        said.push(Replayed {
            time: row.time.clone(),
            conclusion: reading.conclusion,
            reason: reading.reason,
            changed: before != Some((reading.conclusion, reading.reason, now)),
            step: now,
            sentence: format!("{} {explanation}", would_have(&reading, next)),
            reading: reading.clone(),
        });
        step = Some(now);
        if reading.conclusion == Conclusion::Rollback {
            break;
        }
    }
    said
}

fn would_have(reading: &Reading, next: Option<f64>) -> String {
    match (reading.conclusion, next) {
        (Conclusion::Rollback, _) => "Would have rolled back.".to_owned(),
        (Conclusion::Hold, _) => "Would have held.".to_owned(),
        (Conclusion::Advance, Some(weight)) => format!("Would have raised green to {} %.", weight * 100.0),
        (Conclusion::Advance, None) => "Would have gone on: there is no next step.".to_owned(),
        (Conclusion::Continue, _) => "Would have waited.".to_owned(),
    }
}

/// The step whose weight is nearest to the recorded share, by ratio of odds. Noise must not make steps out of nothing,
/// so the present one is kept unless another is nearer by half.
fn step_at(steps: &[f64], blue: Counts, green: Counts, now: Option<usize>) -> usize {
    let odds = |g: f64, b: f64| (g + 1e-9).ln() - (b + 1e-9).ln();
    let total = blue.requests + green.requests;
    if total <= 0.0 {
        return now.unwrap_or(0);
    }
    let seen = odds(green.requests / total, blue.requests / total);
    let distance = |weight: f64| (odds(weight, 1.0 - weight) - seen).abs();
    let nearest = steps.iter().enumerate().min_by(|a, b| distance(*a.1).total_cmp(&distance(*b.1)));
    let Some((nearest, weight)) = nearest else { return 0 };
    match now.and_then(|index| steps.get(index).map(|present| (index, *present))) {
        Some((index, present)) if distance(*weight) > 0.5 * distance(present) => index,
        Some(_) | None => nearest,
    }
}
