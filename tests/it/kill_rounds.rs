//! The program is killed (SIGKILL) at seeded random moments of a rollout and started again, until the rollout ends.
//!
//! The AWS stand-in outlives every kill and keeps what it saw: the time line of the weights must be the plan's, or its
//! rollback, and no request may have changed anything but the two weights. Half of the rounds have a bad wire too.
//!
//! `GREENSHIFT_KILL_ROUNDS` sets the number of rounds over both tests; `GREENSHIFT_KILL_SEED` plays one seed again.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use greenshift::client::{Client, Document};
use greenshift::domain::event::{Event, Recorded};
use greenshift::domain::ids::RolloutName;
use greenshift::domain::invariants;
use greenshift::domain::phase::Phase;
use greenshift::domain::replay::replay;
use greenshift::journal::Journal;
use greenshift::journal::sqlite::SqliteJournal;
use rustix::process::{Pid, Signal, kill_process};
use tokio::task::JoinSet;

use crate::aws_stand_in::traffic::Overload;
use crate::aws_stand_in::untouched::violations;
use crate::aws_stand_in::{Allowed, AwsStandIn, Behaviour, BlueGreen, Fault, FaultRule, Publishing, Traffic, World};
use crate::served::{Home, Served};
use crate::world::Dice;

/// Green's weights in percent, as the document below says.
const PLAN: [i64; 4] = [0, 10, 50, 100];
/// Rounds of both tests together, unless the environment says otherwise.
const ROUNDS: u64 = 10;
/// Rounds at a time: the program waits more than it works.
const LANES: u64 = 4;
/// After so many kills of one round the rest of the rollout is left alone, so that it ends.
const KILLS_MAX: u32 = 12;
/// Longest round.
const ROUND_MAX: Duration = Duration::from_mins(2);

/// What green is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Green {
    Good,
    Bad,
}

impl Green {
    const fn ends(self) -> Phase {
        match self {
            Self::Good => Phase::Completed,
            Self::Bad => Phase::RolledBack,
        }
    }
}

/// What a round went through.
#[derive(Debug, Default)]
#[expect(dead_code, reason = "all of it is printed")]
struct Tally {
    kills: u32,
    kills_while_writing: u32,
    starts_not_finished: u32,
    faults: u32,
    events: usize,
    took: Duration,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_rounds_with_a_good_green_end_completed() {
    rounds(Green::Good).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_rounds_with_a_bad_green_end_rolled_back() {
    rounds(Green::Bad).await;
}

#[expect(clippy::print_stdout, reason = "with --nocapture it tells what was killed how often")]
async fn rounds(green: Green) {
    let seeds = seeds();
    let mut lanes = JoinSet::new();
    for lane in 0..LANES {
        let mine: Vec<u64> = seeds.iter().copied().filter(|seed| seed % LANES == lane).collect();
        lanes.spawn(async move {
            let mut results = Vec::new();
            for seed in mine {
                let begun = Instant::now();
                let result = tokio::time::timeout(ROUND_MAX, round(seed, green)).await;
                let result = result.unwrap_or_else(|_late| Err(format!("not over after {ROUND_MAX:?}")));
                results.push((seed, result.map(|tally| Tally { took: begun.elapsed(), ..tally })));
            }
            results
        });
    }
    let mut failed = Vec::new();
    for (seed, result) in lanes.join_all().await.into_iter().flatten() {
        match result {
            Ok(tally) => println!("{green:?} green, seed {seed}: {tally:?}"),
            Err(why) => failed.push(format!("GREENSHIFT_KILL_SEED={seed}, {green:?} green: {why}")),
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
}

/// The seeds of one of the two tests.
#[expect(clippy::disallowed_methods, reason = "a test's own settings")]
fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    if let Some(seed) = number("GREENSHIFT_KILL_SEED") {
        return vec![seed];
    }
    (0..number("GREENSHIFT_KILL_ROUNDS").unwrap_or(ROUNDS).div_ceil(2)).collect()
}

/// One rollout from its creation to its end, killed on the way.
struct Round {
    aws: AwsStandIn,
    app: BlueGreen,
    home: Home,
    dice: Dice,
    green: Green,
    faulty: bool,
    tally: Tally,
}

async fn round(seed: u64, green: Green) -> Result<Tally, String> {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    aws.settings(|settings| settings.high_resolution = true);
    let mut dice = Dice::new(seed);
    aws.traffic(traffic(&aws, &app, green, seed, &mut dice));
    let home = Home::new(&aws.endpoint());
    let faulty = seed % 2 == 1;
    let mut round = Round { aws, app, home, dice, green, faulty, tally: Tally::default() };
    round.create().await?;
    loop {
        let mut served = round.home.serve();
        let over = round.live(&mut served).await.map_err(|why| format!("{why}\n{}", served.log()))?;
        let line = round.line().map_err(|why| format!("{why}\n{}", served.log()))?;
        if over {
            return round.end(served, &line).await;
        }
    }
}

/// Enough requests to prove a step within seconds. The good green is better than blue, so that no chance rolls it back.
fn traffic(aws: &AwsStandIn, app: &BlueGreen, green: Green, seed: u64, dice: &mut Dice) -> Traffic {
    let mut traffic = Traffic::steady(&app.listener, 20_000.0, aws.now() - 120_000);
    traffic.publishing = Publishing { period_ms: 1000, lag_ms: 200, ..Publishing::default() };
    traffic.seed = seed;
    traffic.behave(&app.blue, i64::MIN, Behaviour::failing(0.02));
    let behaviour = match green {
        Green::Good => Behaviour::failing(0.01),
        Green::Bad if dice.one_in(0.5) => Behaviour::failing(0.3),
        Green::Bad => {
            let overload = Some(Overload { above: 0.3, errors_5xx: 0.3 });
            Behaviour { overload, ..Behaviour::failing(0.01) }
        }
    };
    traffic.behave(&app.green, i64::MIN, behaviour);
    traffic
}

impl Round {
    /// The first life: it takes the document.
    async fn create(&mut self) -> Result<(), String> {
        let mut served = self.home.serve();
        let address = served.address().await.ok_or_else(|| format!("it did not start:\n{}", served.log()))?;
        let client = Client::new(&address, None).map_err(|error| error.to_string())?;
        let app = &self.app;
        let text = format!(
            "name: web\nroute:\n  alb:\n    rules: [\"{}\", \"{}\"]\n    blue_target_group: {}\n    green_target_group: \
             {}\nsteps: [{{weight: 10%, hold: 1s}}, {{weight: 50%, hold: 2s}}, {{weight: 100%}}]\nbake: 2s\nanalysis: \
             {{interval: 1s, settle: 1s, checks: [errors: {{}}]}}\nno_data_timeout: 2m\n",
            app.listener, app.rule, app.blue, app.green
        );
        client.create(&Document { text: &text }).await.map_err(|error| format!("{error}\n{}", served.log()))?;
        tokio::time::sleep(Duration::from_secs_f64(self.dice.share())).await;
        served.kill();
        self.tally.kills += 1;
        Ok(())
    }

    /// Lets it run until it is killed. `true`: the rollout was over before.
    async fn live(&mut self, served: &mut Served) -> Result<bool, String> {
        self.disturb();
        let spared = self.tally.kills >= KILLS_MAX;
        let target = Arc::new(Mutex::new(None));
        // A third of the lives end around the start, a third with a write, the others somewhere in the rollout.
        let seconds = match self.dice.share() {
            third if third < 0.33 => 0.3 * self.dice.share(),
            third if third < 0.66 && !spared => {
                self.kill_when_it_writes(served.pid(), &target);
                8.0
            }
            _ => 4.0 * self.dice.share(),
        };
        let until = Instant::now() + Duration::from_secs_f64(seconds);
        let over = self.watch(served, (!spared).then_some(until)).await;
        // Before it is waited for, after which its id may be another's.
        *target.lock().unwrap() = None;
        match over? {
            Watched::Over => return Ok(true),
            Watched::Alive => {}
            Watched::Ended if served.signalled() => self.tally.kills_while_writing += 1,
            Watched::Ended => return Err("it ended by itself".to_owned()),
        }
        self.tally.kills += 1;
        served.kill();
        Ok(false)
    }

    /// Kills the program when its next write has arrived: it is carried out, and nobody gets the answer.
    fn kill_when_it_writes(&self, pid: Pid, target: &Arc<Mutex<Option<Pid>>>) {
        *target.lock().unwrap() = Some(pid);
        let target = Arc::clone(target);
        let shoot = move |_: &mut World, _: i64| {
            if let Some(pid) = target.lock().unwrap().take() {
                kill_process(pid, Signal::KILL).unwrap();
            }
        };
        self.aws.with(|state| state.before_next("ModifyListener", Box::new(shoot)));
    }

    async fn watch(&mut self, served: &mut Served, until: Option<Instant>) -> Result<Watched, String> {
        let late = || until.is_some_and(|until| Instant::now() >= until);
        let mut client = None;
        while !late() {
            if !served.runs() {
                return Ok(Watched::Ended);
            }
            if client.is_none() {
                let address = tokio::time::timeout(Duration::from_millis(20), served.address()).await.ok().flatten();
                client = address.and_then(|address| Client::new(&address, None).ok());
                continue;
            }
            // A dead program does not answer; the next turn notices.
            if let Some(client) = &client
                && let Ok(view) = client.get("web").await
            {
                match view.phase {
                    phase if phase == self.green.ends() => return Ok(Watched::Over),
                    Phase::Pending | Phase::Preflight | Phase::Progressing | Phase::Baking | Phase::RollingBack => {}
                    other => return Err(format!("it is {other}: {:?}", view.cause)),
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        self.tally.starts_not_finished += u32::from(client.is_none());
        Ok(Watched::Alive)
    }

    /// Half of the rounds have something wrong with the wire in every life.
    fn disturb(&mut self) {
        self.aws.clear_faults();
        if !self.faulty {
            return;
        }
        let some = |dice: &mut Dice, most: u32| 1 + (0..most).map(|_| u32::from(dice.one_in(0.5))).sum::<u32>();
        let rules = [
            FaultRule::times("Describe*", Fault::Throttle, some(&mut self.dice, 20)),
            FaultRule::times("Modify*", Fault::Throttle, some(&mut self.dice, 4)),
            FaultRule::times("Modify*", Fault::LoseAnswer, some(&mut self.dice, 2)),
            FaultRule::times("Modify*", Fault::ApplyTwice, some(&mut self.dice, 2)),
            FaultRule::times("Modify*", Fault::ApplyThenHang, 1),
            FaultRule::times("GetMetricData", Fault::InternalFailure, some(&mut self.dice, 3)),
            FaultRule::times("*", Fault::Reset, some(&mut self.dice, 6)).with_probability(0.2),
        ];
        for rule in rules {
            if self.dice.one_in(0.4) {
                self.tally.faults += rule.times.unwrap();
                self.aws.fault(rule);
            }
        }
    }

    /// The weights that the stand-in accepted for each rule: the plan's in order, as far as it came, and then at most
    /// all back to blue; and no request changed anything else (I10).
    fn line(&self) -> Result<Vec<i64>, String> {
        let mut longest = Vec::new();
        for rule in [&self.app.listener, &self.app.rule] {
            let splits = self.aws.splits(rule, &self.app);
            let mut line = Vec::new();
            for (_, (blue, green)) in splits {
                if blue + green != 100 {
                    return Err(format!("{rule} was given {blue} and {green}"));
                }
                line.push(green);
            }
            line.dedup();
            let raises = match line.split_last() {
                Some((0, raises)) if !raises.is_empty() && self.green == Green::Bad => raises,
                Some(_) | None => &line,
            };
            if !PLAN.starts_with(raises) {
                return Err(format!("{rule} was given {line:?}"));
            }
            if line.len() > longest.len() {
                longest = line;
            }
        }
        let resources = [self.app.listener.as_str(), self.app.rule.as_str()];
        let groups = [self.app.blue.as_str(), self.app.green.as_str()];
        let allowed =
            Allowed { resources: &resources, groups: &groups, stickiness: false, tag_keys: &["greenshift:owner"] };
        let wrong = violations(&self.aws.requests(), &allowed);
        if wrong.is_empty() { Ok(longest) } else { Err(wrong.join("\n")) }
    }

    /// The rollout is over: the world and the journal must agree with it.
    async fn end(mut self, mut served: Served, line: &[i64]) -> Result<Tally, String> {
        let log = served.log();
        served.kill();
        let last = line.last().copied();
        let right = match self.green {
            Green::Good => line == PLAN,
            Green::Bad => last == Some(0) && line.len() > 1,
        };
        let both = [&self.app.listener, &self.app.rule].map(|rule| self.aws.split(rule, &self.app));
        if !right || both.iter().any(|(_, green)| Some(*green) != last) {
            return Err(format!("it ended with {line:?}, and {both:?}\n{log}"));
        }
        let events = history(&self.home).await?;
        self.tally.events = events.len();
        let rollout = replay(&events).map_err(|error| error.to_string())?;
        let broken = invariants::of_history(&events, &rollout);
        if !broken.is_empty() || rollout.phase != self.green.ends() {
            return Err(format!("the journal says {} and {broken:?}", rollout.phase));
        }
        let intended: Vec<i64> = events.iter().filter_map(weight).collect();
        if intended != line[1..] {
            return Err(format!("{intended:?} was recorded, {line:?} was seen\n{log}"));
        }
        Ok(self.tally)
    }
}

/// How a life went.
#[derive(Debug, PartialEq, Eq)]
enum Watched {
    Over,
    Ended,
    Alive,
}

fn weight(recorded: &Recorded) -> Option<i64> {
    match &recorded.event {
        Event::WeightIntended { weight, .. } => Some(i64::from(weight.written().1)),
        _ => None,
    }
}

async fn history(home: &Home) -> Result<Vec<Recorded>, String> {
    let journal = SqliteJournal::open(&home.database()).await.map_err(|error| error.to_string())?;
    let events = journal.load(&RolloutName::parse("web").unwrap(), 0, 100_000).await;
    journal.close().await;
    events.map_err(|error| error.to_string())
}
