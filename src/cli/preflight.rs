//! `greenshift preflight`

use std::path::PathBuf;

use clap::Args;

use super::document;
use super::{Exit, output};
use crate::api::model::{FindingView, PreflightView};
use crate::client::{Client, Document};
use crate::domain::preflight::Severity;

#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(super) struct Preflight {
    /// The rollout
    #[arg(group = "what")]
    name: Option<String>,
    /// A document, YAML or JSON, of a rollout that need not be there; `-` for standard input
    #[arg(short = 'f', long = "file", group = "what", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Preflight {
    pub(super) async fn run(self, client: &Client) -> anyhow::Result<Exit> {
        let found = match (&self.file, &self.name) {
            (Some(file), _) => {
                let (text, _) = document::read(file)?;
                client.preflight(&Document { text: &text }).await?
            }
            (None, Some(name)) => client.preflight_of(name).await?,
            (None, None) => return Err(super::UsageError("name a rollout, or a document with -f".to_owned()).into()),
        };
        show(&found);
        Ok(if found.passed { Exit::Ok } else { Exit::Error })
    }
}

/// Prints the findings, worst first, and what they come to.
pub(super) fn show(found: &PreflightView) {
    for finding in &found.findings {
        output::data(finding_lines(finding));
    }
    if found.passed {
        output::data(format!("{}: nothing stands in the way of the first shift", found.name));
    } else {
        output::data(format!("{}: the first shift would be stopped", found.name));
    }
}

/// A finding with what to do about it.
pub(super) fn finding_lines(view: &FindingView) -> String {
    let FindingView { finding, waived } = view;
    let severity = match finding.severity {
        Severity::Blocking if *waived => "waived",
        Severity::Blocking => "blocking",
        Severity::Warning => "warning",
        Severity::Info => "info",
    };
    format!("{severity} {}: {}\n    {}", finding.code, finding.what, finding.remedy)
}
