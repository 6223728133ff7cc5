//! What people ask: `pause` to `waive`, and `delete`.

use clap::Args;

use super::{Exit, output, words};
use crate::api::model::{RequestBody, RolloutView};
use crate::client::{Client, ClientError};

macro_rules! ask {
    ($(#[$doc:meta])* $name:ident { $($(#[$attribute:meta])* $field:ident: $kind:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Args)]
        pub(super) struct $name {
            /// The rollout
            name: String,
            $($(#[$attribute])* $field: $kind,)*
        }
    };
}

ask!(Pause {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(Resume {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(Promote {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// For all steps, not just the present one
    #[arg(long)]
    full: bool,
    /// The step that you saw; without it, the one that the rollout is at now
    #[arg(long, value_name = "N")]
    expected_step: Option<u32>,
});
ask!(Approve {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// The step that you saw; without it, the one that the rollout is at now
    #[arg(long, value_name = "N")]
    expected_step: Option<u32>,
});
ask!(Abort {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(Rollback {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Even when blue has no healthy target
    #[arg(long)]
    force: bool,
});
ask!(Retry {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(StepBack {
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(Waive {
    /// Code of the finding, as `preflight` and `describe` show it
    finding: String,
    /// Why: shown in the history
    #[arg(long, value_name = "TEXT")]
    reason: String,
});
ask!(Delete {});

macro_rules! simple {
    ($($name:ident $verb:literal),*) => {$(
        impl $name {
            pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
                let body = RequestBody { reason: self.reason, ..RequestBody::default() };
                send(client, &self.name, $verb, &body).await
            }
        }
    )*};
}

simple!(Pause "pause", Resume "resume", Abort "abort", Retry "retry", StepBack "step-back");

impl Promote {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let step = seen_step(client, &self.name, self.expected_step).await?;
        let body =
            RequestBody { reason: self.reason, expected_step: Some(step), full: self.full, ..RequestBody::default() };
        send(client, &self.name, "promote", &body).await
    }
}

impl Approve {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let step = seen_step(client, &self.name, self.expected_step).await?;
        let body = RequestBody { reason: self.reason, expected_step: Some(step), ..RequestBody::default() };
        send(client, &self.name, "approve", &body).await
    }
}

impl Rollback {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let body = RequestBody { reason: self.reason, force: self.force, ..RequestBody::default() };
        send(client, &self.name, "rollback", &body).await
    }
}

impl Waive {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let body = RequestBody { reason: self.reason, finding: Some(self.finding), ..RequestBody::default() };
        send(client, &self.name, "waive", &body).await
    }
}

impl Delete {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        client.delete(&self.name).await?;
        output::data(format!("{} deleted", self.name));
        Ok(Exit::Ok)
    }
}

/// The step that is named to the server, so that nobody skips one that he has not seen.
async fn seen_step(client: &Client, name: &str, given: Option<u32>) -> Result<u32, ClientError> {
    if let Some(step) = given {
        return Ok(step);
    }
    let rollout = client.get(name).await?;
    output::note(format!("{name} is at step {}, green {}", words::step(&rollout), words::weight(&rollout)));
    Ok(rollout.step)
}

async fn send(client: &Client, name: &str, verb: &str, body: &RequestBody) -> anyhow::Result<Exit> {
    let rollout: RolloutView = client.ask(name, verb, body).await?;
    output::data(words::line(&rollout));
    Ok(Exit::Ok)
}
