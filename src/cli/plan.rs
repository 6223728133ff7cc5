//! `greenshift plan`: a dry run, or a judgement on recorded metrics.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Args;

use super::document;
use super::{Exit, Global, UsageError, output, preflight, words};
use crate::api::model::{PlanView, PlannedStep};
use crate::client::{Client, Document};
use crate::domain::analysis::terms;
use crate::domain::plan::{self, Question};
use crate::domain::weight::Weight;
use crate::judge::{Conclusion, Counts, Row, Wording, replay};

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The document, YAML or JSON; `-` for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Judge recorded metrics instead of the live route; needs no server. The first line names the columns time,
    /// `blue_requests`, `blue_errors`, `green_requests` and `green_errors`; each other line is one period
    #[arg(long, value_name = "FILE.csv")]
    against: Option<PathBuf>,
    /// Print it as JSON
    #[arg(short = 'o', long = "output", value_parser = ["json"], value_name = "FORMAT", conflicts_with = "against")]
    output: Option<String>,
}

impl Plan {
    pub(super) async fn run(self, global: &Global) -> anyhow::Result<Exit> {
        let (text, parsed) = document::read(&self.file)?;
        if let Some(recorded) = &self.against {
            return against(&parsed.spec.plan, recorded);
        }
        let client: Client = global.client()?;
        let plan = client.plan(&Document { text: &text }).await?;
        if self.output.is_some() {
            output::json(&plan)?;
        } else {
            output::data(in_words(&plan).join("\n"));
            if let Some(found) = &plan.preflight {
                output::data(format!("\n{}", output::bold("Preflight")));
                preflight::show(found);
            }
        }
        Ok(Exit::Ok)
    }
}

fn in_words(plan: &PlanView) -> Vec<String> {
    let mut lines = vec![output::bold(&plan.name)];
    let traffic = plan
        .requests_per_second
        .map_or_else(|| "traffic unknown".to_owned(), |rate| format!("{rate:.1} requests a second in the last hour"));
    lines.push(format!(
        "  {} steps, {} from the first shift at the earliest; {traffic}",
        plan.steps.len(),
        words::length(plan.shortest)
    ));
    lines.push(format!("\n{}", output::bold("Steps")));
    for step in &plan.steps {
        lines.extend(step_lines(step));
    }
    lines.push(format!("\n{}", output::bold("Checks")));
    lines.extend(plan.checks.iter().map(|check| format!("  {:<16} {}", check.name, check.text)));
    if !plan.iam.is_empty() {
        lines.push(format!("\n{}", output::bold("IAM actions")));
        for action in &plan.iam {
            let scope = if action.scoped { " on the rules of the route" } else { "" };
            let need = if action.optional { " (optional)" } else { "" };
            lines.push(format!("  {}{scope}{need}: {}", action.action, action.purpose));
        }
    }
    for trouble in &plan.troubles {
        lines.push(format!("\nnot known now: {}", trouble.message));
    }
    lines
}

fn step_lines(step: &PlannedStep) -> Vec<String> {
    let approval = if step.approval { ", then approval" } else { "" };
    let (min, max) = (words::length(step.hold_min), words::length(step.hold_max));
    let earliest = words::length(step.earliest);
    let mut lines = vec![format!(
        "  {:>2}  green {:>5}  after {earliest}, hold {min} to {max}{approval}",
        step.step,
        step.weight.to_string()
    )];
    lines.extend(step.proofs.iter().map(|proof| format!("      proof of {}: {}", proof.check, proof.text)));
    lines.extend(step.writes.iter().map(|write| format!("      {}", output::dim(&write.command))));
    lines
}

/// What the judge would have said about recorded periods.
fn against(plan: &plan::Plan, path: &Path) -> anyhow::Result<Exit> {
    let name = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("{name} cannot be read"))?;
    let rows =
        rows(&text, plan.analysis.interval.as_secs_f64()).map_err(|error| UsageError(format!("{name}: {error}")))?;
    let Some(check) = plan.analysis.checks.iter().find(|check| matches!(check.question, Question::Errors(_))) else {
        return Err(UsageError(
            "the document has no `errors` check, which is what recorded metrics are judged by".to_owned(),
        )
        .into());
    };
    let terms = terms(plan, false);
    let Some(terms) = terms.get(check.name.as_str()) else { return Ok(Exit::Error) };
    let steps: Vec<f64> = plan.steps.iter().map(|step| step.weight).map(Weight::ratio).collect();
    let said = replay(&terms.settings, &steps, &rows, &Wording::errors());
    for each in said.iter().filter(|each| each.changed) {
        output::data(format!("{}  step {}  {}", each.time, each.step.saturating_add(1), each.sentence));
    }
    match said.last() {
        Some(last) if last.conclusion == Conclusion::Rollback => Ok(Exit::Failed),
        Some(_) => Ok(Exit::Ok),
        None => {
            output::note("Green had no request in these periods: there is nothing to judge.");
            Ok(Exit::Ok)
        }
    }
}

const COLUMNS: [&str; 5] = ["time", "blue_requests", "blue_errors", "green_requests", "green_errors"];

/// Reads the periods, in the order of the file. Numbers and times hold no commas or quotes, so splitting does.
fn rows(text: &str, period_s: f64) -> Result<Vec<Row<String>>, String> {
    let mut lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let (_, head) = lines.next().ok_or("the file is empty")?;
    let head: Vec<&str> = head.split(',').map(str::trim).collect();
    let place = |column: &str| {
        let found = head.iter().position(|name| *name == column);
        found.ok_or_else(|| format!("there is no column `{column}`; the first line names {}", COLUMNS.join(",")))
    };
    let [time, blue_requests, blue_errors, green_requests, green_errors] = COLUMNS.map(place);
    let (time, blue_requests, blue_errors) = (time?, blue_requests?, blue_errors?);
    let (green_requests, green_errors) = (green_requests?, green_errors?);
    let mut rows = Vec::new();
    for (index, line) in lines {
        let fields: Vec<&str> = line.split(',').map(str::trim).collect();
        let count = |place: usize| {
            let field = fields.get(place).copied().unwrap_or("");
            let number = field.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
            number.ok_or_else(|| format!("line {}: `{field}` is no count", index.saturating_add(1)))
        };
        rows.push(Row {
            time: fields.get(time).copied().unwrap_or("").to_owned(),
            period_s,
            blue: Counts::new(count(blue_requests)?, count(blue_errors)?),
            green: Counts::new(count(green_requests)?, count(green_errors)?),
        });
    }
    Ok(rows)
}
