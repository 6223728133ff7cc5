//! `greenshift apply`

use std::path::PathBuf;

use clap::Args;

use super::document;
use super::{Exit, output, words};
use crate::api::model::RolloutView;
use crate::client::{Applied, Client, ClientError, Document};

#[derive(Debug, Args)]
pub(super) struct Apply {
    /// The document, YAML or JSON; `-` for standard input
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    file: PathBuf,
    /// Why a rollout that is there is changed
    #[arg(long, default_value = "", value_name = "TEXT")]
    reason: String,
    /// Print the rollout as JSON
    #[arg(short = 'o', long = "output", value_parser = ["json"], value_name = "FORMAT")]
    output: Option<String>,
}

impl Apply {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let (text, parsed) = document::read(&self.file)?;
        let name = parsed.spec.name.as_str();
        let document = Document { text: &text };
        let (rollout, did) = match client.create(&document).await {
            Ok(Applied::Created(rollout)) => (*rollout, "created"),
            Ok(Applied::Unchanged(rollout)) => (*rollout, "unchanged"),
            Err(error) if error.problem().is_some_and(|problem| problem.code == "rollout_exists") => {
                (self.change(client, name, &document).await?, "changed")
            }
            Err(error) => return Err(error.into()),
        };
        if self.output.is_some() {
            output::json(&rollout)?;
        } else {
            output::data(format!("{did}: {}", words::line(&rollout)));
        }
        Ok(Exit::Ok)
    }

    async fn change(&self, client: &Client, name: &str, document: &Document<'_>) -> Result<RolloutView, ClientError> {
        let (_, tag) = client.get_tagged(name).await?;
        client.change(name, document, &tag, &self.reason).await
    }
}
