//! `greenshift describe`

use clap::Args;
use jiff::Timestamp;
use serde_json::Value;

use super::{Exit, output, preflight, words};
use crate::api::model::{CheckView, RolloutView, SideView};
use crate::client::Client;
use crate::domain::observation::FleetHealth;

#[derive(Debug, Args)]
pub(super) struct Describe {
    /// The rollout
    name: String,
}

impl Describe {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let rollout = client.get(&self.name).await?;
        let mut lines = head(&rollout, words::now());
        lines.extend(steps(&rollout));
        lines.extend(checks(&rollout));
        lines.extend(findings(&rollout));
        lines.extend(rules(&rollout));
        lines.extend(undo(client, &self.name).await);
        output::data(lines.join("\n"));
        Ok(Exit::Ok)
    }
}

/// What stands at the top: where it is, why, and what comes next. The live view shows the same.
pub(super) fn head(rollout: &RolloutView, now: Timestamp) -> Vec<String> {
    let attempt = if rollout.attempt > 1 { format!(", attempt {}", rollout.attempt) } else { String::new() };
    let mut lines = vec![format!("{}{attempt}", output::bold(&rollout.name))];
    let mut field = |name: &str, value: String| lines.push(format!("  {name:<9} {value}"));
    let since = words::ago(rollout.phase_since, now);
    let cause = rollout.cause.as_ref().map_or_else(String::new, |cause| format!(": {}", cause.detail));
    field("Phase", format!("{} for {since}{cause}", output::phase(rollout.phase)));
    field("Step", format!("{} of {}", rollout.step, rollout.steps));
    let weight = &rollout.weight;
    let observed = weight.observed.map_or_else(|| "not read yet".to_owned(), |seen| format!("{seen} on the rules"));
    let traffic = weight
        .traffic_share
        .map_or_else(|| "no requests counted yet".to_owned(), |share| format!("{share} of requests"));
    field("Green", format!("{} wanted, {observed}, {traffic}", weight.desired));
    if let Some(remark) = &weight.remark {
        field("Share", remark.clone());
    }
    if let Some(hold) = &rollout.hold {
        field("Holding", words::hold(hold, now));
    }
    if let Some(health) = &rollout.health {
        field("Targets", format!("blue {}, green {}", fleet(&health.blue), fleet(&health.green)));
    }
    if let Some(drift) = &rollout.drift {
        field("Drift", format!("for {}: {}", words::ago(drift.since, now), drift.detail));
    }
    for trouble in &rollout.troubles {
        field("Trouble", trouble.message.clone());
    }
    lines
}

fn fleet(health: &FleetHealth) -> String {
    format!("{} of {} healthy", health.healthy, health.registered())
}

/// The steps of the plan, with the present one marked.
pub(super) fn steps(rollout: &RolloutView) -> Vec<String> {
    let mut lines = vec![String::new(), output::bold("Steps")];
    let steps = rollout.plan.get("steps").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    for (index, step) in steps.iter().enumerate() {
        let number = u32::try_from(index.saturating_add(1)).unwrap_or(u32::MAX);
        let mark = match number.cmp(&rollout.step) {
            std::cmp::Ordering::Less => "✓",
            std::cmp::Ordering::Equal => "●",
            std::cmp::Ordering::Greater => " ",
        };
        let text = |key: &str| step.get(key).and_then(Value::as_str).unwrap_or("");
        let hold = step.get("hold").map_or_else(String::new, hold);
        let approval = if text("approval") == "required" { ", then approval" } else { "" };
        lines.push(format!("  {mark} {number:>2}  {:>5}  {hold}{approval}", text("weight")));
    }
    lines
}

fn hold(hold: &Value) -> String {
    let text = |key: &str| hold.get(key).and_then(Value::as_str).unwrap_or("");
    match hold.as_str() {
        Some(shortest) => format!("hold {shortest}"),
        None => format!("hold {} to {}", text("min"), text("max")),
    }
}

/// The checks with their numbers.
fn checks(rollout: &RolloutView) -> Vec<String> {
    let mut lines = vec![String::new(), output::bold("Checks")];
    for check in &rollout.checks {
        lines.push(format!("  {:<16} {} ({})", check.name, output::verdict(check.verdict), check.reason));
        lines.push(format!("    {}", check.detail));
        if let Some(numbers) = numbers(check) {
            lines.push(format!("    {}", output::dim(numbers)));
        }
        for alarm in &check.alarms {
            let state = serde_json::to_value(alarm.state).ok();
            let state = state.as_ref().and_then(Value::as_str).unwrap_or_default();
            lines.push(format!("    {}: {state}", alarm.name));
        }
    }
    lines
}

fn numbers(check: &CheckView) -> Option<String> {
    let side = |side: &SideView| match side.rate {
        Some(rate) => format!("{:.0} of {:.0} ({})", side.bad, side.requests, percent(rate)),
        None => "no requests".to_owned(),
    };
    let (blue, green) = (check.blue.as_ref()?, check.green.as_ref()?);
    Some(format!("green {} · blue {} · accepted up to {:.2} × blue", side(green), side(blue), check.margin?))
}

/// A rate in percent, with as many digits as it takes to tell it from nothing.
fn percent(rate: f64) -> String {
    let percent = rate * 100.0;
    if percent == 0.0 || percent >= 10.0 {
        format!("{percent:.0}%")
    } else if percent >= 0.1 {
        format!("{percent:.2}%")
    } else {
        format!("{percent:.4}%")
    }
}

fn findings(rollout: &RolloutView) -> Vec<String> {
    if rollout.findings.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), output::bold("Preflight")];
    for finding in &rollout.findings {
        lines.extend(preflight::finding_lines(finding).lines().map(|line| format!("  {line}")));
    }
    lines
}

fn rules(rollout: &RolloutView) -> Vec<String> {
    if rollout.rules.is_empty() {
        return Vec::new();
    }
    let mut lines = vec![String::new(), output::bold("Rules")];
    for rule in &rollout.rules {
        let sticky = rule.sticky_seconds.map_or_else(String::new, |seconds| format!(", sticky for {seconds} s"));
        lines.push(format!("  {}", rule.rule));
        lines.push(format!("    blue {}, green {}{sticky}", rule.blue, rule.green));
    }
    lines
}

/// How to put everything back without greenshift. Never a reason to fail: who needs it most has little that works.
async fn undo(client: &Client, name: &str) -> Vec<String> {
    let mut lines = vec![String::new(), output::bold("To put everything back on blue by hand")];
    match client.undo(name).await {
        Ok(undo) => lines.extend(undo.commands.iter().map(|command| format!("  {command}"))),
        Err(error) => lines.push(format!("  not known now: {error}")),
    }
    lines
}
