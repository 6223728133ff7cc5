//! Reads and plays a script.

use greenshift::domain::observation::{AlarmState, TroubleKind};
use greenshift::domain::plan::{Check, Fallback, OnDrift, Plan, Question, Step};
use greenshift::domain::replay::replay;
use greenshift::domain::request::Ask;
use greenshift::domain::schedule::{Window, days};
use greenshift::domain::time::{Span, after};
use greenshift::domain::weight::Weight;

use super::timeline;
use crate::world::{Crash, START, World, plan};

/// What a script says, in order.
struct Story {
    world: World,
    answers: usize,
    start: jiff::Timestamp,
    shown: usize,
    out: String,
}

/// Plays a script and gives the time line. Panics with the line that is wrong, or whose expectation is not met.
pub(super) fn play(name: &str, text: &str) -> String {
    let lines: Vec<(usize, &str)> = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim())).collect();
    let lines = || lines.iter().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let (mut the_plan, mut rules, mut past) = (plan(), 1, true);
    for (_, line) in lines() {
        if let Some(words) = line.strip_prefix("plan:") {
            words.split(',').for_each(|part| set_plan(&mut the_plan, part.trim()));
        } else if let Some(count) = line.strip_prefix("rules:") {
            rules = count.trim().parse().unwrap();
        } else if *line == "no past" {
            past = false;
        }
    }
    let world = if past { World::new(the_plan, rules) } else { World::new(the_plan, rules).without_history() };
    let mut story = Story { world, answers: 0, start: START.parse().unwrap(), shown: 0, out: String::new() };
    for (number, line) in lines() {
        let done = story.obey(line);
        assert!(done.is_ok(), "{name}.txt:{number}: {}: {}", done.unwrap_err(), story.world.describe());
    }
    story.show();
    assert_eq!(replay(&story.world.journal).unwrap(), story.world.rollout, "{name}: the journal is not the state");
    let (rollout, live) = (&story.world.rollout, story.world.live() * 100.0);
    story.out + &format!("\nends {} with {live}% live on green, attempt {}\n", rollout.phase, rollout.attempt)
}

fn set_plan(plan: &mut Plan, part: &str) {
    let words: Vec<&str> = part.split_whitespace().collect();
    let span = |text: &str| Span::parse(text).unwrap();
    let fallback = |text: &str| if text == "rollback" { Fallback::Rollback } else { Fallback::Pause };
    match words.as_slice() {
        ["steps", weights @ ..] => {
            let step = plan.steps[0].clone();
            let weight = |text: &&str| Step { weight: Weight::parse(text).unwrap(), ..step.clone() };
            plan.steps = weights.iter().map(weight).collect();
        }
        ["hold", min] => plan.steps.iter_mut().for_each(|step| step.hold_min = span(min)),
        ["longest", "hold", max] => plan.steps.iter_mut().for_each(|step| step.hold_max = span(max)),
        ["approval", "after", "step", step] => plan.steps[step.parse::<usize>().unwrap() - 1].approval = true,
        ["bake", length] => plan.bake = span(length),
        ["bake_at", weight] => plan.bake_at = Weight::parse(weight).unwrap(),
        ["no", "client_errors"] => plan.analysis.checks.retain(|check| check.name != "client_errors"),
        ["deadline", length] => plan.deadline = span(length),
        ["on_failure", what] => plan.on_failure = fallback(what),
        ["on_inconclusive", what] => plan.on_inconclusive = fallback(what),
        ["on_no_data", what] => plan.on_no_data = fallback(what),
        ["on_drift", "hold"] => plan.on_drift = OnDrift::Hold,
        ["on_drift", "reassert"] => plan.on_drift = OnDrift::Reassert,
        ["on_drift", "adopt"] => plan.on_drift = OnDrift::Adopt,
        ["alarm", name] => {
            let question = Question::Alarms { names: vec![(*name).to_owned()] };
            plan.analysis.checks.push(Check { name: "alarms".to_owned(), question });
        }
        ["window", when, from, to, tz] => plan.schedule.windows.push(Window {
            days: days(when).unwrap(),
            from: from.parse().unwrap(),
            to: to.parse().unwrap(),
            tz: (*tz).to_owned(),
        }),
        other => panic!("the plan knows no `{}`", other.join(" ")),
    }
}

impl Story {
    fn obey(&mut self, line: &str) -> Result<(), String> {
        if ["plan:", "rules:"].iter().any(|head| line.starts_with(head)) || line == "no past" {
            return Ok(());
        }
        if let Some(rest) = line.strip_prefix("expect ") {
            return self.expect(rest);
        }
        let line = if let Some(rest) = line.strip_prefix("at ") {
            let (time, what) = rest.split_once(' ').ok_or("at what time?")?;
            self.run_to(time)?;
            what
        } else if let Some(time) = line.strip_prefix("until ") {
            return self.run_to(time);
        } else {
            line
        };
        self.show();
        let clock = timeline::clock(self.start, self.world.now);
        self.out += &format!("{clock}  * {line}\n");
        self.happen(line)
    }

    fn run_to(&mut self, time: &str) -> Result<(), String> {
        let (hours, minutes) = time.split_once(':').ok_or("times are hh:mm")?;
        let number = |text: &str| text.parse::<u32>().map_err(|error| error.to_string());
        let length = Span::from_mins(number(hours)? * 60 + number(minutes)?);
        while self.world.now < after(self.start, length) {
            self.tick();
        }
        Ok(())
    }

    fn tick(&mut self) {
        self.world.tick_checked();
        self.show();
    }

    fn show(&mut self) {
        for recorded in &self.world.journal[self.shown..] {
            self.out.extend(timeline::line(self.start, recorded));
        }
        self.shown = self.world.journal.len();
        for answer in &self.world.answers[self.answers..] {
            if let Err(refusal) = &answer.result {
                let clock = timeline::clock(self.start, self.world.now);
                self.out.push_str(&format!("{clock}  refused  {}: {refusal}\n", refusal.code));
            }
        }
        self.answers = self.world.answers.len();
    }

    /// `phase X`, `hold X`, `live 10%`, each with `within 5m`.
    fn expect(&mut self, text: &str) -> Result<(), String> {
        let (what, time) = text.split_once(" within ").unwrap_or((text, "0s"));
        let end = after(self.world.now, Span::parse(time).map_err(|error| error.to_string())?);
        loop {
            if self.is(what)? {
                return Ok(());
            }
            if self.world.now >= end {
                return Err(format!("expected {text}"));
            }
            self.tick();
        }
    }

    fn is(&self, what: &str) -> Result<bool, String> {
        let rollout = &self.world.rollout;
        match what.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["phase", phase] => Ok(rollout.phase.as_str() == *phase),
            ["hold", reason] => Ok(rollout.hold.as_ref().is_some_and(|hold| hold.reason.as_str() == *reason)),
            ["live", weight] => Ok(self.world.all_rules_at(Weight::parse(weight).map_err(|error| error.to_string())?)),
            ["sticky", state] => {
                let on = self.world.rules.iter().all(|rule| rule.sticky_seconds.is_some());
                Ok(on == (*state == "on"))
            }
            ["drift", state] => Ok(rollout.drift.is_some() == (*state == "found")),
            _ => Err(format!("nothing is known of `{what}`")),
        }
    }

    fn happen(&mut self, line: &str) -> Result<(), String> {
        let share = |text: &str| text.trim_end_matches('%').parse::<f64>().unwrap() / 100.0;
        let world = &mut self.world;
        match line.split_whitespace().collect::<Vec<_>>().as_slice() {
            ["traffic", rate] => world.traffic.per_second = rate.trim_end_matches("/s").parse().unwrap(),
            ["blue", "errors", rate] => world.traffic.blue_errors = share(rate),
            ["green", "errors", rate] => world.traffic.green_errors = share(rate),
            ["both", "errors", rate] => {
                (world.traffic.blue_errors, world.traffic.green_errors) = (share(rate), share(rate));
            }
            ["balancer", "errors", rate] => {
                world.traffic.balancer_errors = rate.trim_end_matches("/s").parse().unwrap();
            }
            ["blue", count, "healthy"] => world.health.blue.healthy = count.parse().unwrap(),
            ["green", count, "healthy"] => world.health.green.healthy = count.parse().unwrap(),
            ["metrics", "silent"] => world.faults.silent = true,
            ["metrics", "back"] => world.faults.silent = false,
            ["route", "denied"] => world.faults.route = Some(TroubleKind::Refused),
            ["route", "back"] => world.faults.route = None,
            ["last", "rule", "refuses"] => world.faults.one_rule_refuses = true,
            ["writes", "lost"] => world.faults.lost_writes = 1.0,
            ["writes", "back"] => world.faults.lost_writes = 0.0,
            ["writes", "late", ticks] => world.faults.lag = ticks.parse().unwrap(),
            ["somebody", "writes", weight] => {
                let weight = Weight::parse(weight).map_err(|error| error.to_string())?;
                world.rules.iter_mut().for_each(|rule| rule.set(weight));
            }
            ["sticky", seconds] => {
                let seconds = seconds.parse().unwrap();
                world.rules.iter_mut().for_each(|rule| rule.sticky_seconds = Some(seconds));
            }
            ["alarm", "fires"] => world.alarms.iter_mut().for_each(|alarm| alarm.state = AlarmState::Alarm),
            ["alarm", "clears"] => world.alarms.iter_mut().for_each(|alarm| alarm.state = AlarmState::Ok),
            ["freeze", reason @ ..] => world.frozen = Some(reason.join(" ")),
            ["thaw"] => world.frozen = None,
            ["restart", "before", "apply"] => world.faults.crash = Some(Crash::BeforeApply),
            ["restart", "before", "record"] => world.faults.crash = Some(Crash::BeforeRecord),
            ["person", who, verb @ ..] => {
                let who = (*who).to_owned();
                let (words, reason) =
                    line.split_once('"').map_or((line, "no reason"), |(head, tail)| (head, tail.trim_end_matches('"')));
                let count = words.split_whitespace().count() - 2;
                world.ask_as(&who, ask(&verb[..count])?, reason);
            }
            other => return Err(format!("nothing is known of `{}`", other.join(" "))),
        }
        Ok(())
    }
}

fn ask(words: &[&str]) -> Result<Ask, String> {
    let step = |text: &str| text.parse::<u32>().ok();
    Ok(match words {
        ["pauses"] => Ask::Pause,
        ["resumes"] => Ask::Resume,
        ["approves", "step", n] => Ask::Approve { expected_step: step(n) },
        ["promotes", "step", n] => Ask::Promote { expected_step: step(n), full: false },
        ["promotes", "all", "from", "step", n] => Ask::Promote { expected_step: step(n), full: true },
        ["aborts"] => Ask::Abort,
        ["rolls", "back"] => Ask::Rollback { force: false },
        ["forces", "rollback"] => Ask::Rollback { force: true },
        ["retries"] => Ask::Retry,
        ["steps", "back"] => Ask::StepBack,
        ["waives", code] => Ask::Waive { code: (*code).to_owned() },
        other => return Err(format!("nobody can ask `{}`", other.join(" "))),
    })
}
