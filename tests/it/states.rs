//! `docs/states.md` is the table of legal changes, printed: `UPDATE_GOLDEN=1` writes it anew.

use std::fmt::Write as _;

use greenshift::domain::phase::Phase;

use crate::scenarios::golden;

/// What may cause a change of phase, in words.
fn causes(from: Phase, to: Phase) -> &'static str {
    match to {
        Phase::Pending => "resume of a rollout that was paused while it waited",
        Phase::Preflight if from == Phase::Pending => "its start time has come",
        Phase::Preflight => "resume of a rollout that was stopped in preflight",
        Phase::Progressing => match from {
            Phase::Preflight => "preflight passed",
            Phase::AwaitingApproval => "approve, promote, a step back, or no approval wanted any more",
            Phase::Baking => "a step back, or an adopted lower weight",
            Phase::Paused | Phase::Halted => "resume, or promote of a paused rollout",
            Phase::Pending
            | Phase::Progressing
            | Phase::RollingBack
            | Phase::RolledBack
            | Phase::Completed
            | Phase::Aborted => "",
        },
        Phase::Paused => {
            "pause, on_failure / on_inconclusive / on_no_data: pause, deadline, a second step back, a raise refused twice"
        }
        Phase::AwaitingApproval if from == Phase::Progressing => "all is ready but a person's approval",
        Phase::AwaitingApproval => "resume",
        Phase::Baking if from == Phase::Progressing => "the last step is on every rule",
        Phase::Baking => "resume",
        Phase::RollingBack if from == Phase::Halted => "rollback, abort, a Failing check, or blue lives again",
        Phase::RollingBack => {
            "a Failing check, green dead, on_no_data / on_inconclusive: rollback, rollback, abort, external"
        }
        Phase::RolledBack => "every rule gives blue everything",
        Phase::Completed => "the bake is over",
        Phase::Halted if from == Phase::RollingBack => "blue has no healthy target while green has",
        Phase::Halted => "blue has no healthy target while green has, or the route refuses to be read",
        Phase::Aborted if from == Phase::RollingBack => {
            "every rule gives blue everything, and a person or an external zero asked for it"
        }
        Phase::Aborted => "abort before green had traffic",
    }
}

#[test]
fn the_state_diagram_is_the_table_of_legal_changes() {
    let mut text = String::from(
        "# Phases of a rollout\n\nGenerated from `Phase::may_become` by `tests/it/states.rs`; `UPDATE_GOLDEN=1 cargo \
         test --test it states` writes it anew.\n\n```mermaid\nstateDiagram-v2\n    [*] --> pending\n",
    );
    let mut table = String::from("| from | to | because of |\n|---|---|---|\n");
    for from in Phase::ALL {
        for to in Phase::ALL.into_iter().filter(|to| from.may_become(*to)) {
            let why = causes(from, to);
            assert!(!why.is_empty(), "{from} -> {to} has no cause");
            writeln!(text, "    {from} --> {to}").unwrap();
            writeln!(table, "| `{from}` | `{to}` | {why} |").unwrap();
        }
        if from.is_terminal() {
            writeln!(text, "    {from} --> [*]").unwrap();
        }
    }
    text.push_str("```\n\n");
    text.push_str(&table);
    text.push_str(
        "\nTerminal phases never change within an attempt. `retry` opens the next attempt in `pending`; `rollback` of a \
         completed rollout inside its `rollback_window` opens it in `rolling_back`.\n",
    );
    golden("docs/states.md", &text);
}

#[test]
fn lowering_is_possible_from_every_phase_that_is_not_terminal() {
    for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_terminal()) {
        let direct = phase.may_become(Phase::RollingBack) || phase == Phase::RollingBack;
        assert!(direct, "{phase}");
    }
}

#[test]
fn nothing_leaves_a_terminal_phase() {
    for from in Phase::ALL.into_iter().filter(|phase| phase.is_terminal()) {
        assert!(Phase::ALL.into_iter().all(|to| !from.may_become(to)), "{from}");
    }
}
