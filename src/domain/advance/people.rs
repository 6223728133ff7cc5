//! What people ask: taken, or refused with the reason and the remedy. Nothing in between.

use super::{Draft, safety};
use crate::domain::event::{Cause, CauseCode, Event, Verdict};
use crate::domain::phase::Phase;
use crate::domain::plan::Plan;
use crate::domain::request::{Answer, Ask, Refusal, Request};
use crate::domain::rollout::Rollout;
use crate::domain::time::since;

/// Answers everything that was asked, oldest first.
pub(super) fn answer(draft: &mut Draft<'_>) {
    let seen = draft.seen;
    for request in &seen.requests {
        let result = take(draft, request);
        draft.answer(Answer { id: request.id, result });
    }
}

fn take(draft: &mut Draft<'_>, request: &Request) -> Result<(), Refusal> {
    allowed(&draft.rollout, request, draft.now)?;
    let (ask, reason) = (request.ask.clone(), request.reason.clone());
    draft.record_as(&request.actor, Event::Requested { ask, reason });
    let words = if request.reason.is_empty() {
        format!("{} asked to {}", request.actor, request.ask.verb())
    } else {
        format!("{} asked to {}: {}", request.actor, request.ask.verb(), request.reason)
    };
    carry_out(draft, request, Cause::new(CauseCode::Person, words));
    Ok(())
}

fn carry_out(draft: &mut Draft<'_>, request: &Request, cause: Cause) {
    match &request.ask {
        Ask::Pause => {
            draft.give_up_raise();
            draft.become_phase(Phase::Paused, cause);
        }
        Ask::Resume => resume(draft, cause),
        Ask::Promote { .. } => {
            if matches!(draft.rollout.phase, Phase::Paused | Phase::AwaitingApproval) {
                draft.become_phase(Phase::Progressing, cause);
            }
        }
        Ask::Approve { .. } => {
            draft.become_phase(Phase::Progressing, cause);
        }
        Ask::Abort => safety::begin_rollback(draft, Phase::Aborted, &cause),
        Ask::Rollback { .. } => {
            if draft.rollout.phase == Phase::Completed {
                let attempt = draft.rollout.attempt.saturating_add(1);
                draft.record(Event::AttemptStarted { attempt, phase: Phase::RollingBack });
                safety::go_back(draft, cause);
            } else {
                safety::begin_rollback(draft, Phase::RolledBack, &cause);
            }
        }
        Ask::Retry => {
            let attempt = draft.rollout.attempt.saturating_add(1);
            draft.record(Event::AttemptStarted { attempt, phase: Phase::Pending });
        }
        Ask::StepBack => {
            safety::step_back(draft, &cause);
            draft.become_phase(Phase::Paused, cause);
        }
        Ask::Waive { code } => {
            let code = code.clone();
            draft.record_as(&request.actor, Event::FindingWaived { code });
        }
        Ask::Change { plan } => draft.record_as(&request.actor, Event::PlanChanged(plan.clone())),
    }
}

fn resume(draft: &mut Draft<'_>, cause: Cause) {
    let to = draft.rollout.left.unwrap_or(Phase::Progressing);
    if !draft.become_phase(to, cause.clone()) {
        draft.become_phase(Phase::Progressing, cause);
    }
}

/// Whether a request can be taken in the present state; the refusal says what stands in the way and what to do.
fn allowed(rollout: &Rollout, request: &Request, now: jiff::Timestamp) -> Result<(), Refusal> {
    let phase = rollout.phase;
    let wrong_phase = |instead: &str| {
        let verb = request.ask.verb();
        Err(Refusal::new("wrong_phase", format!("cannot {verb} while the rollout is {phase}: {instead}")))
    };
    match &request.ask {
        Ask::Pause => match phase {
            Phase::Pending | Phase::Preflight | Phase::Progressing | Phase::AwaitingApproval | Phase::Baking => Ok(()),
            Phase::Paused => wrong_phase("it is paused already"),
            Phase::Halted => wrong_phase("it has stopped by itself; resume, abort or retry it"),
            Phase::RollingBack => wrong_phase("a rollback is never paused"),
            Phase::RolledBack | Phase::Completed | Phase::Aborted => wrong_phase("it has ended"),
        },
        Ask::Resume => match phase {
            Phase::Paused | Phase::Halted => Ok(()),
            Phase::Pending
            | Phase::Preflight
            | Phase::Progressing
            | Phase::AwaitingApproval
            | Phase::Baking
            | Phase::RollingBack => wrong_phase("only a paused or halted rollout can be resumed"),
            Phase::RolledBack | Phase::Completed | Phase::Aborted => wrong_phase("it has ended; `retry` begins anew"),
        },
        Ask::Promote { expected_step, .. } => may_promote(rollout, *expected_step, wrong_phase),
        Ask::Approve { expected_step } => {
            if phase != Phase::AwaitingApproval {
                return wrong_phase("nothing waits for approval");
            }
            same_step(rollout, *expected_step)
        }
        Ask::Abort => {
            if phase.is_terminal() {
                wrong_phase("it has ended")
            } else {
                Ok(())
            }
        }
        Ask::Rollback { .. } => may_roll_back(rollout, now, wrong_phase),
        Ask::Retry => match phase {
            Phase::RolledBack | Phase::Aborted | Phase::Halted => Ok(()),
            Phase::Completed => wrong_phase("it has succeeded; there is nothing to try again"),
            Phase::Pending
            | Phase::Preflight
            | Phase::Progressing
            | Phase::Paused
            | Phase::AwaitingApproval
            | Phase::Baking
            | Phase::RollingBack => wrong_phase("it is still running; `abort` or `rollback` it first"),
        },
        Ask::StepBack => match phase {
            Phase::Progressing | Phase::AwaitingApproval | Phase::Paused | Phase::Baking => {
                if rollout.green_has_traffic() { Ok(()) } else { wrong_phase("green has no traffic to give back") }
            }
            Phase::Pending
            | Phase::Preflight
            | Phase::Halted
            | Phase::RollingBack
            | Phase::RolledBack
            | Phase::Completed
            | Phase::Aborted => wrong_phase("there is no step to go back from; see `abort` and `rollback`"),
        },
        Ask::Waive { code } => may_waive(rollout, code, wrong_phase),
        Ask::Change { plan } => may_change(rollout, plan, wrong_phase),
    }
}

type Outcome = Result<(), Refusal>;

fn may_promote(rollout: &Rollout, expected: Option<u32>, wrong: impl Fn(&str) -> Outcome) -> Outcome {
    match rollout.phase {
        Phase::Progressing | Phase::AwaitingApproval | Phase::Baking => {}
        Phase::Paused => {
            if !matches!(rollout.left, Some(Phase::Progressing | Phase::AwaitingApproval)) {
                return wrong("resume it first");
            }
        }
        Phase::Pending | Phase::Preflight => return wrong("preflight comes first; see `waive` for its findings"),
        Phase::Halted => return wrong("it has stopped by itself; resume, abort or retry it"),
        Phase::RollingBack => return wrong("traffic goes back to blue"),
        Phase::RolledBack | Phase::Completed | Phase::Aborted => return wrong("it has ended"),
    }
    same_step(rollout, expected)?;
    if rollout.verdict() == Verdict::Failing {
        let detail = "a check is Failing, and that cannot be skipped; see `describe` for its numbers";
        return Err(Refusal::new("failing", detail));
    }
    if rollout.drift.is_some() {
        let detail = "somebody else changed the route, and that cannot be skipped; see `describe` for what was found";
        return Err(Refusal::new("drift", detail));
    }
    Ok(())
}

/// Steps are counted from 1 for people; before the first step it is 0.
fn same_step(rollout: &Rollout, expected: Option<u32>) -> Outcome {
    let shown = shown_step(rollout);
    match expected {
        Some(expected) if expected == shown => Ok(()),
        Some(expected) => Err(Refusal::new(
            "wrong_step",
            format!("the rollout is at step {shown}, not at step {expected}: look again before you decide"),
        )),
        None => Err(Refusal::new(
            "expected_step_missing",
            format!(
                "say which step you mean with `expected_step` (it is at step {shown}), so that you cannot skip one that you have not seen"
            ),
        )),
    }
}

/// The step as people count it: 1 for the first, 0 before it.
fn shown_step(rollout: &Rollout) -> u32 {
    rollout.step.map_or(0, |step| u32::try_from(step.saturating_add(1)).unwrap_or(u32::MAX))
}

fn may_roll_back(rollout: &Rollout, now: jiff::Timestamp, wrong: impl Fn(&str) -> Outcome) -> Outcome {
    match rollout.phase {
        Phase::Progressing
        | Phase::AwaitingApproval
        | Phase::Paused
        | Phase::Baking
        | Phase::Halted
        | Phase::RollingBack => {
            if rollout.green_has_traffic() {
                Ok(())
            } else {
                wrong("green has no traffic; `abort` ends it")
            }
        }
        Phase::Completed => {
            if since(now, rollout.phase_since) <= rollout.plan().rollback_window {
                Ok(())
            } else {
                wrong("its rollback window is over, blue may be gone; begin a rollout the other way")
            }
        }
        Phase::Pending | Phase::Preflight => wrong("nothing was moved yet; `abort` ends it"),
        Phase::RolledBack | Phase::Aborted => wrong("blue has all traffic already"),
    }
}

fn may_waive(rollout: &Rollout, code: &str, wrong: impl Fn(&str) -> Outcome) -> Outcome {
    let paused_before = rollout.phase == Phase::Paused && rollout.left == Some(Phase::Preflight);
    if rollout.phase != Phase::Preflight && !paused_before {
        return wrong("findings are waived in preflight");
    }
    if rollout.blocking_findings().any(|finding| finding.code == code) {
        return Ok(());
    }
    let open: Vec<&str> = rollout.blocking_findings().map(|finding| finding.code.as_str()).collect();
    let list = if open.is_empty() { "none stands in the way".to_owned() } else { format!("open: {}", open.join(", ")) };
    Err(Refusal::new("unknown_finding", format!("no blocking finding is named `{code}` ({list})")))
}

fn may_change(rollout: &Rollout, plan: &Plan, wrong: impl Fn(&str) -> Outcome) -> Outcome {
    if rollout.phase.is_terminal() || rollout.phase == Phase::RollingBack {
        return wrong("it has ended or is on its way back; apply a rollout under a new name, or `retry`");
    }
    let reached = rollout.step.map_or(0, |step| step.saturating_add(1));
    let old = rollout.plan().steps.iter().take(reached);
    let new = plan.steps.iter().take(reached);
    if plan.steps.len() < reached || !old.eq(new) {
        let detail = format!("steps 1 to {reached} were reached already and cannot be changed; change the later ones");
        return Err(Refusal::new("step_reached", detail));
    }
    if rollout.phase == Phase::Baking && plan.steps.len() != rollout.plan().steps.len() {
        return Err(Refusal::new("step_reached", "green has taken over: no step can be added any more"));
    }
    if plan.analysis.interval != rollout.plan().analysis.interval && !rollout.analysis.is_empty() {
        let detail = "`analysis.interval` cannot change once metrics were read: the evidence is kept per period";
        return Err(Refusal::new("interval_fixed", detail));
    }
    Ok(())
}
