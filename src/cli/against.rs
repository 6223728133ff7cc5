//! `greenshift plan --against`: what the judge would have said about recorded metrics.

use std::path::Path;

use anyhow::Context as _;

use super::{Exit, UsageError, output};
use crate::domain::analysis::terms;
use crate::domain::plan::{Plan, Question};
use crate::domain::weight::Weight;
use crate::judge::latency::{Latency, Percentile, thresholds};
use crate::judge::{Conclusion, Counts, Replayed, Row, Settings, Wording, replay};

/// Columns that must be there.
const COUNTS: [&str; 5] = ["time", "blue_requests", "blue_errors", "green_requests", "green_errors"];

/// Columns that may be there, all six together: percentiles of response times in seconds.
const LATENCIES: [&str; 6] = ["blue_p50", "blue_p90", "blue_p99", "green_p50", "green_p90", "green_p99"];

/// One recorded period.
struct Recorded {
    counts: Row<String>,
    /// Response times of blue and green, when the file has them.
    latencies: Option<[Latency; 2]>,
}

/// Judges the recorded periods by the checks of the plan, and prints where each changed its mind.
pub(super) fn run(plan: &Plan, path: &Path) -> anyhow::Result<Exit> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let period_s = plan.analysis.interval.as_secs_f64();
    let recorded = read(&text, period_s).map_err(|error| UsageError(format!("{name}: {error}")))?;
    let steps: Vec<f64> = plan.steps.iter().map(|step| step.weight).map(Weight::ratio).collect();
    let terms = terms(plan, false);
    let (mut said_anything, mut rolled_back) = (false, false);
    for check in &plan.analysis.checks {
        let Some(terms) = terms.get(check.name.as_str()) else { continue };
        let said: Vec<Replayed<String>> = match &check.question {
            Question::Errors(_) => {
                let rows: Vec<Row<String>> = recorded.iter().map(|period| period.counts.clone()).collect();
                replay(&terms.settings, &steps, &rows, &Wording::errors())
            }
            Question::Latency(_) => slow(&terms.settings, &steps, &recorded),
            Question::ClientErrors(_) | Question::Alarms { .. } => continue,
        };
        for each in said.iter().filter(|each| each.changed) {
            let step = each.step.saturating_add(1);
            output::data(format!("{}  {}  step {step}  {}", each.time, check.name, each.sentence));
        }
        said_anything |= !said.is_empty();
        rolled_back |= said.iter().any(|each| each.conclusion == Conclusion::Rollback);
    }
    if !said_anything {
        output::note("Green had no request in these periods, or no check of the document fits them: nothing to judge.");
    }
    Ok(if rolled_back { Exit::Failed } else { Exit::Ok })
}

/// Slow requests against each threshold that blue's past sets; nothing when the file has no response times from before
/// green's first request.
fn slow(settings: &Settings, steps: &[f64], recorded: &[Recorded]) -> Vec<Replayed<String>> {
    let past = recorded.iter().take_while(|period| period.counts.green.requests <= 0.0);
    let past: Vec<Latency> =
        past.filter_map(|period| period.latencies.as_ref().map(|[blue, _green]| blue.clone())).collect();
    let found = thresholds(&past);
    let own = settings.clone().shared_by(u32::try_from(found.len()).unwrap_or(u32::MAX));
    let of_threshold = |threshold: f64| {
        let rows: Vec<Row<String>> = recorded
            .iter()
            .filter_map(|period| {
                let [blue, green] = period.latencies.as_ref()?.each_ref().map(|side| side.slow(threshold));
                Some(Row {
                    blue: blue.unwrap_or(Counts::NONE),
                    green: green.unwrap_or(Counts::NONE),
                    ..period.counts.clone()
                })
            })
            .collect();
        replay(&own, steps, &rows, &Wording::slow(threshold * 1000.0))
    };
    found.into_iter().flat_map(of_threshold).collect()
}

/// Reads the periods, in the order of the file. Numbers and times hold no commas or quotes, so splitting does.
fn read(text: &str, period_s: f64) -> Result<Vec<Recorded>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("the file is empty")?;
    let head: Vec<&str> = head.split(',').map(str::trim).collect();
    let place = |column: &str| head.iter().position(|name| *name == column);
    let must = |column: &str| {
        place(column).ok_or_else(|| format!("there is no column `{column}`; the first line names {}", COUNTS.join(",")))
    };
    let [time, counts @ ..] = COUNTS.map(must);
    let (time, [blue_requests, blue_errors, green_requests, green_errors]) = (time?, counts);
    let (blue_requests, blue_errors) = (blue_requests?, blue_errors?);
    let (green_requests, green_errors) = (green_requests?, green_errors?);
    let latencies = latency_columns(&head)?;
    let mut recorded = Vec::new();
    for (index, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let field = |place: usize| fields.get(place).copied().unwrap_or("");
        let count = |place: usize| number(field(place), index);
        let counts = Row {
            time: field(time).to_owned(),
            period_s,
            blue: Counts::new(count(blue_requests)?, count(blue_errors)?),
            green: Counts::new(count(green_requests)?, count(green_errors)?),
        };
        let latencies = match latencies {
            Some([b50, b90, b99, g50, g90, g99]) => Some([
                side(counts.blue.requests, [field(b50), field(b90), field(b99)], index)?,
                side(counts.green.requests, [field(g50), field(g90), field(g99)], index)?,
            ]),
            None => None,
        };
        recorded.push(Recorded { counts, latencies });
    }
    Ok(recorded)
}

/// Places of the response times; `None` when the file has none of them.
fn latency_columns(head: &[&str]) -> Result<Option<[usize; 6]>, String> {
    let places = LATENCIES.map(|column| head.iter().position(|name| *name == column));
    if places.iter().all(Option::is_none) {
        return Ok(None);
    }
    let mut found = [0; 6];
    for (slot, place) in found.iter_mut().zip(places) {
        *slot = place.ok_or_else(|| format!("response times need all of the columns {}", LATENCIES.join(",")))?;
    }
    Ok(Some(found))
}

/// One side's response times; an empty field is a percentile that is not known.
fn side(requests: f64, fields: [&str; 3], line: usize) -> Result<Latency, String> {
    let mut percentiles = Vec::new();
    for (percent, field) in [50.0, 90.0, 99.0].into_iter().zip(fields) {
        if !field.is_empty() {
            percentiles.push(Percentile { percent, latency: number(field, line)? });
        }
    }
    Ok(Latency::Percentiles { requests, percentiles })
}

fn number(field: &str, line: usize) -> Result<f64, String> {
    let number = field.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    number.ok_or_else(|| format!("line {}: `{field}` is no count or time", line.saturating_add(1)))
}
