//! microburst: a proxy that others wrote, which breaks AWS traffic in AWS's own wire formats.

use crate::program::{Program, free_port, installed};
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// A running proxy.
#[derive(Debug)]
pub(crate) struct Microburst {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    http: reqwest::Client,
    _program: Program,
    _folder: TempDir,
}

impl Microburst {
    /// Starts a proxy in front of `upstream`.
    pub(crate) fn start(upstream: &str) -> Self {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("microburst.log");
        let port = free_port();
        let mut command = Command::new(installed("microburst"));
        command.args(["--host", "127.0.0.1", "--port", &port.to_string(), "--upstream", upstream]);
        let mut program = Program::start("microburst", &mut command, &log);
        program.wait_for(port, &log);
        let http = reqwest::Client::builder().timeout(Duration::from_secs(10)).build().unwrap();
        Self { endpoint: format!("http://127.0.0.1:{port}"), http, _program: program, _folder: folder }
    }

    /// Adds faults, in microburst's own words; services have botocore's names.
    pub(crate) async fn add(&self, rules: &Value) {
        let url = format!("{}/_microburst/rules", self.endpoint);
        let answer = self.http.patch(url).json(rules).send().await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.text().await.unwrap());
    }

    /// What has struck so far, in microburst's own words.
    pub(crate) async fn fired(&self) -> Value {
        let url = format!("{}/_microburst/fired", self.endpoint);
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }
}
