//! `greenshift plan --against`: recorded metrics, judged without a server.

use std::fmt::Write as _;
use std::process::{Command, Output};

fn judge(csv: &str) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let (document, recorded) = (folder.path().join("rollout.yaml"), folder.path().join("recorded.csv"));
    let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
    let text = format!(
        "name: recorded\nroute:\n  alb:\n    rules: [{arn}:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2]\n    \
         blue_target_group: {arn}:targetgroup/blue/6d0ecf831eec9f09\n    \
         green_target_group: {arn}:targetgroup/green/73e2d6bc24d8a067\n"
    );
    std::fs::write(&document, text).unwrap();
    std::fs::write(&recorded, csv).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenshift"));
    command.arg("plan").arg("-f").arg(&document).arg("--against").arg(&recorded).output().unwrap()
}

/// An hour of blue alone, then half an hour with a tenth on green.
fn recorded(green_errors: u32, green_p99: f64) -> String {
    let mut csv = "time,blue_requests,blue_errors,green_requests,green_errors,\
                   blue_p50,blue_p90,blue_p99,green_p50,green_p90,green_p99\n"
        .to_owned();
    for minute in 0..60 {
        writeln!(csv, "{minute},10000,{},0,0,0.04,0.08,0.2,,,", 19 + minute % 3).unwrap();
    }
    for minute in 60..90 {
        let errors = 18 + minute % 2;
        let (p50, p90) = (green_p99 / 5.0, green_p99 / 2.5);
        writeln!(csv, "{minute},9000,{errors},1000,{green_errors},0.04,0.08,0.2,{p50},{p90},{green_p99}").unwrap();
    }
    csv
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

#[test]
fn a_good_green_would_have_been_raised() {
    let output = judge(&recorded(2, 0.2));
    assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    assert!(text(&output).contains("  errors  step 1  "), "{}", text(&output));
}

#[test]
fn a_failing_green_would_have_been_rolled_back() {
    let output = judge(&recorded(60, 0.2));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("errors"), "{}", text(&output));
}

#[test]
fn a_slow_green_would_have_been_rolled_back_though_nothing_fails() {
    let output = judge(&recorded(2, 1.0));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    assert!(text(&output).contains("latency"), "{}", text(&output));
}

#[test]
fn a_file_that_cannot_be_judged_is_refused_at_its_line() {
    let broken = judge("time,blue_requests,blue_errors,green_requests,green_errors\n1,10,0,many,0\n");
    assert_eq!(broken.status.code(), Some(2));
    assert!(text(&broken).contains("line 2: `many` is no count"), "{}", text(&broken));
    let half = judge("time,blue_requests,blue_errors,green_requests,green_errors,blue_p50\n");
    assert_eq!(half.status.code(), Some(2));
    assert!(text(&half).contains("need all of the columns blue_p50,blue_p90"), "{}", text(&half));
}
