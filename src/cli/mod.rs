//! The command line: what can be said, and what each exit code means. One file per command; [`output`] alone prints.

mod against;
mod apply;
mod ask;
mod demo;
mod describe;
mod document;
mod freeze;
mod get;
mod history;
mod output;
mod plan;
mod preflight;
mod serve;
mod watch;
mod words;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use crate::client::{Client, ClientError};
use crate::config::DocumentErrors;

/// How a command ended. These numbers are fixed: scripts rely on them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or what was waited for was reached.
    Ok = 0,
    /// Something went wrong.
    Error = 1,
    /// The command or the document is invalid.
    Usage = 2,
    /// The rollout was rolled back, aborted or failed.
    Failed = 3,
    /// The rollout is paused or waits for approval.
    Waiting = 4,
    /// The wait took too long; the rollout goes on.
    TimedOut = 5,
    /// Not allowed.
    NotAllowed = 6,
    /// The rollout has changed, or refuses it in its present state.
    Conflict = 7,
    /// The server cannot be reached.
    Unreachable = 8,
    /// Interrupted; the rollout goes on.
    Interrupted = 130,
}

const EXIT_CODES: &str = "\
Exit codes:
  0  done, or reached what was waited for
  1  error
  2  the command or the document is invalid
  3  the rollout was rolled back, aborted or failed
  4  the rollout is paused or waits for approval
  5  the wait took too long (the rollout goes on)
  6  not allowed
  7  conflict: the rollout has changed, or refuses it in its present state
  8  the server cannot be reached
  130  interrupted (the rollout goes on)";

/// Moves traffic from a blue fleet to a green one in proven steps, and takes it back by itself.
#[derive(Debug, Parser)]
#[command(name = "greenshift", version, after_help = EXIT_CODES, max_term_width = 100, disable_help_subcommand = true)]
struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Command,
}

/// Which server, and as whom.
#[derive(Debug, Args)]
struct Global {
    /// Address of the server
    #[arg(
        long,
        global = true,
        env = "GREENSHIFT_SERVER",
        hide_env_values = true,
        default_value = "http://127.0.0.1:8080",
        value_name = "URL",
        help_heading = "Server",
        display_order = 900
    )]
    server: String,
    /// Who asks: shown in the history. Nobody checks it yet
    #[arg(
        long = "as",
        global = true,
        env = "USER",
        hide_env_values = true,
        value_name = "NAME",
        help_heading = "Server",
        display_order = 901
    )]
    actor: Option<String>,
}

impl Global {
    fn client(&self) -> Result<Client, ClientError> {
        // What the API would not take as a name is left out of it.
        let plain = |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '@' | '+');
        let actor: Option<String> = self.actor.as_ref().map(|actor| actor.chars().filter(plain).take(64).collect());
        Client::new(&self.server, actor.as_deref().filter(|actor| !actor.is_empty()))
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the controller: loop, API and metrics
    Serve(serve::Serve),
    /// Create a rollout, or change what may still change
    Apply(apply::Apply),
    /// List rollouts, or show one
    Get(get::Get),
    /// Show everything about a rollout, and how to put it back by hand
    Describe(describe::Describe),
    /// Show what happened to a rollout, and who did it
    History(history::History),
    /// Follow a rollout until it ends, or until it is where you want it
    Watch(watch::Watch),
    /// Stop raising; the judge goes on and may still roll back
    Pause(ask::Pause),
    /// Go on from where a pause or a halt stopped
    Resume(ask::Resume),
    /// Skip hold, approval and missing proof of the present step
    Promote(ask::Promote),
    /// Answer the approval that the rollout waits for
    Approve(ask::Approve),
    /// Take everything back to blue and end, from any phase
    Abort(ask::Abort),
    /// Take everything back to blue, also after completion inside the rollback window
    Rollback(ask::Rollback),
    /// Begin a new attempt with fresh evidence
    Retry(ask::Retry),
    /// Go back to the last proven weight and pause there
    StepBack(ask::StepBack),
    /// Go on in spite of a preflight finding
    Waive(ask::Waive),
    /// Remove an ended rollout and its history for ever
    Delete(ask::Delete),
    /// Look for everything that would stop the first shift
    Preflight(preflight::Preflight),
    /// Stop all forward moves of all rollouts, or allow them again
    #[command(subcommand)]
    Freeze(freeze::Freeze),
    /// Show what a document would do, without doing any of it
    Plan(plan::Plan),
    /// Check a document without a server
    Lint(document::Lint),
    /// Print the JSON Schema of a document
    #[command(subcommand)]
    Schema(document::Schema),
    /// Watch a rollout on an embedded world, faster than time; needs no AWS account
    Demo(demo::Demo),
    /// Print the versions of this program and of the server
    Version(document::Version),
}

/// Parses the command line, does what it says, and tells how it ended.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            // Nobody is left to tell when the terminal is gone.
            let _gone = error.print();
            return exit.into();
        }
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            output::error(&anyhow::Error::new(error).context("the program cannot start"));
            return Exit::Error.into();
        }
    };
    let exit = runtime.block_on(run(cli)).unwrap_or_else(|error| {
        output::error(&error);
        exit_of(&error)
    });
    // Blocking file calls that still run must not keep the process.
    runtime.shutdown_background();
    exit.into()
}

async fn run(cli: Cli) -> anyhow::Result<Exit> {
    let global = cli.global;
    match cli.command {
        Command::Serve(command) => command.run().await,
        Command::Apply(command) => command.run(&global.client()?).await,
        Command::Get(command) => command.run(&global.client()?).await,
        Command::Describe(command) => command.run(&global.client()?).await,
        Command::History(command) => command.run(&global.client()?).await,
        Command::Watch(command) => command.run(&global.client()?).await,
        Command::Pause(command) => command.run(&global.client()?).await,
        Command::Resume(command) => command.run(&global.client()?).await,
        Command::Promote(command) => command.run(&global.client()?).await,
        Command::Approve(command) => command.run(&global.client()?).await,
        Command::Abort(command) => command.run(&global.client()?).await,
        Command::Rollback(command) => command.run(&global.client()?).await,
        Command::Retry(command) => command.run(&global.client()?).await,
        Command::StepBack(command) => command.run(&global.client()?).await,
        Command::Waive(command) => command.run(&global.client()?).await,
        Command::Delete(command) => command.run(&global.client()?).await,
        Command::Preflight(command) => command.run(&global.client()?).await,
        Command::Freeze(command) => command.run(&global.client()?).await,
        Command::Plan(command) => command.run(&global).await,
        Command::Lint(command) => command.run(),
        Command::Schema(command) => command.run(),
        Command::Demo(command) => command.run().await,
        Command::Version(command) => command.run(&global.client()?).await,
    }
}

/// The exit code of an error.
fn exit_of(error: &anyhow::Error) -> Exit {
    if error.downcast_ref::<DocumentErrors>().is_some() || error.downcast_ref::<UsageError>().is_some() {
        return Exit::Usage;
    }
    match error.downcast_ref::<ClientError>() {
        Some(ClientError::Address(_)) => Exit::Usage,
        Some(ClientError::Unreachable { .. } | ClientError::Broken { .. }) => Exit::Unreachable,
        Some(ClientError::Problem(problem)) => match problem.status {
            400 | 413 | 415 | 422 => Exit::Usage,
            401 | 403 | 421 => Exit::NotAllowed,
            409 | 412 | 428 => Exit::Conflict,
            _ => Exit::Error,
        },
        Some(ClientError::Foreign { .. }) | None => Exit::Error,
    }
}

/// The command makes no sense as it was written.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct UsageError(String);

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
