//! `greenshift demo`: the real controller, journal and API over a world in memory that runs faster than time.

mod log;
mod numbers;
mod stage;
mod tell;
mod view;

use anyhow::Context as _;
use clap::builder::PossibleValuesParser;
use clap::{Args, value_parser};
use tokio::signal::unix::{SignalKind, signal};

use self::stage::{Pace, Stage};
use super::{Exit, output};
use crate::simulation::{SCENARIOS, Scenario};
use crate::telemetry::logs::{self, LogFormat};

/// What is told when nothing was chosen.
const USUAL: [&str; 2] = ["healthy", "bad-green"];

#[derive(Debug, Args)]
pub(super) struct Demo {
    /// The story to tell; without it `healthy`, then `bad-green`
    #[arg(long, value_name = "NAME", value_parser = PossibleValuesParser::new(SCENARIOS.iter().map(|story| story.name)))]
    scenario: Option<String>,
    /// How many times as fast as real time, 1 to 5000; without it, each story takes some 20 to 25 seconds
    #[arg(long, value_parser = value_parser!(u32).range(1..=5000), value_name = "N")]
    speed: Option<u32>,
    /// Chance begins here: another number, other traffic
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// List the stories
    #[arg(long)]
    list: bool,
    /// Port of the API on 127.0.0.1; 0 takes any that is free
    #[arg(long, default_value_t = 0, value_name = "N")]
    port: u16,
    /// Also the controller's warnings, to standard error
    #[arg(short, long)]
    verbose: bool,
}

impl Demo {
    pub(super) async fn run(self) -> anyhow::Result<Exit> {
        if self.list {
            list();
            return Ok(Exit::Ok);
        }
        // Log lines would tear the live view apart.
        if self.verbose && !output::can_draw() {
            logs::start("warn", LogFormat::Text)?;
        }
        let mut terminate = signal(SignalKind::terminate()).context("signals cannot be watched")?;
        let mut hangup = signal(SignalKind::hangup()).context("signals cannot be watched")?;
        let mut interrupt = signal(SignalKind::interrupt()).context("signals cannot be watched")?;
        tokio::select! {
            exit = self.tell_all() => exit,
            _ = terminate.recv() => Ok(Exit::Interrupted),
            _ = hangup.recv() => Ok(Exit::Interrupted),
            _ = interrupt.recv() => Ok(Exit::Interrupted),
        }
    }

    async fn tell_all(&self) -> anyhow::Result<Exit> {
        let stories: Vec<&Scenario> = match &self.scenario {
            Some(name) => Scenario::named(name).into_iter().collect(),
            None => USUAL.into_iter().filter_map(Scenario::named).collect(),
        };
        let mut worst = Exit::Ok;
        for (index, story) in stories.iter().enumerate() {
            if index > 0 {
                output::data("");
            }
            if !self.tell(story).await? {
                worst = Exit::Failed;
            }
        }
        Ok(worst)
    }

    /// Tells one story; whether it ended as it should.
    async fn tell(&self, story: &Scenario) -> anyhow::Result<bool> {
        let speed = self.speed.unwrap_or(story.speed);
        let pace = Pace::new(speed);
        let Stage { app, living, name, folder } = Stage::build(story, self.seed, pace, self.port).await?;
        let (stop, handle) = (app.stop().clone(), app.handle().clone());
        let frame = view::Frame { start: living.start(), address: format!("http://{}", app.address()), speed };
        let mut serving = std::pin::pin!(app.run_until_stopped());
        let told = tokio::select! {
            told = tell::story(story, &frame, &living, name.as_str()) => told?,
            () = living.run(pace, &handle, &name) => false,
            _ = &mut serving => anyhow::bail!("the controller stopped before the story was over"),
        };
        stop.cancel();
        serving.await;
        folder.close().context("the journal's temporary folder could not be removed")?;
        Ok(told)
    }
}

fn list() {
    let rows: Vec<Vec<String>> = SCENARIOS
        .iter()
        .map(|story| vec![story.name.to_owned(), story.ends.to_string(), story.title.to_owned()])
        .collect();
    output::data(output::table(&["SCENARIO", "ENDS", "WHAT IT SHOWS"], &rows));
}
