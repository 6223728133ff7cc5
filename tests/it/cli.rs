//! The command line, as scripts use it: what it prints where, and its exit codes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use super::harness::{Server, document};

const SERVER_THAT_IS_NOT_THERE: &str = "http://127.0.0.1:9";

fn greenshift(server: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenshift"));
    command.args(arguments).env_clear().env("GREENSHIFT_SERVER", server).env("USER", "alice").stdin(Stdio::null());
    command
}

fn run(server: &str, arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = greenshift(server, arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn file(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn help_texts_are_as_they_were_read() {
    let (_, main, _) = run(SERVER_THAT_IS_NOT_THERE, &["--help"]);
    let commands: Vec<&str> = main
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(commands.len() >= 20, "{commands:?}");
    let mut all = vec![main.clone()];
    for command in commands {
        let (code, help, _) = run(SERVER_THAT_IS_NOT_THERE, &[command, "--help"]);
        assert_eq!(code, 0);
        all.push(format!("──── {command}\n\n{help}"));
    }
    insta::assert_snapshot!("help", all.join("\n"));
}

#[test]
fn every_sample_is_in_order() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("config/rollouts");
    let samples: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(samples.len() >= 4);
    for sample in samples {
        let (code, out, errors) = run(SERVER_THAT_IS_NOT_THERE, &["lint", "-f", sample.to_str().unwrap()]);
        assert_eq!(code, 0, "{errors}");
        assert!(out.contains("is in order"), "{out}");
    }
}

#[test]
fn what_is_wrong_without_a_server_is_told_without_one() {
    let folder = tempfile::tempdir().unwrap();
    let bad = file(folder.path(), "bad.yaml", "name: Payments\nroute: {}\n");
    for command in ["lint", "apply", "plan", "preflight"] {
        let (code, out, errors) = run(SERVER_THAT_IS_NOT_THERE, &[command, "-f", &bad]);
        assert_eq!((code, out.as_str()), (2, ""), "{command}: {errors}");
        assert!(errors.contains("bad.yaml:1:7"), "{errors}");
    }
    let (code, _, errors) = run(SERVER_THAT_IS_NOT_THERE, &["abort", "payments"]);
    assert!(code == 2 && errors.contains("--reason"), "{code} {errors}");
    assert_eq!(run(SERVER_THAT_IS_NOT_THERE, &["watch", "x", "--for", "lunch"]).0, 2);
    assert!(run(SERVER_THAT_IS_NOT_THERE, &["version"]).1.starts_with("greenshift "));
    assert_eq!(run("nonsense", &["get"]).0, 2);
    let (code, out, errors) = run(SERVER_THAT_IS_NOT_THERE, &["get"]);
    assert_eq!((code, out.as_str()), (8, ""), "{errors}");
    assert!(errors.contains("is `greenshift serve` running there?"), "{errors}");
    assert_eq!(run(SERVER_THAT_IS_NOT_THERE, &["apply", "-f", "/nowhere.yaml"]).0, 1);
    for schema in ["rollout", "config"] {
        let (code, out, _) = run(SERVER_THAT_IS_NOT_THERE, &["schema", schema]);
        let schema: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert!(code == 0 && schema["properties"].is_object());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_by_hand_from_apply_to_delete() {
    let server = Server::start().await;
    let url = server.url.clone();
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "payments.yaml", &document("payments"));
    assert!(run(&url, &["apply", "-f", &good]).1.starts_with("created: payments pending"));
    assert!(run(&url, &["apply", "-f", &good]).1.starts_with("unchanged: payments"));
    server.until_first_step("payments").await;
    let changed = file(folder.path(), "changed.yaml", &document("payments").replace("50%", "40%"));
    assert!(run(&url, &["apply", "-f", &changed]).1.starts_with("changed: payments progressing"));

    let (code, table, _) = run(&url, &["get"]);
    assert!(code == 0 && table.lines().count() == 2 && !table.contains('\u{1b}'), "{table}");
    let (_, json, _) = run(&url, &["get", "payments", "-o", "json"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&json).unwrap()["name"], "payments");
    let (_, all, _) = run(&url, &["describe", "payments"]);
    for part in ["Phase", "Holding", "Checks", "Rules", "To put everything back on blue by hand", "# in memory"] {
        assert!(all.contains(part), "{part} is missing in\n{all}");
    }
    assert!(!all.contains('\u{1b}'), "no colour off a terminal");

    assert_eq!(run(&url, &["get", "other"]).0, 1);
    assert_eq!(run(&url, &["approve", "payments", "--reason", "x"]).0, 7);
    let (code, _, errors) = run(&url, &["promote", "payments", "--reason", "x", "--expected-step", "3"]);
    assert!(code == 7 && errors.contains("is at step 1"), "{errors}");
    let (code, out, errors) = run(&url, &["promote", "payments", "--reason", "seen enough"]);
    assert!(code == 0 && errors.contains("is at step 1/3"), "{out}{errors}");

    assert_eq!(run(&url, &["watch", "payments", "--timeout", "1s"]).0, 5);
    assert_eq!(run(&url, &["pause", "payments", "--reason", "lunch"]).0, 0);
    assert_eq!(run(&url, &["watch", "payments", "--for", "paused"]).0, 0);
    let (code, lines, errors) = run(&url, &["watch", "payments", "-o", "json"]);
    assert_eq!(code, 4, "{errors}");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&lines).unwrap()["phase"], "paused");
    assert!(errors.contains("greenshift resume payments"), "{errors}");
    assert_eq!(run(&url, &["abort", "payments", "--reason", "enough"]).0, 0);
    assert_eq!(run(&url, &["watch", "payments"]).0, 3);
    assert_eq!(run(&url, &["watch", "payments", "--for", "rolled_back"]).0, 0);
    let (_, history, _) = run(&url, &["history", "payments"]);
    assert!(history.contains("alice (unverified)  asked to abort: enough"), "{history}");
    assert_eq!(run(&url, &["delete", "payments"]).0, 0);
    assert_eq!(run(&url, &["get"]).1, "");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_watch_says_that_the_rollout_goes_on() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "payments.yaml", &document("payments"));
    assert_eq!(run(&server.url, &["apply", "-f", &good]).0, 0);
    let mut watch = greenshift(&server.url, &["watch", "payments"]);
    let watch = watch.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert!(Command::new("kill").args(["-INT", &watch.id().to_string()]).status().unwrap().success());
    let ended = watch.wait_with_output().unwrap();
    assert_eq!(ended.status.code(), Some(130));
    assert!(String::from_utf8(ended.stderr).unwrap().contains("payments goes on"));
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_does_not_allow_it_is_told_from_one_that_fails() {
    let forbidden = r#"{"type":"x","title":"No","status":403,"detail":"you may only look","code":"forbidden"}"#;
    let answers = move || async move {
        (reqwest::StatusCode::FORBIDDEN, [("content-type", "application/problem+json")], forbidden)
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let stop = tokio_util::sync::CancellationToken::new();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(greenshift::api::serve(listener, axum::Router::new().fallback(answers), stop.clone()));
    let (code, _, errors) = run(&url, &["abort", "payments", "--reason", "x"]);
    assert!(code == 6 && errors.contains("you may only look"), "{code} {errors}");
    stop.cancel();
    tasks.close();
    tasks.wait().await;
}

#[test]
fn recorded_metrics_are_judged_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let good = file(folder.path(), "payments.yaml", &document("payments"));
    let mut rows = vec!["time,blue_requests,blue_errors,green_requests,green_errors".to_owned()];
    rows.extend((0..30).map(|minute| format!("10:{minute:02},9000,9,0,0")));
    rows.extend((30..45).map(|minute| format!("10:{minute:02},8100,8,900,90")));
    let recorded = file(folder.path(), "recorded.csv", &rows.join("\n"));
    let (code, out, errors) = run(SERVER_THAT_IS_NOT_THERE, &["plan", "-f", &good, "--against", &recorded]);
    assert!(code == 3 && out.contains("Would have rolled back."), "{code} {out}{errors}");
    let wrong = file(folder.path(), "wrong.csv", "when,how\n1,2\n");
    let (code, _, errors) = run(SERVER_THAT_IS_NOT_THERE, &["plan", "-f", &good, "--against", &wrong]);
    assert!(code == 2 && errors.contains("no column `time`"), "{errors}");
}

#[test]
fn the_program_serves_and_stops_in_order() {
    use std::io::{BufRead as _, BufReader};
    let folder = tempfile::tempdir().unwrap();
    let text = "listen: 127.0.0.1:0\ntraffic_router: memory\nmetric_provider: memory\ntick_interval: 200ms\n";
    let config = file(folder.path(), "controller.yaml", text);
    let mut serve = greenshift("", &["serve", "--config", &config]);
    let mut serve = serve.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(serve.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let url = ready.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(url.starts_with("http://127.0.0.1:"), "{ready}");
    let good = file(folder.path(), "payments.yaml", &document("payments"));
    assert_eq!(run(&url, &["apply", "-f", &good]).0, 0);
    let stop = |id: u32| assert!(Command::new("kill").args(["-TERM", &id.to_string()]).status().unwrap().success());
    stop(serve.id());
    assert_eq!(serve.wait().unwrap().code(), Some(0));

    let mut again = greenshift("", &["serve", "--config", &config]);
    let mut again = again.current_dir(folder.path()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut ready = String::new();
    BufReader::new(again.stdout.take().unwrap()).read_line(&mut ready).unwrap();
    let url = ready.trim().rsplit(' ').next().unwrap().to_owned();
    assert!(run(&url, &["get"]).1.contains("payments"), "what was there is there after a restart");
    stop(again.id());
    assert_eq!(again.wait().unwrap().code(), Some(0));
}
