//! I1 to I10 for any history: random worlds, random people, crashes and clocks that step back.

use greenshift::domain::event::{Event, Recorded};
use greenshift::domain::invariants;
use greenshift::domain::observation::{AlarmState, TroubleKind};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{Check, Fallback, OnDrift, Plan, Question};
use greenshift::domain::replay::replay;
use greenshift::domain::request::Ask;
use greenshift::domain::rollout::Rollout;
use greenshift::domain::time::{Span, before};
use greenshift::domain::weight::Weight;
use proptest::prelude::*;

use crate::world::{Crash, Faults, Ticked, World, mins, percent, plan};

/// One thing that happens to the world.
#[derive(Debug, Clone)]
enum Happening {
    Ticks(u16),
    Traffic(f64),
    GreenErrors(f64),
    BlueErrors(f64),
    BalancerErrors(f64),
    RouteFault(Option<TroubleKind>),
    HealthFault(Option<TroubleKind>),
    MetricsFault(Option<TroubleKind>),
    Silent(bool),
    Partial(bool),
    Corrections(bool),
    LostWrites(f64),
    OneRuleRefuses(bool),
    Lag(u32),
    Foreign(usize, u16),
    Structure(usize),
    Blue(u32),
    Green(u32),
    Freeze(bool),
    Alarm(AlarmState),
    ClockBack(u32),
    Crash(bool),
    Ask(Ask),
}

fn trouble() -> impl Strategy<Value = Option<TroubleKind>> {
    prop_oneof![2 => Just(None), 1 => Just(Some(TroubleKind::Transient)), 1 => Just(Some(TroubleKind::Refused))]
}

fn asks() -> impl Strategy<Value = Ask> {
    let step = || prop_oneof![3 => (0_u32..5).prop_map(Some), 1 => Just(None)];
    prop_oneof![
        1 => Just(Ask::Pause),
        3 => Just(Ask::Resume),
        2 => (step(), any::<bool>()).prop_map(|(expected_step, full)| Ask::Promote { expected_step, full }),
        2 => step().prop_map(|expected_step| Ask::Approve { expected_step }),
        1 => Just(Ask::Abort),
        1 => any::<bool>().prop_map(|force| Ask::Rollback { force }),
        3 => Just(Ask::Retry),
        1 => Just(Ask::StepBack),
        1 => Just(Ask::Waive { code: "green_has_traffic_already".to_owned() }),
        1 => plans().prop_map(|plan| Ask::Change { plan: Box::new(plan) }),
    ]
}

fn happenings() -> impl Strategy<Value = Happening> {
    let errors = || prop_oneof![2 => Just(0.001), 1 => Just(0.0), 1 => Just(0.05), 1 => Just(0.6)];
    prop_oneof![
        12 => (1_u16..40).prop_map(Happening::Ticks),
        1 => prop_oneof![Just(0.0), Just(1.0), Just(40.0), Just(400.0)].prop_map(Happening::Traffic),
        1 => errors().prop_map(Happening::GreenErrors),
        1 => errors().prop_map(Happening::BlueErrors),
        1 => prop_oneof![Just(0.0), Just(5.0)].prop_map(Happening::BalancerErrors),
        1 => trouble().prop_map(Happening::RouteFault),
        1 => trouble().prop_map(Happening::HealthFault),
        1 => trouble().prop_map(Happening::MetricsFault),
        1 => any::<bool>().prop_map(Happening::Silent),
        1 => any::<bool>().prop_map(Happening::Partial),
        1 => any::<bool>().prop_map(Happening::Corrections),
        1 => prop_oneof![Just(0.0), Just(0.5), Just(1.0)].prop_map(Happening::LostWrites),
        1 => any::<bool>().prop_map(Happening::OneRuleRefuses),
        1 => (0_u32..3).prop_map(Happening::Lag),
        1 => (0_usize..3, prop_oneof![Just(0_u16), Just(12), Just(10), Just(30), Just(100)])
            .prop_map(|(rule, weight)| Happening::Foreign(rule, weight)),
        1 => (0_usize..3).prop_map(Happening::Structure),
        1 => prop_oneof![Just(0_u32), Just(2), Just(4), Just(4)].prop_map(Happening::Blue),
        1 => prop_oneof![Just(0_u32), Just(2), Just(4), Just(4)].prop_map(Happening::Green),
        1 => any::<bool>().prop_map(Happening::Freeze),
        1 => prop_oneof![
            2 => Just(AlarmState::Ok),
            1 => Just(AlarmState::Alarm),
            1 => Just(AlarmState::InsufficientData),
            1 => Just(AlarmState::Missing)
        ]
        .prop_map(Happening::Alarm),
        1 => (1_u32..300).prop_map(Happening::ClockBack),
        2 => any::<bool>().prop_map(Happening::Crash),
        5 => asks().prop_map(Happening::Ask),
    ]
}

fn plans() -> impl Strategy<Value = Plan> {
    let fallback = || prop_oneof![Just(Fallback::Rollback), Just(Fallback::Pause)];
    let drift = prop_oneof![Just(OnDrift::Hold), Just(OnDrift::Reassert), Just(OnDrift::Adopt)];
    let choices = (any::<bool>(), any::<bool>(), any::<bool>(), prop_oneof![Just(100_u16), Just(99), Just(20)]);
    (fallback(), fallback(), fallback(), drift, choices).prop_map(
        |(on_failure, on_inconclusive, on_no_data, on_drift, (approval, alarms, short, bake_at))| {
            let mut plan = plan();
            (plan.on_failure, plan.on_inconclusive, plan.on_no_data) = (on_failure, on_inconclusive, on_no_data);
            plan.on_drift = on_drift;
            plan.steps[0].approval = approval;
            plan.bake_at = percent(bake_at);
            if alarms {
                let question = Question::Alarms { names: vec!["5xx".to_owned()] };
                plan.analysis.checks.push(Check { name: "alarms".to_owned(), question });
            }
            if short {
                plan.deadline = mins(30);
                plan.steps.iter_mut().for_each(|step| step.hold_max = mins(10));
            }
            plan
        },
    )
}

fn happen(world: &mut World, happening: &Happening) {
    let rules = world.rules.len();
    match happening {
        Happening::Ticks(_) => {}
        Happening::Traffic(rate) => world.traffic.per_second = *rate,
        Happening::GreenErrors(share) => world.traffic.green_errors = *share,
        Happening::BlueErrors(share) => world.traffic.blue_errors = *share,
        Happening::BalancerErrors(rate) => world.traffic.balancer_errors = *rate,
        Happening::RouteFault(fault) => world.faults.route = *fault,
        Happening::HealthFault(fault) => world.faults.health = *fault,
        Happening::MetricsFault(fault) => world.faults.metrics = *fault,
        Happening::Silent(on) => world.faults.silent = *on,
        Happening::Partial(on) => world.faults.partial = *on,
        Happening::Corrections(on) => world.faults.corrections = *on,
        Happening::LostWrites(share) => world.faults.lost_writes = *share,
        Happening::OneRuleRefuses(on) => world.faults.one_rule_refuses = *on,
        Happening::Lag(ticks) => world.faults.lag = *ticks,
        Happening::Foreign(rule, weight) => world.rules[rule % rules].set(percent(*weight)),
        Happening::Structure(rule) => world.rules[rule % rules].structure.push('x'),
        Happening::Blue(healthy) => world.health.blue.healthy = *healthy,
        Happening::Green(healthy) => world.health.green.healthy = *healthy,
        Happening::Freeze(on) => world.frozen = on.then(|| "release freeze".to_owned()),
        Happening::Alarm(state) => world.alarms.iter_mut().for_each(|alarm| alarm.state = *state),
        Happening::ClockBack(seconds) => world.now = before(world.now, Span::from_secs(*seconds)),
        Happening::Crash(recorded) => {
            world.faults.crash = Some(if *recorded { Crash::BeforeApply } else { Crash::BeforeRecord });
        }
        Happening::Ask(ask) => world.ask(ask.clone()),
    }
}

/// Lives through a history and shows every tick.
fn live(plan: Plan, rules: usize, seed: u64, story: &[Happening], mut look: impl FnMut(&World, &Ticked)) -> World {
    let mut world = World::seeded(plan, rules, seed);
    for happening in story {
        happen(&mut world, happening);
        let ticks = if let Happening::Ticks(ticks) = happening { *ticks } else { 1 };
        for _ in 0..ticks {
            let ticked = world.tick();
            look(&world, &ticked);
        }
    }
    world
}

fn stories() -> impl Strategy<Value = Vec<Happening>> {
    proptest::collection::vec(happenings(), 1..40)
}

fn none_of(broken: &[String], codes: &[&str]) -> Vec<String> {
    broken.iter().filter(|text| codes.iter().any(|code| text.starts_with(code))).cloned().collect()
}

/// Fails when a decision of the history breaks one of these invariants.
fn holds(plan: Plan, rules: usize, seed: u64, story: &[Happening], codes: &[&str]) {
    live(plan, rules, seed, story, |_, tick| {
        let broken = invariants::of_decision(&tick.before, &tick.seen, tick.at, &tick.decision);
        let broken = none_of(&broken, codes);
        assert!(broken.is_empty(), "{broken:#?} in {} by {:#?}", tick.before.phase, tick.decision.events);
    });
}

/// Whether the present attempt ends by taking weights back.
fn rolled_back(world: &World) -> bool {
    let back = |event: &&Event| matches!(event, Event::PhaseChanged { to: Phase::RollingBack, .. });
    let attempt = world.journal.iter().rposition(|r| matches!(r.event, Event::AttemptStarted { .. })).unwrap_or(0);
    world.events().skip(attempt).any(|event| back(&event))
}

fn cases(few: u32) -> ProptestConfig {
    let asked = ProptestConfig::default();
    let cases = if asked.cases == 256 { few } else { asked.cases };
    ProptestConfig { cases, max_shrink_iters: 4000, failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(cases(100))]

    #[test]
    fn i1_the_two_shares_always_sum_to_the_whole(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan, rules, seed, &story, &["I1"]);
    }

    #[test]
    fn i2_weight_rises_only_by_a_plan_step_or_a_request(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan, rules, seed, &story, &["I2"]);
    }

    #[test]
    fn i3_missing_data_never_raises_weight(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan, rules, seed, &story, &["I3"]);
    }

    #[test]
    fn i4_a_terminal_phase_of_an_attempt_never_changes(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan.clone(), rules, seed, &story, &["I4"]);
        let world = live(plan, rules, seed, &story, |_, _| {});
        prop_assert_eq!(none_of(&invariants::of_history(&world.journal, &world.rollout), &["I4"]), Vec::<String>::new());
    }

    #[test]
    fn i5_an_abort_brings_everything_back_in_a_few_ticks(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        let mut world = live(plan, rules, seed, &story, |_, _| {});
        if world.rollout.phase.is_terminal() {
            return Ok(());
        }
        // The route answers again, and blue lives.
        world.faults = Faults::default();
        world.health.blue.healthy = 4;
        world.ask(Ask::Abort);
        for _ in 0..4 {
            world.tick();
        }
        prop_assert!(world.answers.last().unwrap().result.is_ok());
        prop_assert_eq!(world.rollout.phase, Phase::Aborted);
        // Before a route is taken over its weights are not ours to change.
        let not_ours = world.rollout.baseline.is_none() && !rolled_back(&world);
        prop_assert!(world.all_rules_at(Weight::ZERO) || not_ours, "{:?}", world.rules);
    }

    #[test]
    fn i5_an_abort_or_a_failing_check_is_never_sat_out(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan, rules, seed, &story, &["I5", "a check is Failing"]);
    }

    #[test]
    fn i8_advance_on_a_settled_world_is_a_fixed_point(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        live(plan, rules, seed, &story, |_, tick| {
            let broken = invariants::of_settled_world(&tick.decision, &tick.seen, tick.at);
            assert!(broken.is_empty(), "{broken:#?}");
        });
    }

    #[test]
    fn i9_the_replayed_journal_is_the_live_state_at_every_prefix(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        live(plan, rules, seed, &story, |world, _| {
            let broken = invariants::of_history(&world.journal, &world.rollout);
            assert!(broken.is_empty(), "{broken:#?}");
        });
    }

    #[test]
    fn i10_writes_name_only_the_rules_of_the_route(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        holds(plan, rules, seed, &story, &["I10", "an event"]);
    }

    #[test]
    fn events_and_state_survive_the_codec_to_the_last_bit(plan in plans(), rules in 1_usize..4, seed: u64, story in stories()) {
        let world = live(plan, rules, seed, &story, |_, _| {});
        let text = serde_json::to_string(&world.journal).unwrap();
        let journal: Vec<Recorded> = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&journal, &world.journal);
        prop_assert_eq!(&replay(&journal).unwrap(), &world.rollout);
        let text = serde_json::to_string(&world.rollout).unwrap();
        let rollout: Rollout = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(rollout, world.rollout);
    }
}

#[test]
fn healthy_worlds_reach_the_end() {
    let mut world = World::new(plan(), 2);
    world.run_to(Phase::Completed, Span::from_hours(6));
    assert!(world.all_rules_at(Weight::FULL));
}
