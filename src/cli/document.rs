//! Documents without a rollout: `lint`, `schema`, and reading them for other commands. And `version`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::{Args, Subcommand};

use super::{Exit, output};
use crate::client::Client;
use crate::config::controller;
use crate::config::rollout::{self, Parsed};

/// Reads a document, from standard input when the path is `-`, and checks it: its mistakes are shown with their lines
/// before anything is sent.
pub(super) fn read(path: &Path) -> anyhow::Result<(String, Parsed)> {
    let (name, bytes) = bytes(path)?;
    let parsed = rollout::parse_bytes(&name, &bytes)?;
    for warning in &parsed.warnings {
        output::note(warning);
    }
    // `parse_bytes` takes nothing but UTF-8.
    Ok((String::from_utf8_lossy(&bytes).into_owned(), parsed))
}

fn bytes(path: &Path) -> anyhow::Result<(String, Vec<u8>)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).context("standard input cannot be read")?;
        return Ok(("standard input".to_owned(), bytes));
    }
    let name = path.display().to_string();
    let bytes = std::fs::read(path).with_context(|| format!("{name} cannot be read"))?;
    Ok((name, bytes))
}

#[derive(Debug, Args)]
pub(super) struct Lint {
    /// The document, YAML or JSON; `-` for standard input. Several may be given
    #[arg(short = 'f', long = "file", value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

impl Lint {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        let mut exit = Exit::Ok;
        for path in &self.files {
            let (name, bytes) = bytes(path)?;
            match rollout::parse_bytes(&name, &bytes) {
                Ok(parsed) => {
                    for warning in &parsed.warnings {
                        output::note(warning);
                    }
                    let steps = parsed.spec.plan.steps.len();
                    output::data(format!("{name}: `{}` is in order, {steps} steps", parsed.spec.name));
                }
                Err(errors) => {
                    output::note(errors.to_string().trim_end());
                    exit = Exit::Usage;
                }
            }
        }
        Ok(exit)
    }
}

#[derive(Debug, Subcommand)]
pub(super) enum Schema {
    /// Of the rollout document
    Rollout,
    /// Of the controller's settings
    Config,
}

impl Schema {
    pub(super) fn run(self) -> anyhow::Result<Exit> {
        match self {
            Self::Rollout => output::json(&rollout::schema())?,
            Self::Config => output::json(&controller::schema())?,
        }
        Ok(Exit::Ok)
    }
}

#[derive(Debug, Args)]
pub(super) struct Version {}

impl Version {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        output::data(format!("greenshift {}", env!("CARGO_PKG_VERSION")));
        match client.version().await {
            Ok(server) => output::data(format!("server     {} at {}", server.version, client.server())),
            Err(error) => output::note(format!("server     not asked: {error}")),
        }
        Ok(Exit::Ok)
    }
}
