//! The rules of the decision and the failures that others had, one example each.

use greenshift::domain::command::{Command, Urgency};
use greenshift::domain::event::{Event, Verdict};
use greenshift::domain::hold::HoldReason;
use greenshift::domain::observation::{AlarmState, LatencySeen, MetricsSeen, TroubleKind};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{Check, Question};
use greenshift::domain::request::Ask;
use greenshift::domain::time::{Span, after};
use greenshift::domain::weight::Weight;

use crate::world::{Crash, World, mins, percent, plan};

fn at_ten() -> World {
    let mut world = World::new(plan(), 2);
    world.run_to_weight(percent(10), mins(10));
    world
}

fn at_half() -> World {
    let mut world = World::new(plan(), 2);
    world.run_to_weight(percent(50), mins(60));
    world
}

fn held(world: &World) -> Option<HoldReason> {
    world.rollout.hold.as_ref().map(|hold| hold.reason)
}

#[test]
fn a_pre_existing_alarm_holds_in_preflight() {
    let mut plan = plan();
    let question = Question::Alarms { names: vec!["5xx".to_owned()] };
    plan.analysis.checks.push(Check { name: "alarms".to_owned(), question });
    let mut world = World::new(plan, 1);
    world.alarms[0].state = AlarmState::Alarm;
    world.run(mins(10));
    assert_eq!((world.rollout.phase, held(&world)), (Phase::Preflight, Some(HoldReason::Preflight)));
    world.alarms[0].state = AlarmState::Ok;
    world.run_to_weight(percent(10), mins(5));
}

#[test]
fn no_metric_at_all_means_no_first_raise() {
    let mut world = World::new(plan(), 1).without_history();
    world.faults.silent = true;
    world.run(mins(4));
    assert_eq!((world.rollout.intended, held(&world)), (Weight::ZERO, Some(HoldReason::NoData)));
}

#[test]
fn response_times_that_are_no_numbers_reach_no_journal() {
    let world = at_ten();
    let (_, known) = world.rollout.analysis.open.last_key_value().unwrap();
    let mut period = known.period.clone();
    period.start = after(period.start, Span::from_secs(60));
    period.green.latency = Some(LatencySeen { p50: f64::NAN, p90: f64::INFINITY, p99: 1.0 });
    let seen = MetricsSeen { periods: vec![period], until: None, partial: false };
    let late = after(world.now, mins(5));
    let (periods, _) = world.rollout.analysis.news(&seen, Span::from_secs(60), late);
    assert_eq!(periods.len(), 1);
    assert_eq!(periods[0].green.latency, None);
}

#[test]
fn a_partial_last_bucket_is_not_taken() {
    let world = at_ten();
    let (_, known) = world.rollout.analysis.open.last_key_value().unwrap();
    let mut period = known.period.clone();
    period.start = world.now;
    let seen = MetricsSeen { periods: vec![period], until: None, partial: false };
    assert_eq!(world.rollout.analysis.news(&seen, Span::from_secs(60), world.now), (Vec::new(), Vec::new()));
}

#[test]
fn a_partial_answer_makes_nothing_look_better() {
    let world = at_ten();
    let (_, known) = world.rollout.analysis.open.last_key_value().unwrap();
    let mut better = known.period.clone();
    better.green.requests /= 2;
    let mut worse = better.clone();
    worse.green.errors = known.period.green.errors + 5;
    let news = |period| {
        let seen = MetricsSeen { periods: vec![period], until: None, partial: true };
        world.rollout.analysis.news(&seen, Span::from_secs(60), world.now).0.len()
    };
    assert_eq!((news(better), news(worse)), (0, 1));
}

#[test]
fn a_stale_series_from_the_previous_step_proves_nothing_for_the_next() {
    let mut world = World::new(plan(), 1);
    assert!(world.run_until(mins(60), |world| world.rollout.verdict() == Verdict::Passing));
    world.run_to_weight(percent(50), mins(60));
    assert_ne!(world.rollout.verdict(), Verdict::Passing);
}

#[test]
fn a_restart_between_record_and_write_heals_at_the_next_tick() {
    let mut world = World::new(plan(), 2);
    assert!(world.run_until(mins(10), |world| world.rollout.phase == Phase::Preflight));
    world.faults.crash = Some(Crash::BeforeApply);
    world.tick_checked();
    assert!(world.all_rules_at(Weight::ZERO));
    assert_eq!(world.rollout.intended, percent(10));
    world.run_to_weight(percent(10), mins(2));
}

#[test]
fn metrics_that_go_bad_while_a_gate_is_held_roll_back() {
    let mut world = at_ten();
    world.frozen = Some("freeze".to_owned());
    assert!(world.run_until(mins(60), |world| held(world) == Some(HoldReason::Frozen)));
    world.traffic.green_errors = 0.1;
    world.run_to(Phase::RolledBack, mins(20));
}

#[test]
fn an_abort_after_a_promote_is_obeyed() {
    let mut world = at_ten();
    assert_eq!(world.asked(Ask::Promote { expected_step: Some(1), full: true }), Ok(()));
    assert_eq!(world.asked(Ask::Abort), Ok(()));
    world.run_to(Phase::Aborted, mins(3));
    world.run(mins(30));
    assert!(world.all_rules_at(Weight::ZERO));
}

#[test]
fn an_aborted_rollout_does_not_retry_by_itself() {
    let mut world = at_ten();
    world.ask(Ask::Abort);
    world.run(Span::from_hours(3));
    assert_eq!((world.rollout.phase, world.rollout.attempt), (Phase::Aborted, 1));
}

#[test]
fn an_abort_after_an_unfinished_first_raise_waits_until_every_rule_is_back() {
    let mut world = World::new(plan(), 2);
    world.faults.one_rule_refuses = true;
    world.run_to(Phase::Progressing, mins(5));
    world.tick_checked();
    assert_eq!(world.asked(Ask::Pause), Ok(()));
    assert_eq!(world.asked(Ask::Abort), Ok(()));
    world.run_to(Phase::Aborted, mins(3));
    assert!(world.all_rules_at(Weight::ZERO));
}

#[test]
fn a_late_raise_that_arrives_during_the_rollback_is_undone() {
    let mut world = World::new(plan(), 1);
    world.tick = Span::from_secs(5);
    world.faults.lag = 2;
    world.run_to(Phase::Progressing, mins(5));
    world.faults.lag = 0;
    world.ask(Ask::Abort);
    world.run_to(Phase::Aborted, mins(3));
    world.run(mins(5));
    assert!(world.all_rules_at(Weight::ZERO));
}

#[test]
fn a_second_writer_is_found_and_not_fought_for_ever() {
    let mut world = at_half();
    for _ in 0..10 {
        world.rules.iter_mut().for_each(|rule| rule.set(percent(10)));
        world.tick_checked();
    }
    assert!(world.rollout.drift.is_some());
    let notices = world.events().filter(|event| matches!(event, Event::NoticeRaised { .. })).count();
    assert!(notices <= 2, "{notices} notices");
}

#[test]
fn a_foreign_zero_during_a_raise_is_an_abort_and_is_not_written_over() {
    let mut world = at_ten();
    world.faults.lost_writes = 1.0;
    assert!(world.run_until(mins(60), |world| world.rollout.intended == percent(50)));
    world.rules[0].set(Weight::ZERO);
    world.faults.lost_writes = 0.0;
    world.run_to(Phase::Aborted, mins(3));
    assert!(world.all_rules_at(Weight::ZERO));
}

#[test]
fn an_approval_answers_the_pending_step_only() {
    let mut plan = plan();
    plan.steps[0].approval = true;
    plan.steps[1].approval = true;
    let mut world = World::new(plan, 1);
    world.run_to(Phase::AwaitingApproval, mins(60));
    assert_eq!(world.asked(Ask::Approve { expected_step: Some(2) }), Err("wrong_step".to_owned()));
    assert_eq!(world.asked(Ask::Approve { expected_step: None }), Err("expected_step_missing".to_owned()));
    assert_eq!(world.asked(Ask::Approve { expected_step: Some(1) }), Ok(()));
    world.run_to_weight(percent(50), mins(5));
    world.run_to(Phase::AwaitingApproval, mins(90));
}

#[test]
fn a_promote_skips_neither_drift_nor_health() {
    let mut world = at_ten();
    (world.health.green.healthy, world.health.green.unhealthy) = (1, 3);
    assert_eq!(world.asked(Ask::Promote { expected_step: Some(1), full: false }), Ok(()));
    world.run(mins(5));
    assert_eq!((world.rollout.intended, held(&world)), (percent(10), Some(HoldReason::GreenUnhealthy)));
    world.rules[0].set(percent(30));
    world.tick_checked();
    let again = Ask::Promote { expected_step: Some(1), full: false };
    assert_eq!(world.asked(again), Err("drift".to_owned()));
}

#[test]
fn a_failing_check_rolls_back_a_halted_rollout_whose_targets_cannot_be_counted() {
    let mut world = at_half();
    world.faults.route = Some(TroubleKind::Refused);
    world.faults.health = Some(TroubleKind::Refused);
    world.run_to(Phase::Halted, mins(5));
    world.traffic.green_errors = 0.2;
    world.run_to(Phase::RollingBack, mins(20));
    let decision = world.tick_checked().decision;
    let back = |command: &Command| matches!(command, Command::SetWeight(set) if set.urgency == Urgency::Back);
    assert!(decision.commands.iter().any(back));
}

#[test]
fn a_retry_of_a_halted_attempt_can_be_aborted_at_once() {
    let mut world = at_half();
    world.faults.route = Some(TroubleKind::Refused);
    world.run_to(Phase::Halted, mins(5));
    world.ask(Ask::Retry);
    world.ask(Ask::Abort);
    world.tick_checked();
    assert_eq!(world.rollout.phase, Phase::RollingBack);
    world.faults.route = None;
    world.run_to(Phase::Aborted, mins(3));
    assert!(world.all_rules_at(Weight::ZERO));
}

#[test]
fn a_check_that_the_plan_no_longer_names_says_nothing_any_more() {
    let mut world = at_ten();
    let mut changed = plan();
    changed.analysis.checks.retain(|check| check.name == "errors");
    assert_eq!(world.asked(Ask::Change { plan: Box::new(changed) }), Ok(()));
    assert!(!world.rollout.verdicts.contains_key("client_errors"));
    world.run_to_weight(percent(50), mins(60));
}

#[test]
fn the_bake_does_not_end_while_blue_could_not_take_everything_back() {
    let mut world = World::new(plan(), 1);
    world.run_to(Phase::Baking, Span::from_hours(3));
    world.health.blue.healthy = 2;
    world.run(mins(60));
    assert_eq!((world.rollout.phase, held(&world)), (Phase::Baking, Some(HoldReason::BlueUnhealthy)));
    world.health.blue.healthy = 4;
    world.run_to(Phase::Completed, mins(5));
}

#[test]
fn targets_draining_in_the_propagation_gap_count_neither_as_healthy_nor_as_registered() {
    let mut world = at_ten();
    (world.health.green.healthy, world.health.green.draining) = (1, 3);
    world.run_to_weight(percent(50), mins(60));
    (world.health.green.healthy, world.health.green.draining) = (4, 0);
    (world.health.blue.healthy, world.health.blue.draining) = (2, 2);
    world.run(mins(60));
    assert_eq!((world.rollout.intended, held(&world)), (percent(50), Some(HoldReason::BlueUnhealthy)));
}
