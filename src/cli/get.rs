//! `greenshift get`

use clap::{Args, ValueEnum};
use jiff::Timestamp;

use super::{Exit, output, words};
use crate::api::model::RolloutView;
use crate::client::Client;
use crate::domain::event::Verdict;

#[derive(Debug, Args)]
pub(super) struct Get {
    /// The rollout; all of them without it
    name: Option<String>,
    /// Only rollouts in this phase; may be given several times
    #[arg(long, value_name = "PHASE", conflicts_with = "name")]
    phase: Vec<String>,
    /// Only rollouts with this label, as team=payments; may be given several times
    #[arg(short = 'l', long, value_name = "KEY=VALUE", conflicts_with = "name")]
    label: Vec<String>,
    /// How it is printed
    #[arg(short = 'o', long = "output", value_enum, default_value_t, value_name = "FORMAT")]
    output: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
enum Format {
    /// A line for each
    #[default]
    Table,
    /// The same with more columns
    Wide,
    /// As the API has it
    Json,
    /// The same as YAML
    Yaml,
}

impl Get {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        if let Some(name) = &self.name {
            let rollout = client.get(name).await?;
            match self.output {
                Format::Table | Format::Wide => output::data(self.table(std::slice::from_ref(&rollout))),
                Format::Json => output::json(&rollout)?,
                Format::Yaml => output::yaml(&rollout)?,
            }
            return Ok(Exit::Ok);
        }
        let rollouts = client.list(&self.phase, &self.label).await?;
        match self.output {
            Format::Table | Format::Wide if rollouts.is_empty() => output::note("No rollouts."),
            Format::Table | Format::Wide => output::data(self.table(&rollouts)),
            Format::Json => output::json(&rollouts)?,
            Format::Yaml => output::yaml(&rollouts)?,
        }
        Ok(Exit::Ok)
    }

    fn table(&self, rollouts: &[RolloutView]) -> String {
        let now = words::now();
        let wide = self.output == Format::Wide;
        let mut head = vec!["NAME", "PHASE", "STEP", "GREEN", "TRAFFIC", "CHECKS", "HOLD", "AGE"];
        if wide {
            head.extend(["HEALTHY", "ATTEMPT", "IN PHASE", "LABELS"]);
        }
        let rows: Vec<Vec<String>> = rollouts.iter().map(|rollout| row(rollout, now, wide)).collect();
        output::table(&head, &rows)
    }
}

fn row(rollout: &RolloutView, now: Timestamp, wide: bool) -> Vec<String> {
    let dash = || "-".to_owned();
    let hold = rollout.hold.as_ref().map_or_else(dash, |hold| hold.reason.to_string());
    let mut row = vec![
        rollout.name.clone(),
        rollout.phase.to_string(),
        words::step(rollout),
        words::weight(rollout),
        words::traffic(rollout),
        checks(rollout),
        hold,
        words::ago(rollout.created_at, now),
    ];
    if wide {
        let healthy = rollout.health.map_or_else(dash, |health| {
            let (blue, green) = (health.blue, health.green);
            format!("blue {}/{} green {}/{}", blue.healthy, blue.registered(), green.healthy, green.registered())
        });
        let labels: Vec<String> = rollout.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        row.extend([
            healthy,
            rollout.attempt.to_string(),
            words::ago(rollout.phase_since, now),
            if labels.is_empty() { dash() } else { labels.join(",") },
        ]);
    }
    row
}

/// How many checks pass, or which fail.
fn checks(rollout: &RolloutView) -> String {
    let failing: Vec<&str> = rollout
        .checks
        .iter()
        .filter(|check| check.verdict == Verdict::Failing)
        .map(|check| check.name.as_str())
        .collect();
    if !failing.is_empty() {
        return format!("{} failing", failing.join(","));
    }
    let passing = rollout.checks.iter().filter(|check| check.verdict == Verdict::Passing).count();
    format!("{passing}/{} passing", rollout.checks.len())
}
