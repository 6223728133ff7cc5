//! The demo as people start it, off a terminal.

use std::process::{Command, Output};

use greenshift::simulation::SCENARIOS;

fn demo(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_greenshift"));
    command.arg("demo").args(arguments).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The lines of the time line that bear this label.
fn labelled<'a>(told: &'a str, label: &str) -> Vec<&'a str> {
    let labelled = |line: &&str| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|time| time.starts_with('+')) && words.next() == Some(label)
    };
    told.lines().filter(labelled).collect()
}

#[test]
fn the_demo_tells_a_bad_green_to_its_end() {
    let output = demo(&["--scenario", "bad-green", "--speed", "1000"]);
    let told = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
    let world = labelled(&told, "world");
    assert!(
        matches!(world.as_slice(), [line] if line.ends_with("green fails 5.0 % of its requests from now on")),
        "{told}"
    );
    let failing =
        labelled(&told, "verdict").into_iter().any(|line| line.contains("errors failing: green is worse than blue"));
    assert!(failing, "{told}");
    let phases = labelled(&told, "phase");
    assert!(phases.iter().any(|line| line.contains("progressing → rolling_back")), "{told}");
    assert!(phases.last().unwrap().contains("rolling_back → rolled_back"), "{told}");
    assert!(labelled(&told, "weight").last().unwrap().contains("green 0%"), "{told}");
    assert!(told.contains("rolled_back: Green was worse than blue"), "{told}");
    // Lines are wrapped to the width, wherever the numbers put the break.
    let flowing = told.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(flowing.contains("more than on blue alone"), "{told}");
    assert!(told.contains("Next: greenshift demo --scenario late-regression"), "{told}");
    assert!(!told.contains('\u{1b}'), "no colour and no cursor moves off a terminal: {told}");
    assert_eq!(text(&output.stderr), "");
}

#[test]
fn the_list_names_every_story() {
    let output = demo(&["--list"]);
    assert_eq!(output.status.code(), Some(0));
    let listed = text(&output.stdout);
    let names: Vec<&str> = listed.lines().skip(1).filter_map(|line| line.split_whitespace().next()).collect();
    let all: Vec<&str> = SCENARIOS.iter().map(|story| story.name).collect();
    assert_eq!(names, all);
}

#[test]
fn an_unknown_story_is_answered_with_the_nearest() {
    let output = demo(&["--scenario", "bad-gren"]);
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("a similar value exists: 'bad-green'"), "{said}");
    assert!(output.stdout.is_empty());
}

#[test]
fn two_runs_with_one_seed_end_alike() {
    let last = || {
        let output = demo(&["--scenario", "drift", "--speed", "1500", "--seed", "7"]);
        let told = text(&output.stdout);
        assert_eq!(output.status.code(), Some(0), "{told}{}", text(&output.stderr));
        labelled(&told, "phase").last().map(|line| (*line).to_owned()).unwrap()
    };
    let phase = |line: String| line.split_once("→ ").unwrap().1.split(':').next().unwrap().to_owned();
    let ends = [phase(last()), phase(last())];
    assert_eq!(ends, ["aborted", "aborted"]);
}
