//! `greenshift history`

use clap::Args;

use super::{Exit, output, words};
use crate::api::model::EventView;
use crate::client::Client;

/// Events that are asked for at a time.
const PAGE: u32 = 500;

#[derive(Debug, Args)]
pub(super) struct History {
    /// The rollout
    name: String,
    /// Also what only a debugger wants: every metric period, target count and hold
    #[arg(long)]
    all: bool,
    /// One JSON object a line, as the API has it
    #[arg(short = 'o', long = "output", value_parser = ["json"], value_name = "FORMAT")]
    output: Option<String>,
}

impl History {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let mut after = 0;
        loop {
            let page = client.events(&self.name, after, PAGE).await?;
            for event in page.items.iter().filter(|event| self.all || is_news(event)) {
                if self.output.is_some() {
                    output::json_line(event)?;
                } else {
                    output::data(line(event));
                }
            }
            if page.items.is_empty() {
                return Ok(Exit::Ok);
            }
            after = page.next_after;
        }
    }
}

/// Whether an event is one that people follow a rollout for.
pub(super) fn is_news(event: &EventView) -> bool {
    let undecided = event.data.get("verdict").and_then(serde_json::Value::as_str) == Some("inconclusive");
    !undecided
        && !matches!(
            event.kind.as_str(),
            "metrics_read" | "health_changed" | "hold_changed" | "inspected" | "alarms_changed" | "reasserted"
        )
}

/// An event on a line.
pub(super) fn line(event: &EventView) -> String {
    format!("{}  {:<12}  {}", words::clock(event.at), event.actor, event.text)
}
