//! Programs of others, started for one test and ended with it.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What every program is told about AWS: a region and credentials that mean nothing.
pub(crate) const AWS_ENVIRONMENT: [(&str, &str); 8] = [
    ("AWS_ACCESS_KEY_ID", "AKIATEST"),
    ("AWS_SECRET_ACCESS_KEY", "secret"),
    ("AWS_REGION", REGION),
    ("AWS_DEFAULT_REGION", REGION),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
    ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ("AWS_PAGER", ""),
];

/// The region of every ARN here.
pub(crate) const REGION: &str = "eu-west-1";

/// A running program, killed by its id when this is dropped.
#[derive(Debug)]
pub(crate) struct Program {
    name: String,
    child: Child,
}

impl Program {
    /// Starts a command; its output goes to `log`.
    pub(crate) fn start(name: &str, command: &mut Command, log: &Path) -> Self {
        let output = std::fs::File::options().create(true).append(true).open(log).unwrap();
        let errors = output.try_clone().unwrap();
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn();
        let child = child.unwrap_or_else(|error| panic!("{name} did not start: {error}"));
        Self { name: name.to_owned(), child }
    }

    /// Waits until something accepts connections on the port; `log` is shown if the program ends first.
    pub(crate) fn wait_for(&mut self, port: u16, log: &Path) {
        let deadline = Instant::now() + Duration::from_mins(1);
        while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
            let ended = self.child.try_wait().unwrap();
            let output = || std::fs::read_to_string(log).unwrap_or_default();
            assert!(ended.is_none(), "{} ended ({ended:?}):\n{}", self.name, output());
            assert!(Instant::now() < deadline, "{} does not listen:\n{}", self.name, output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Kills it at once, as a lost machine would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // it may have ended by itself, and then there is nothing to kill
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.kill();
        }
    }
}

/// A port that nothing listens on at the moment.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// A program that `tests/peers/setup.sh` has installed; a test without it fails and says how to get it.
pub(crate) fn installed(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/bin").join(name);
    assert!(path.exists(), "{name} is not installed; run tests/peers/setup.sh");
    path
}
