//! The controller's own settings: the compiled-in defaults, the operator's file over them, the environment over both.

mod document;
mod read;

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::domain::time::Span;

use super::environment::Environment;
use super::layers::{overlay, overlay_variables};
use super::problem::{DocumentErrors, Findings, Problem, Source};
use super::reader::At;
use super::tree;

pub use document::schema;

/// The defaults, with a comment for every key.
pub const DEFAULTS: &str = include_str!("../../../config/controller.yaml");

/// What the controller runs with. `config/controller.yaml` says what each setting means.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// Where the API and the page are served; a loopback address.
    pub listen: SocketAddr,
    /// Where the journal is kept.
    pub database: Database,
    /// How often every active rollout is looked at.
    pub tick_interval: Span,
    /// How often targets are counted when no raise is due.
    pub health_interval: Span,
    /// What carries the weights.
    pub traffic_router: TrafficRouterChoice,
    /// Where metrics and alarms come from.
    pub metric_provider: MetricProviderChoice,
    /// Name of this controller in the owner tag of rules.
    pub owner: String,
    /// Whether rules are tagged with the owner.
    pub claim_rules: bool,
    /// How AWS is called.
    pub aws: AwsSettings,
    /// What one controller takes on at most.
    pub limits: Limits,
    /// What is logged, and how.
    pub log: LogSettings,
    /// How long shutdown may take.
    pub shutdown_timeout: Span,
}

/// Where the journal is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Database {
    /// In an SQLite file.
    Sqlite(PathBuf),
    /// Nowhere: it is lost with the process.
    Memory,
}

/// What carries the weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrafficRouterChoice {
    /// Application Load Balancers.
    Alb,
    /// A world in memory.
    Memory,
}

/// Where metrics and alarms come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricProviderChoice {
    /// Amazon CloudWatch.
    Cloudwatch,
    /// A world in memory.
    Memory,
}

/// How AWS is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwsSettings {
    /// Until a connection stands.
    pub connect_timeout: Span,
    /// Until the first byte of an answer comes.
    pub read_timeout: Span,
    /// One attempt of a call.
    pub attempt_timeout: Span,
    /// A call with all of its attempts.
    pub operation_timeout: Span,
    /// Changing calls a second, for each account and region.
    pub modify_per_second: u32,
    /// Changing calls that may come at once.
    pub modify_burst: u32,
    /// Reading calls a second, for each account and region.
    pub describe_per_second: u32,
    /// Reading calls that may come at once.
    pub describe_burst: u32,
}

/// What one controller takes on at most.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rollouts that are not finished.
    pub active_rollouts: u32,
    /// Largest request body, in bytes.
    pub body_bytes: usize,
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// How lines look.
    pub format: LogFormat,
    /// From which level on.
    pub level: LogLevel,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// For people.
    Text,
    /// For machines.
    Json,
}

/// From which level on lines are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogLevel {
    /// Wake someone.
    Error,
    /// Look tomorrow.
    Warn,
    /// A phase changed.
    Info,
    /// For finding faults.
    Debug,
    /// Everything.
    Trace,
}

impl LogLevel {
    /// The name, as filters write it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// Settings that were taken.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// The settings.
    pub settings: Settings,
    /// What the operator should know all the same.
    pub warnings: Vec<Problem>,
}

/// Lays the operator's file, if there is one, and the environment over the defaults. `file` is its name, for
/// messages, and its text.
pub fn load(file: Option<(&str, &str)>, environment: &dyn Environment) -> Result<Loaded, DocumentErrors> {
    let mut settings = tree::read(&Source::new("built-in controller.yaml", DEFAULTS))?;
    if let Some((name, text)) = file {
        settings = overlay(settings, tree::read(&Source::new(name, text))?);
    }
    let mut out = Findings::default();
    overlay_variables(&mut settings, environment.variables(), &mut out);
    let read = read::settings(&At::root(&settings), &mut out);
    let (settings, warnings) = out.finish(read)?;
    Ok(Loaded { settings, warnings })
}
