//! `greenshift plan`: a dry run, or a judgement on recorded metrics.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, Global, against, document, output, preflight, words};
use crate::api::model::{PlanView, PlannedStep};
use crate::client::{Client, Document};
use crate::domain::weight::Weight;

#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The document, YAML or JSON; `-` for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Judge recorded metrics instead of the live route; needs no server. The first line names the columns: `time`,
    /// `blue_requests`, `blue_errors`, `green_requests`, `green_errors`, and if there are response times in seconds also
    /// `blue_p50`, `blue_p90`, `blue_p99`, `green_p50`, `green_p90`, `green_p99`. Each other line is one period
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
            return against::run(&parsed.spec.plan, recorded);
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
    // The last step has no hold of its own: the bake follows.
    let stay = if step.weight == Weight::FULL {
        String::new()
    } else {
        format!(", hold {} to {}", words::length(step.hold_min), words::length(step.hold_max))
    };
    let earliest = words::length(step.earliest);
    let mut lines =
        vec![format!("  {:>2}  green {:>5}  after {earliest}{stay}{approval}", step.step, step.weight.to_string())];
    lines.extend(step.proofs.iter().map(|proof| format!("      proof of {}: {}", proof.check, proof.text)));
    lines.extend(step.writes.iter().map(|write| format!("      {}", output::dim(&write.command))));
    lines
}
