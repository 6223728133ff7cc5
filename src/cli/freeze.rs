//! `greenshift freeze`

use clap::Subcommand;

use super::{Exit, output};
use crate::api::model::FreezeView;
use crate::client::Client;

#[derive(Debug, Subcommand)]
pub(super) enum Freeze {
    /// Stop all forward moves of all rollouts; rollbacks go on
    On {
        /// Why: shown on every rollout that it holds
        #[arg(long, value_name = "TEXT")]
        reason: String,
    },
    /// Allow forward moves again
    Off,
    /// Show whether forward moves are stopped
    Status,
}

impl Freeze {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let state = match self {
            Self::On { reason } => client.freeze(Some(&reason)).await?,
            Self::Off => client.freeze(None).await?,
            Self::Status => client.freeze_state().await?,
        };
        match state {
            FreezeView { frozen: true, reason, actor, at } => {
                let by = actor.map(|actor| format!(" by {actor}")).unwrap_or_default();
                let since = at.map(|at| format!(" since {at:.0}")).unwrap_or_default();
                output::data(format!("frozen{by}{since}: {}", reason.unwrap_or_default()));
            }
            FreezeView { frozen: false, .. } => output::data("not frozen: rollouts go forward"),
        }
        Ok(Exit::Ok)
    }
}
