//! A world in memory that obeys a rollout as load balancers, metrics and people do: late, wrongly, or not at all.

mod dice;
mod router;

use std::collections::BTreeMap;

use greenshift::domain::advance::{Decision, HealthNeed, advance, wants};
use greenshift::domain::command::{Command, WriteReport};
use greenshift::domain::event::{Event, Recorded};
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::invariants;
use greenshift::domain::observation::{
    AlarmSeen, AlarmState, FleetHealth, HealthSeen, MetricsSeen, Observation, Period, Seen, SideCounts, Trouble,
    TroubleKind,
};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{AlbRoute, Check, Plan, Question, Route, Spec, Step, Tolerance};
use greenshift::domain::preflight::Inspection;
use greenshift::domain::replay::replay;
use greenshift::domain::request::{Answer, Ask, Request};
use greenshift::domain::rollout::Rollout;
use greenshift::domain::time::{Span, after, before};
use greenshift::domain::weight::Weight;

pub(crate) use dice::Dice;
pub(crate) use router::LiveRule;

pub(crate) fn percent(percent: u16) -> Weight {
    Weight::from_percent(percent).unwrap()
}

pub(crate) fn mins(minutes: u32) -> Span {
    Span::from_mins(minutes)
}

pub(crate) fn rule(index: usize) -> Arn {
    Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/1/2/{index}"))
}

/// Steps of 10, 50 and 100 %, held five minutes, judged on errors and refusals alone.
pub(crate) fn plan() -> Plan {
    let step = |weight| Step { hold_min: mins(5), hold_max: Span::from_hours(2), ..Step::new(percent(weight)) };
    let mut plan = Plan::standard();
    plan.steps = vec![step(10), step(50), step(100)];
    plan.bake = mins(20);
    plan.analysis.checks = vec![
        Check { name: "errors".to_owned(), question: Question::Errors(Tolerance::ERRORS) },
        Check { name: "client_errors".to_owned(), question: Question::ClientErrors(Tolerance::CLIENT_ERRORS) },
    ];
    plan
}

/// What users send and how the fleets answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Traffic {
    pub(crate) per_second: f64,
    pub(crate) blue_errors: f64,
    pub(crate) green_errors: f64,
    pub(crate) client_errors: f64,
    /// Errors of the load balancer itself in a second.
    pub(crate) balancer_errors: f64,
}

/// What is out of order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Faults {
    pub(crate) route: Option<TroubleKind>,
    pub(crate) health: Option<TroubleKind>,
    pub(crate) metrics: Option<TroubleKind>,
    pub(crate) alarms: Option<TroubleKind>,
    /// No period comes any more.
    pub(crate) silent: bool,
    /// Answers are marked as not whole, and show half of what was.
    pub(crate) partial: bool,
    /// Share of writes that are lost on the way.
    pub(crate) lost_writes: f64,
    /// The last rule refuses every write.
    pub(crate) one_rule_refuses: bool,
    /// Ticks until a write is seen.
    pub(crate) lag: u32,
    /// First readings of a period show too little, and later ones more.
    pub(crate) corrections: bool,
    /// The next tick dies here.
    pub(crate) crash: Option<Crash>,
}

/// Where a tick dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Crash {
    BeforeRecord,
    BeforeApply,
}

/// One tick, as it went.
#[derive(Debug, Clone)]
pub(crate) struct Ticked {
    pub(crate) before: Rollout,
    pub(crate) seen: Observation,
    pub(crate) at: jiff::Timestamp,
    pub(crate) decision: Decision,
}

/// The world and the rollout in it.
#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) now: jiff::Timestamp,
    pub(crate) tick: Span,
    pub(crate) rollout: Rollout,
    pub(crate) journal: Vec<Recorded>,
    pub(crate) rules: Vec<LiveRule>,
    pub(crate) health: HealthSeen,
    pub(crate) traffic: Traffic,
    pub(crate) faults: Faults,
    pub(crate) alarms: Vec<AlarmSeen>,
    pub(crate) inspection: Inspection,
    pub(crate) frozen: Option<String>,
    pub(crate) answers: Vec<Answer>,
    asked: Vec<Request>,
    requests_made: u64,
    written: Vec<WriteReport>,
    periods: BTreeMap<jiff::Timestamp, Period>,
    dice: Dice,
}

pub(crate) const START: &str = "2026-03-02T10:00:00Z";

impl World {
    /// A world with healthy fleets and two hours of blue's past.
    pub(crate) fn new(plan: Plan, rules: usize) -> Self {
        Self::seeded(plan, rules, 7)
    }

    pub(crate) fn seeded(plan: Plan, rules: usize, seed: u64) -> Self {
        let now: jiff::Timestamp = START.parse().unwrap();
        let spec = Spec {
            name: RolloutName::parse("payments").unwrap(),
            labels: BTreeMap::new(),
            route: Route::Alb(AlbRoute {
                rules: (0..rules).map(rule).collect(),
                blue_target_group: Arn::new("blue"),
                green_target_group: Arn::new("green"),
            }),
            plan,
        };
        let fleet = FleetHealth { healthy: 4, ..FleetHealth::default() };
        let alarms = spec.plan.analysis.checks.iter().filter_map(|check| match &check.question {
            Question::Alarms { names } => Some(names.clone()),
            Question::Errors(_) | Question::ClientErrors(_) | Question::Latency(_) => None,
        });
        let alarms = alarms.flatten().map(|name| AlarmSeen { name, state: AlarmState::Ok }).collect();
        let created = Recorded { seq: 1, at: now, actor: "alice".to_owned(), event: Event::Created(Box::new(spec)) };
        let mut world = Self {
            now,
            tick: Span::from_secs(30),
            rollout: replay(std::slice::from_ref(&created)).unwrap(),
            journal: vec![created],
            rules: (0..rules).map(LiveRule::new).collect(),
            health: HealthSeen { blue: fleet, green: fleet },
            traffic: Traffic {
                per_second: 200.0,
                blue_errors: 0.001,
                green_errors: 0.001,
                client_errors: 0.01,
                balancer_errors: 0.0,
            },
            faults: Faults::default(),
            alarms,
            inspection: Inspection::default(),
            frozen: None,
            answers: Vec::new(),
            asked: Vec::new(),
            requests_made: 0,
            written: Vec::new(),
            periods: BTreeMap::new(),
            dice: Dice::new(seed),
        };
        world.remember(Span::from_hours(2));
        world
    }

    /// Gives blue a past of this length.
    fn remember(&mut self, past: Span) {
        let interval = self.interval();
        let mut start = before(self.now, past);
        while start < self.now {
            self.serve(start, interval, 0.0);
            start = after(start, interval);
        }
    }

    /// Forgets everything that was measured.
    pub(crate) fn without_history(mut self) -> Self {
        self.periods.clear();
        self
    }

    fn interval(&self) -> Span {
        self.rollout.plan().analysis.interval
    }

    /// Green's live share of the requests.
    pub(crate) fn live(&self) -> f64 {
        self.rules.iter().map(|rule| rule.share().map_or(0.0, Weight::ratio)).sum::<f64>() / self.rules.len() as f64
    }

    /// Whether every rule gives green this weight.
    pub(crate) fn all_rules_at(&self, weight: Weight) -> bool {
        self.rules.iter().all(|rule| rule.share() == Some(weight))
    }

    fn serve(&mut self, at: jiff::Timestamp, length: Span, share: f64) {
        let interval_s = self.interval().as_secs();
        let start = jiff::Timestamp::from_second(at.as_second().div_euclid(interval_s) * interval_s).unwrap();
        let (traffic, dice, health) = (self.traffic, &mut self.dice, self.health);
        let mut side = |share: f64, errors: f64, healthy: u32| {
            let requests = dice.count(traffic.per_second * share * length.as_secs_f64());
            let errors = if healthy == 0 { requests } else { dice.count(requests as f64 * errors).min(requests) };
            let client_errors = dice.count(requests as f64 * traffic.client_errors).min(requests - errors);
            (requests, errors, client_errors)
        };
        let blue = side(1.0 - share, traffic.blue_errors, health.blue.healthy);
        let green = side(share, traffic.green_errors, health.green.healthy);
        let balancer = dice.count(traffic.balancer_errors * length.as_secs_f64());
        let period = self.periods.entry(start).or_insert_with(|| Period {
            start,
            blue: SideCounts::default(),
            green: SideCounts::default(),
            load_balancer_errors: 0,
        });
        for (side, (requests, errors, client_errors)) in [(&mut period.blue, blue), (&mut period.green, green)] {
            side.requests += requests;
            side.errors += errors;
            side.client_errors += client_errors;
        }
        period.load_balancer_errors += balancer;
    }

    /// Asks on behalf of a person; the answer comes with the next tick.
    pub(crate) fn ask(&mut self, ask: Ask) {
        self.ask_as("alice", ask, "because");
    }

    pub(crate) fn ask_as(&mut self, actor: &str, ask: Ask, reason: &str) {
        self.requests_made += 1;
        let (actor, reason) = (actor.to_owned(), reason.to_owned());
        self.asked.push(Request { id: self.requests_made, ask, actor, reason, at: self.now });
    }

    /// Asks, ticks, and gives the answer.
    pub(crate) fn asked(&mut self, ask: Ask) -> Result<(), String> {
        self.ask(ask);
        self.tick();
        self.answers.last().unwrap().result.clone().map_err(|refusal| refusal.code)
    }

    /// One turn of the controller, and the time until the next.
    pub(crate) fn tick(&mut self) -> Ticked {
        let (live, tick) = (self.live(), self.tick);
        self.serve(self.now, tick, live);
        self.now = after(self.now, tick);
        let lag = self.faults.lag;
        self.rules.iter_mut().for_each(LiveRule::settle);
        let seen = self.observe();
        let before = self.rollout.clone();
        let decision = advance(&before, &seen, self.now);
        let ticked = Ticked { before, seen, at: self.now, decision };
        let crash = self.faults.crash.take();
        if crash == Some(Crash::BeforeRecord) {
            self.written.clear();
            return ticked;
        }
        self.record(&ticked.decision);
        if crash == Some(Crash::BeforeApply) {
            self.rollout = replay(&self.journal).unwrap();
            self.written.clear();
            return ticked;
        }
        self.written = self.apply(&ticked.decision.commands, lag);
        ticked
    }

    fn record(&mut self, decision: &Decision) {
        for event in &decision.events {
            let seq = self.journal.last().unwrap().seq + 1;
            let (at, actor, event) = (event.at, event.actor.clone(), event.event.clone());
            self.journal.push(Recorded { seq, at, actor, event });
        }
        self.rollout = decision.rollout.clone();
        self.answers.extend(decision.answers.iter().cloned());
        self.asked.clear();
    }

    fn apply(&mut self, commands: &[Command], lag: u32) -> Vec<WriteReport> {
        let mut reports = Vec::new();
        for command in commands {
            match command {
                Command::SetWeight(set) => {
                    let last = self.rules.len() - 1;
                    for (index, rule) in self.rules.iter_mut().enumerate() {
                        let refuses = self.faults.one_rule_refuses && index == last;
                        let lost = self.dice.one_in(self.faults.lost_writes);
                        reports.extend(rule.write(set, refuses, lost, lag));
                    }
                }
                Command::Claim | Command::Release => {}
            }
        }
        reports
    }

    fn observe(&mut self) -> Observation {
        let wants = wants(&self.rollout, self.now);
        let route = self.rules.iter().map(LiveRule::seen).collect();
        let metrics = self.metrics();
        Observation {
            route: look(wants.route, self.faults.route, route),
            health: look(wants.health != HealthNeed::None, self.faults.health, self.health),
            health_is_fresh: wants.health == HealthNeed::Fresh,
            metrics: look(wants.metrics, self.faults.metrics, metrics),
            alarms: look(!wants.alarms.is_empty(), self.faults.alarms, self.alarms.clone()),
            inspection: look(wants.inspection, self.faults.route, self.inspection.clone()),
            written: std::mem::take(&mut self.written),
            requests: self.asked.clone(),
            frozen: self.frozen.clone(),
        }
    }

    /// Periods that ended a minute ago and may still be corrected, or all when none were ever read.
    fn metrics(&self) -> MetricsSeen {
        let interval = self.interval();
        let until = before(self.now, Span::from_secs(60));
        let known = self.rollout.analysis.closed_until.is_some();
        let from = if known { before(self.now, mins(14)) } else { before(self.now, Span::from_hours(3)) };
        let mut seen = MetricsSeen { periods: Vec::new(), until: Some(until), partial: self.faults.partial };
        if self.faults.silent {
            return seen;
        }
        for period in self.periods.range(from..).map(|(_, period)| period) {
            let end = after(period.start, interval);
            if end > until {
                continue;
            }
            let mut period = period.clone();
            let young = end > before(until, mins(3));
            if self.faults.partial || self.faults.corrections && young {
                for side in [&mut period.blue, &mut period.green] {
                    side.requests /= 2;
                    side.errors /= 2;
                    side.client_errors /= 2;
                }
            }
            seen.periods.push(period);
        }
        seen
    }

    /// Ticks until `done`, at most for `time`; every tick keeps the invariants. Returns whether it was reached.
    pub(crate) fn run_until(&mut self, time: Span, done: impl Fn(&Self) -> bool) -> bool {
        let end = after(self.now, time);
        while self.now < end {
            if done(self) {
                return true;
            }
            self.tick_checked();
        }
        done(self)
    }

    pub(crate) fn run(&mut self, time: Span) {
        self.run_until(time, |_| false);
    }

    pub(crate) fn run_to(&mut self, phase: Phase, time: Span) {
        let reached = self.run_until(time, |world| world.rollout.phase == phase);
        assert!(reached, "not {phase} within {time}: {}", self.describe());
    }

    /// Runs until green's weight is confirmed.
    pub(crate) fn run_to_weight(&mut self, weight: Weight, time: Span) {
        let there = |world: &Self| world.rollout.intended == weight && world.rollout.is_confirmed();
        assert!(self.run_until(time, there), "not at {weight} within {time}: {}", self.describe());
    }

    pub(crate) fn describe(&self) -> String {
        let rollout = &self.rollout;
        let verdicts: Vec<_> = rollout.verdicts.iter().map(|(name, v)| (name, v.verdict, &v.detail)).collect();
        format!(
            "{} at {} ({:?}), hold {:?}, {verdicts:?}",
            rollout.phase, rollout.intended, rollout.cause, rollout.hold
        )
    }

    /// A tick after which every invariant is looked at.
    pub(crate) fn tick_checked(&mut self) -> Ticked {
        let ticked = self.tick();
        let mut broken = invariants::of_decision(&ticked.before, &ticked.seen, ticked.at, &ticked.decision);
        broken.extend(invariants::of_settled_world(&ticked.decision, &ticked.seen, ticked.at));
        assert!(broken.is_empty(), "{}\n{broken:#?}\n{:#?}", self.describe(), ticked.decision.events);
        ticked
    }

    pub(crate) fn events(&self) -> impl Iterator<Item = &Event> {
        self.journal.iter().map(|recorded| &recorded.event)
    }
}

fn look<T>(wanted: bool, fault: Option<TroubleKind>, value: T) -> Seen<T> {
    match (wanted, fault) {
        (false, _) => Seen::NotAsked,
        (true, None) => Seen::Read(value),
        (true, Some(kind)) => Seen::Unreadable(Trouble { kind, message: "it does not answer".to_owned() }),
    }
}
