//! The named stories that `greenshift demo` tells.

use super::script::{Change, Cue, When};
use crate::domain::ids::Side;
use crate::domain::phase::Phase;
use crate::domain::time::Span;
use crate::domain::weight::Weight;

/// A story: a plan, what happens to it, and how it must end.
#[derive(Debug, Clone, Copy)]
pub struct Scenario {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it shows, in one line.
    pub title: &'static str,
    /// What will happen, in a few sentences.
    pub story: &'static str,
    /// What differs from the usual plan: lines of the rollout document.
    pub plan: &'static str,
    /// Requests per second of the whole route.
    pub rate: f64,
    /// What happens.
    pub script: &'static [Cue],
    /// The phase in which it must end.
    pub ends: Phase,
    /// What the end means, in one line.
    pub moral: &'static str,
    /// What to try next.
    pub next: &'static str,
}

const HALF: Weight = weight(50);
const TENTH: Weight = weight(10);

const fn weight(percent: u16) -> Weight {
    match Weight::from_percent(percent) {
        Some(weight) => weight,
        None => Weight::ZERO,
    }
}

const fn at_weight(weight: Weight, minutes: u32, change: Change) -> Cue {
    Cue { when: When::AtWeight(weight, Span::from_mins(minutes)), change }
}

/// All stories, in the order in which `--list` shows them.
pub const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "healthy",
        title: "a good green takes over",
        story: "Green is as good as blue. It gets 10 %, 50 %, then all of the traffic: each raise waits until its shortest \
                hold is over and green is proven, and at the end green is watched while blue is still warm.",
        plan: "",
        rate: 200.0,
        script: &[],
        ends: Phase::Completed,
        moral: "Green was proven at every step and has all traffic now.",
        next: "greenshift demo --scenario bad-green",
    },
    Scenario {
        name: "bad-green",
        title: "green fails five requests in a hundred: taken back within minutes",
        story: "Four minutes after its first traffic green begins to fail 5 % of its requests, blue goes on failing 0.2 %. \
                The comparison of both in the same minutes decides; nobody had to set a threshold.",
        plan: "",
        rate: 200.0,
        script: &[at_weight(TENTH, 4, Change::Errors(Side::Green, 0.05))],
        ends: Phase::RolledBack,
        moral: "Green was worse than blue in the same minutes, so blue has all traffic again.",
        next: "greenshift demo --scenario late-regression",
    },
    Scenario {
        name: "late-regression",
        title: "green gets worse after it took over: taken back out of the bake",
        story: "Green passes every step. Five minutes after it has all traffic it begins to fail 3 % of its requests. There \
                is no blue traffic left to compare with, so blue's own recent record is the measure.",
        plan: "",
        rate: 200.0,
        script: &[at_weight(Weight::FULL, 5, Change::Errors(Side::Green, 0.03))],
        ends: Phase::RolledBack,
        moral: "100 % is not the end: the bake noticed, and blue was still warm.",
        next: "greenshift demo --scenario common-outage",
    },
    Scenario {
        name: "common-outage",
        title: "both sides fail together: nothing moves, nobody is blamed",
        story: "Twelve minutes into the first step a shared database goes down: both sides fail 8 % of their requests for \
                ten minutes. A threshold on green would roll back; green is no worse than blue, so greenshift holds and goes \
                on when it is over.",
        plan: "steps: [{weight: 10%, hold: 20m}, {weight: 50%, hold: 10m}, {weight: 100%}]",
        rate: 200.0,
        script: &[
            at_weight(TENTH, 12, Change::Errors(Side::Blue, 0.08)),
            at_weight(TENTH, 12, Change::Errors(Side::Green, 0.08)),
            at_weight(TENTH, 22, Change::Errors(Side::Blue, super::world::USUAL_ERRORS)),
            at_weight(TENTH, 22, Change::Errors(Side::Green, super::world::USUAL_ERRORS)),
        ],
        ends: Phase::Completed,
        moral: "The outage was common, so green was not blamed; it was proven afterwards and took over.",
        next: "greenshift demo --scenario slow-green",
    },
    Scenario {
        name: "slow-green",
        title: "green is five times slower: taken back though nothing fails",
        story: "Green answers every request, but from the third minute at 50 % on it takes five times as long. Slow requests \
                are counted against thresholds that blue's own past set.",
        plan: "",
        rate: 200.0,
        script: &[at_weight(HALF, 3, Change::Slowness(Side::Green, 5.0))],
        ends: Phase::RolledBack,
        moral: "Green was slower than blue in the same minutes, so blue has all traffic again.",
        next: "greenshift demo --scenario no-data",
    },
    Scenario {
        name: "no-data",
        title: "the metrics go silent: no data is never good news",
        story: "At 10 % the metric source stops answering. Nothing rises without proof; after a quarter of an hour the rollout \
                pauses and asks for a person.",
        plan: "",
        rate: 200.0,
        script: &[at_weight(TENTH, 3, Change::MetricsAnswer(false))],
        ends: Phase::Paused,
        moral: "Without data nothing was raised; a person was asked instead.",
        next: "greenshift demo --scenario drift",
    },
    Scenario {
        name: "drift",
        title: "somebody sets green to 0 by hand: taken as an abort",
        story: "At 50 % somebody puts all traffic back to blue with the AWS console. greenshift does not fight people: it \
                notices within seconds, says so, and ends as aborted.",
        plan: "",
        rate: 200.0,
        script: &[at_weight(HALF, 4, Change::ForeignWrite(100, 0))],
        ends: Phase::Aborted,
        moral: "A person's emergency brake is never overwritten.",
        next: "greenshift demo --scenario low-traffic",
    },
    Scenario {
        name: "low-traffic",
        title: "too little traffic to prove anything: says so, and asks",
        story: "The service has one request every five seconds. Neither good nor bad can be proven in the time that the plan \
                gives, so the rollout pauses instead of guessing.",
        plan: "steps: [{weight: 10%, hold: {min: 10m, max: 40m}}, {weight: 50%, hold: 10m}, {weight: 100%}]",
        rate: 0.2,
        script: &[],
        ends: Phase::Paused,
        moral: "Inconclusive never raises: with so little traffic a person decides.",
        next: "greenshift plan --help",
    },
];

impl Scenario {
    /// The story of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        SCENARIOS.iter().find(|scenario| scenario.name == name)
    }

    /// The rollout document of this story.
    pub fn document(&self) -> String {
        let steps = if self.plan.contains("steps:") {
            ""
        } else {
            "steps: [{weight: 10%, hold: 10m}, {weight: 50%, hold: 10m}, {weight: 100%}]\n"
        };
        let arn = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";
        format!(
            "name: {name}\nlabels: {{team: payments, env: demo}}\nroute:\n  alb:\n    rules:\n      - \
             {arn}:listener/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2\n    blue_target_group: \
             {arn}:targetgroup/blue/6d0ecf831eec9f09\n    green_target_group: \
             {arn}:targetgroup/green/73e2d6bc24d8a067\n{steps}bake: 20m\n{plan}\n",
            name = self.name,
            plan = self.plan,
        )
    }
}
