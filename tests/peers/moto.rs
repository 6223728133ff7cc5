//! moto: an AWS emulator that others wrote, as a second opinion on Elastic Load Balancing.

use crate::aws_stand_in::BlueGreen;
use crate::program::{AWS_ENVIRONMENT, Program, free_port, installed};
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A running moto server with the typical blue/green set-up.
#[derive(Debug)]
pub(crate) struct Moto {
    /// `http://127.0.0.1:PORT`.
    pub(crate) endpoint: String,
    /// What is in it.
    pub(crate) app: BlueGreen,
    _program: Program,
    _folder: TempDir,
}

impl Moto {
    /// Starts a server and makes the world in it.
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().unwrap();
        let log = folder.path().join("moto.log");
        let port = free_port();
        let mut command = Command::new(installed("moto_server"));
        command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
        let mut program = Program::start("moto_server", &mut command, &log);
        program.wait_for(port, &log);
        let endpoint = format!("http://127.0.0.1:{port}");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/moto_world.py");
        let mut python = Command::new(installed("python"));
        python.arg(script).envs(AWS_ENVIRONMENT).env("AWS_ENDPOINT_URL", &endpoint);
        let output = python.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let app = serde_json::from_slice(&output.stdout).unwrap();
        Self { endpoint, app, _program: program, _folder: folder }
    }
}
