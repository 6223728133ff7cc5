//! greenshift as its users run it: a process, a configuration file, an HTTP API.

use crate::program::{AWS_ENVIRONMENT, Program, free_port};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Where greenshift is to find each AWS service.
#[derive(Debug, Clone)]
pub(crate) struct Endpoints {
    /// Elastic Load Balancing.
    pub(crate) elbv2: String,
    /// CloudWatch and STS.
    pub(crate) others: String,
}

/// A running controller with a database of its own.
#[derive(Debug)]
pub(crate) struct Greenshift {
    url: String,
    port: u16,
    endpoints: Endpoints,
    program: Program,
    http: reqwest::Client,
    folder: TempDir,
}

impl Greenshift {
    /// Starts a controller that ticks five times a second.
    pub(crate) fn start(endpoints: Endpoints) -> Self {
        let folder = TempDir::new().unwrap();
        let port = free_port();
        let database = folder.path().join("greenshift.db");
        let file =
            format!("listen: 127.0.0.1:{port}\ndatabase: \"sqlite:{}\"\ntick_interval: 200ms\n", database.display());
        std::fs::write(folder.path().join("controller.yaml"), file).unwrap();
        let program = serve(&endpoints, &folder, port);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(20)).build().unwrap();
        Self { url: format!("http://127.0.0.1:{port}"), port, endpoints, program, http, folder }
    }

    /// Kills the process without warning and starts another on the same database.
    pub(crate) fn lose_and_restart(&mut self) {
        self.program.kill();
        self.program = serve(&self.endpoints, &self.folder, self.port);
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("greenshift.log")
    }

    /// Runs `greenshift ARGUMENTS` against this controller.
    pub(crate) fn cli(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_greenshift"));
        command.args(arguments).env("GREENSHIFT_SERVER", &self.url).output().unwrap()
    }

    /// Creates a rollout with the CLI, from a file.
    pub(crate) fn apply(&self, document: &Value) {
        let path = self.folder.path().join("rollout.json");
        std::fs::write(&path, document.to_string()).unwrap();
        let output = self.cli(&["apply", "-f", path.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}\n{}", self.story());
    }

    /// Asks the API.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let answer = self.http.get(format!("{}/api/v1/{path}", self.url)).send().await.unwrap();
        assert!(answer.status().is_success(), "{path}: {}", answer.text().await.unwrap());
        answer.json().await.unwrap()
    }

    /// Asks for something that a person may ask for.
    pub(crate) async fn ask(&self, name: &str, what: &str) {
        let url = format!("{}/api/v1/rollouts/{name}/{what}", self.url);
        let answer = self.http.post(url).json(&json!({"reason": "a test"})).send().await.unwrap();
        assert_eq!(answer.status(), 202, "{what}: {}", answer.text().await.unwrap());
    }

    /// Waits until the rollout is as wanted; fails with everything that is known if that takes too long.
    pub(crate) async fn wait(&self, name: &str, limit: Duration, wanted: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + limit;
        loop {
            let rollout = self.get(&format!("rollouts/{name}")).await;
            if wanted(&rollout) {
                return rollout;
            }
            if Instant::now() > deadline {
                let events = self.get(&format!("rollouts/{name}/events?limit=200")).await;
                panic!("not reached in {limit:?}\n{rollout:#}\n{events:#}\n{}", self.story());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits for a phase.
    pub(crate) async fn wait_for(&self, name: &str, phase: &str) -> Value {
        let last = ["completed", "rolled_back", "aborted", "halted", "paused"];
        let found = self
            .wait(name, Duration::from_mins(3), |rollout| {
                rollout["phase"] == phase || last.iter().any(|last| rollout["phase"] == *last)
            })
            .await;
        assert_eq!(found["phase"], phase, "{found:#}\n{}", self.story());
        found
    }

    /// The end of what the process logged.
    pub(crate) fn story(&self) -> String {
        let log = std::fs::read_to_string(self.log_path()).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        lines.get(lines.len().saturating_sub(60)..).unwrap_or_default().join("\n")
    }
}

fn serve(endpoints: &Endpoints, folder: &TempDir, port: u16) -> Program {
    let log = folder.path().join("greenshift.log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenshift"));
    command.args(["serve", "--config"]).arg(folder.path().join("controller.yaml"));
    command.current_dir(folder.path()).envs(AWS_ENVIRONMENT);
    command.env("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", &endpoints.elbv2);
    command.env("AWS_ENDPOINT_URL_CLOUDWATCH", &endpoints.others);
    command.env("AWS_ENDPOINT_URL_STS", &endpoints.others);
    let mut program = Program::start("greenshift", &mut command, &log);
    program.wait_for(port, &log);
    program
}
