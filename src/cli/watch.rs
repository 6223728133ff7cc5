//! `greenshift watch`: follows a rollout until it ends, or until it is where somebody wants it.

use std::str::FromStr;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use super::{Exit, UsageError, describe, history, output, words};
use crate::api::model::{EventView, RolloutView};
use crate::client::{Client, ClientError};
use crate::domain::phase::Phase;
use crate::domain::time::Span;

/// How often the server is asked. What happens in between is in the history, and is shown too.
const EVERY: Duration = Duration::from_secs(1);

/// How long a server may be away before the watch gives up: a restart takes seconds.
const AWAY_MAX: Duration = Duration::from_mins(1);

/// Events that are asked for at a time.
const PAGE: u32 = 200;

/// Events that the live view shows.
const SHOWN: usize = 8;

#[derive(Debug, Args)]
pub(super) struct Watch {
    /// The rollout
    name: String,
    /// What to wait for: completed, paused, `rolled_back`, or step=N
    #[arg(long = "for", value_name = "WHAT", default_value = "completed")]
    goal: Goal,
    /// How long to wait; the rollout goes on after it
    #[arg(long, value_name = "DURATION", value_parser = Span::parse)]
    timeout: Option<Span>,
    /// One JSON object a line: the rollout, whenever it has changed
    #[arg(short = 'o', long = "output", value_parser = ["json"], value_name = "FORMAT")]
    output: Option<String>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goal {
    Completed,
    Paused,
    RolledBack,
    Step(u32),
}

impl FromStr for Goal {
    type Err = UsageError;

    fn from_str(text: &str) -> Result<Self, UsageError> {
        let step = text.strip_prefix("step=").and_then(|number| number.parse().ok());
        match (text, step) {
            ("completed", _) => Ok(Self::Completed),
            ("paused", _) => Ok(Self::Paused),
            ("rolled_back", _) => Ok(Self::RolledBack),
            (_, Some(step)) => Ok(Self::Step(step)),
            (_, None) => Err(UsageError("write completed, paused, rolled_back, or step=N".to_owned())),
        }
    }
}

impl Goal {
    /// Whether the wait is over, and how it ended.
    fn reached(self, rollout: &RolloutView) -> Option<Exit> {
        let phase = rollout.phase;
        let ended_badly = matches!(phase, Phase::RolledBack | Phase::Aborted);
        let stopped = matches!(phase, Phase::Paused | Phase::AwaitingApproval);
        match self {
            Self::Completed if phase == Phase::Completed => Some(Exit::Ok),
            Self::Paused if stopped => Some(Exit::Ok),
            Self::RolledBack if ended_badly => Some(Exit::Ok),
            Self::Step(step) if phase == Phase::Completed || at(rollout, step) => Some(Exit::Ok),
            Self::Completed | Self::Step(_) if stopped => Some(Exit::Waiting),
            // It cannot be made safe without a person.
            Self::Completed | Self::Paused | Self::Step(_) if ended_badly || phase == Phase::Halted => {
                Some(Exit::Failed)
            }
            Self::Paused | Self::RolledBack if phase == Phase::Completed => Some(Exit::Conflict),
            Self::Completed | Self::Paused | Self::RolledBack | Self::Step(_) => None,
        }
    }
}

/// Whether a step's weight, or a later one, is on every rule.
fn at(rollout: &RolloutView, step: u32) -> bool {
    let shown = rollout.weight.observed.is_some_and(|observed| observed >= rollout.weight.desired);
    rollout.step > step || rollout.step == step && shown
}

impl Watch {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let deadline = self.timeout.map(|timeout| Instant::now() + timeout.to_std());
        let over = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            ended = self.follow(client) => ended,
            () = over => {
                output::note(format!("Not reached in time; {} goes on.", self.name));
                Ok(Exit::TimedOut)
            }
            interrupted = tokio::signal::ctrl_c() => {
                interrupted?;
                output::note(format!("Interrupted; {} goes on.", self.name));
                Ok(Exit::Interrupted)
            }
        }
    }

    async fn follow(&self, client: &Client) -> anyhow::Result<Exit> {
        let mut view = View::new(self.output.is_some());
        let mut away_since: Option<Instant> = None;
        loop {
            match self.look(client, &mut view).await {
                Ok(rollout) => {
                    away_since = None;
                    if let Some(exit) = self.goal.reached(&rollout) {
                        output::note(last_word(&rollout));
                        return Ok(exit);
                    }
                }
                Err(error) => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    let passing = error.downcast_ref::<ClientError>().is_some_and(ClientError::may_pass);
                    // The first look tells at once that nothing is there.
                    if !passing || since.elapsed() >= AWAY_MAX || !view.seen {
                        return Err(error);
                    }
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn look(&self, client: &Client, view: &mut View) -> anyhow::Result<RolloutView> {
        let rollout = client.get(&self.name).await?;
        if !view.json {
            if !view.seen {
                // What happened before the watch began is history: only the last of it is of interest.
                view.after = rollout.revision.saturating_sub(u64::from(PAGE));
            }
            loop {
                let page = client.events(&self.name, view.after, PAGE).await?;
                if page.items.is_empty() {
                    break;
                }
                view.take(&page.items);
                view.after = page.next_after;
            }
        }
        view.show(&rollout)?;
        view.seen = true;
        Ok(rollout)
    }
}

/// What the end means, and what can be done next.
fn last_word(rollout: &RolloutView) -> String {
    let name = &rollout.name;
    let why = rollout.cause.as_ref().map_or_else(String::new, |cause| format!(": {}", cause.detail));
    match rollout.phase {
        Phase::Completed => format!("{name} is completed: green has all traffic."),
        Phase::RolledBack | Phase::Aborted => {
            format!("{name} is {}{why}. `greenshift retry {name} --reason …` begins anew.", rollout.phase)
        }
        Phase::Halted => {
            format!("{name} is halted{why}. See `greenshift describe {name}`; then resume, abort or retry.")
        }
        Phase::Paused => format!("{name} is paused{why}. `greenshift resume {name} --reason …` goes on."),
        Phase::AwaitingApproval => {
            format!("{name} waits for approval. `greenshift approve {name} --reason …` lets it leave this step.")
        }
        Phase::Pending | Phase::Preflight | Phase::Progressing | Phase::Baking | Phase::RollingBack => {
            words::line(rollout)
        }
    }
}

/// What has been shown so far, and how it is shown.
struct View {
    json: bool,
    /// Whether anything was shown yet.
    seen: bool,
    /// The last event that was shown.
    after: u64,
    /// The last line about the rollout itself.
    line: String,
    /// The last object.
    last: Option<RolloutView>,
    recent: Vec<String>,
    drawing: Option<output::Drawing>,
}

impl View {
    fn new(json: bool) -> Self {
        let drawing = (!json && output::can_draw()).then(output::Drawing::default);
        Self { json, seen: false, after: 0, line: String::new(), last: None, recent: Vec::new(), drawing }
    }

    fn take(&mut self, events: &[EventView]) {
        for event in events.iter().filter(|event| history::is_news(event)) {
            let line = history::line(event);
            if self.drawing.is_none() && self.seen {
                output::data(&line);
            }
            self.recent.push(line);
        }
        let extra = self.recent.len().saturating_sub(SHOWN);
        self.recent.drain(..extra);
    }

    fn show(&mut self, rollout: &RolloutView) -> anyhow::Result<()> {
        if self.json {
            // The moment of the last look alone is no change.
            let mut shown = rollout.clone();
            shown.looked_at = None;
            if self.last.as_ref() != Some(&shown) {
                output::json_line(rollout)?;
                self.last = Some(shown);
            }
            return Ok(());
        }
        let now = words::now();
        if let Some(drawing) = &mut self.drawing {
            let mut lines = describe::head(rollout, now);
            lines.extend(describe::steps(rollout));
            lines.push(String::new());
            for check in &rollout.checks {
                lines.push(format!("  {:<16} {}  {}", check.name, output::verdict(check.verdict), check.detail));
            }
            lines.push(String::new());
            lines.extend(self.recent.iter().cloned());
            let width = output::width();
            let lines: Vec<String> = lines.iter().map(|line| output::cut(line, width)).collect();
            drawing.draw(&lines);
            return Ok(());
        }
        let hold = rollout.hold.as_ref().map_or_else(String::new, |hold| format!(": {}", hold.detail));
        let line = format!("{}{hold}", words::line(rollout));
        if line != self.line {
            output::data(format!("{}  {line}", words::clock(now)));
            self.line = line;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_read_as_people_write_them() {
        assert_eq!("step=3".parse::<Goal>().unwrap(), Goal::Step(3));
        assert_eq!("rolled_back".parse::<Goal>().unwrap(), Goal::RolledBack);
        for bad in ["", "step=", "step=x", "done"] {
            assert!(bad.parse::<Goal>().is_err(), "{bad}");
        }
    }
}
