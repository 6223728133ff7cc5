//! `greenshift serve`

use std::path::PathBuf;

use anyhow::Context as _;
use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Exit, output};
use crate::app::App;
use crate::config::ProcessEnvironment;
use crate::config::controller::{self, LogFormat as Configured};
use crate::telemetry::logs::{self, LogFormat};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Settings; without it the built-in defaults (and GREENSHIFT_… variables) count
    #[arg(long, env = "GREENSHIFT_CONFIG", hide_env_values = true, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Serve {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        let text = match &self.config {
            Some(path) => {
                let read = std::fs::read_to_string(path);
                Some(read.with_context(|| format!("the settings in {} cannot be read", path.display()))?)
            }
            None => None,
        };
        let name = self.config.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let file = text.as_deref().map(|text| (name.as_str(), text));
        let loaded = controller::load(file, &ProcessEnvironment)?;
        for warning in &loaded.warnings {
            output::note(warning);
        }
        let settings = loaded.settings;
        let format = match settings.log.format {
            Configured::Auto => LogFormat::Auto,
            Configured::Text => LogFormat::Text,
            Configured::Json => LogFormat::Json,
        };
        logs::start(settings.log.level.as_str(), format)?;
        let app = App::build(settings).await?;
        let address = app.address();
        watch_signals(app.stop().clone())?;
        output::data(format!("greenshift {} listens on http://{address}", env!("CARGO_PKG_VERSION")));
        tracing::info!(%address, rollouts = app.handle().list().len(), "ready");
        if app.run_until_stopped().await {
            tracing::info!("stopped");
        } else {
            tracing::warn!("stopped before everything was finished; the next start goes on from the journal");
        }
        Ok(Exit::Ok)
    }
}

/// The first signal stops in order, the second at once.
fn watch_signals(stop: CancellationToken) -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be watched")?;
    #[expect(clippy::disallowed_methods, reason = "it must outlive everything that shutdown waits for")]
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("stopping; a second signal stops at once");
        stop.cancel();
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::warn!("stopped at once");
        #[expect(clippy::exit, reason = "a person wants it to end now; the journal is always whole")]
        std::process::exit(Exit::Interrupted as i32);
    });
    Ok(())
}
