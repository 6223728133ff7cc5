//! The program itself, started for one test: `greenshift serve` with settings, a database and an AWS of its own.

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Longest wait for the program to listen: a debug build on a busy machine.
const READY_MAX: Duration = Duration::from_secs(30);

/// A folder with the settings and the database of one controller, which may be started many times.
#[derive(Debug)]
pub(crate) struct Home {
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Home {
    /// Settings for a controller that ticks ten times a second and gives AWS little time.
    pub(crate) fn new(endpoint: &str) -> Self {
        Self::with(
            endpoint,
            "tick_interval: 100ms\nhealth_interval: 1s\naws: {connect_timeout: 500ms, read_timeout: 800ms, \
             attempt_timeout: 800ms, operation_timeout: 3s, modify_per_second: 1000, modify_burst: 1000, \
             describe_per_second: 1000, describe_burst: 1000}",
        )
    }

    /// These settings, beside an address and a database.
    pub(crate) fn with(endpoint: &str, settings: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("greenshift.db");
        let settings = format!("listen: 127.0.0.1:0\ndatabase: sqlite:{}\n{settings}\n", database.display());
        std::fs::write(folder.path().join("controller.yaml"), settings).unwrap();
        Self { folder, endpoint: endpoint.to_owned() }
    }

    /// Where the journal lies.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("greenshift.db")
    }

    /// Starts a controller here.
    pub(crate) fn serve(&self) -> Served {
        let log = self.folder.path().join("log");
        let output = self.folder.path().join("output");
        let errors = std::fs::File::options().create(true).append(true).open(&log).unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_greenshift"))
            .args(["serve", "--config"])
            .arg(self.folder.path().join("controller.yaml"))
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIATEST")
            .env("AWS_SECRET_ACCESS_KEY", "secret")
            .env("AWS_REGION", "eu-west-1")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("AWS_CONFIG_FILE", "/dev/null")
            .env("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
            .env("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", &self.endpoint)
            .env("AWS_ENDPOINT_URL_CLOUDWATCH", &self.endpoint)
            .stdin(Stdio::null())
            .stdout(std::fs::File::create(&output).unwrap())
            .stderr(errors)
            .spawn()
            .unwrap();
        Served { child, output, log }
    }
}

/// A running controller; killed by its id when this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    child: Child,
    output: PathBuf,
    log: PathBuf,
}

impl Served {
    /// Its process, as long as it was not waited for.
    pub(crate) fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Its address once it listens; `None` when it ended before.
    pub(crate) async fn address(&mut self) -> Option<String> {
        let begun = Instant::now();
        loop {
            let said = std::fs::read_to_string(&self.output).unwrap_or_default();
            if let Some((_, address)) = said.split_once("listens on ")
                && address.ends_with('\n')
            {
                return Some(address.trim_end().to_owned());
            }
            if self.child.try_wait().unwrap().is_some() {
                return None;
            }
            assert!(begun.elapsed() < READY_MAX, "it does not listen:\n{}", self.log());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// The end of what it logged, over all starts.
    pub(crate) fn log(&self) -> String {
        tail(&self.log)
    }

    /// Kills it at once, as a lost machine would.
    pub(crate) fn kill(&mut self) {
        // It may have ended by itself.
        let _ended = self.child.kill();
        self.child.wait().unwrap();
    }

    /// Whether it still runs.
    pub(crate) fn runs(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Whether a signal ended it.
    pub(crate) fn signalled(&mut self) -> bool {
        let ended = self.child.try_wait().unwrap();
        ended.is_some_and(|status| status.signal().is_some())
    }

    /// Asks it to stop.
    pub(crate) fn terminate(&self) {
        kill_process(self.pid(), Signal::TERM).unwrap();
    }

    /// Waits for its end, for so long at most.
    pub(crate) async fn ended(&mut self, within: Duration) -> Option<ExitStatus> {
        let begun = Instant::now();
        loop {
            let ended = self.child.try_wait().unwrap();
            if ended.is_some() || begun.elapsed() >= within {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

fn tail(path: &Path) -> String {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(40)..].join("\n")
}
