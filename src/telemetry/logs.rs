//! Log lines: text for people on a terminal, JSON for programs otherwise. They go to standard error, so that standard
//! output stays data.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::util::SubscriberInitExt as _;

/// How lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LogFormat {
    /// Text on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Text.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logs could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The level is none.
    #[error(
        "`{0}` is not a log level: write `error`, `warn`, `info`, `debug`, `trace`, or per module as `info,greenshift::aws=debug`"
    )]
    Level(String),
    /// Somebody else has set them up already.
    #[error("logs were set up already")]
    Twice,
}

/// Sets logs up for the whole process. `level` as `info`, or per module as `info,greenshift::aws=debug`.
pub fn start(level: &str, format: LogFormat) -> Result<(), LogError> {
    let filter = EnvFilter::try_new(level).map_err(|_unreadable| LogError::Level(level.to_owned()))?;
    let terminal = std::io::stderr().is_terminal();
    let json = match format {
        LogFormat::Auto => !terminal,
        LogFormat::Text => false,
        LogFormat::Json => true,
    };
    let lines = fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let done = if json {
        lines.json().flatten_event(true).with_current_span(false).finish().try_init()
    } else {
        lines.with_ansi(terminal).with_target(false).finish().try_init()
    };
    done.map_err(|_set_already| LogError::Twice)
}
