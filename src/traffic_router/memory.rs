//! Rules in memory: a router for tests, the demo and simulations, with the faults of a real one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::course::{Course, course};
use super::{PlannedWrite, TrafficRouter};
use crate::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome, WriteReport};
use crate::domain::ids::Arn;
use crate::domain::observation::{FleetHealth, HealthSeen, RuleSeen, Trouble, TroubleKind};
use crate::domain::plan::Route;
use crate::domain::preflight::{Finding, Inspection};
use crate::domain::weight::Weight;

/// A handle on rules in memory. Clones are handles on the same rules.
#[derive(Debug, Clone, Default)]
pub struct MemoryRouter {
    world: Arc<Mutex<World>>,
}

/// One rule as the load balancer holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryRule {
    /// Blue's written weight.
    pub blue: u32,
    /// Green's written weight.
    pub green: u32,
    /// Whether green's group stands in the rule.
    pub green_attached: bool,
    /// Stands for all of the rule that is never changed.
    pub structure: String,
    /// Group stickiness in seconds; `None` = off.
    pub sticky_seconds: Option<u32>,
}

impl MemoryRule {
    /// All requests to blue, green attached, no stickiness.
    pub fn all_blue() -> Self {
        Self { blue: 100, green: 0, green_attached: true, structure: "as built".to_owned(), sticky_seconds: None }
    }

    /// Green's share; `None` when neither side has a weight.
    pub fn share(&self) -> Option<Weight> {
        Weight::of_written(self.blue, self.green)
    }
}

/// One write that was applied, by us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemoryWrite {
    /// The rule.
    pub rule: Arn,
    /// The rule after it.
    pub after: MemoryRule,
    /// Whether it was a raise or a lowering.
    pub urgency: Urgency,
}

/// What goes wrong.
#[derive(Debug, Clone, Default)]
pub struct MemoryFaults {
    /// No rule can be read.
    pub reads: Option<Trouble>,
    /// No target health can be read.
    pub health: Option<Trouble>,
    /// No inspection can be made.
    pub inspection: Option<Trouble>,
    /// No write is applied.
    pub writes: Option<Trouble>,
    /// No write to this rule is applied.
    pub rules: BTreeMap<Arn, Trouble>,
    /// So many writes are applied, and their answers lost.
    pub lose_answers: u32,
    /// After a write, so many reads still show the rule as it was before.
    pub stale_reads: u32,
    /// Stickiness cannot be changed.
    pub stickiness: Option<Trouble>,
    /// Marks can be neither set nor taken away.
    pub marks: Option<Trouble>,
}

#[derive(Debug, Default)]
struct World {
    rules: BTreeMap<Arn, Kept>,
    health: Option<HealthSeen>,
    findings: Vec<Finding>,
    shared_groups: bool,
    faults: MemoryFaults,
    writes: Vec<MemoryWrite>,
}

#[derive(Debug)]
struct Kept {
    now: MemoryRule,
    /// What reads show for so many more times.
    stale: Option<(MemoryRule, u32)>,
    owner: Option<String>,
}

impl MemoryRouter {
    /// No rules yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rules of a route, all requests to blue, with so many healthy targets on each side.
    pub fn with_route(route: &Route, targets: u32) -> Self {
        let router = Self::new();
        for rule in route.rules() {
            router.put(rule, MemoryRule::all_blue());
        }
        let fleet = FleetHealth { healthy: targets, ..FleetHealth::default() };
        router.set_health(HealthSeen { blue: fleet, green: fleet });
        router
    }

    /// Puts a rule there, as it is now for every reader.
    pub fn put(&self, rule: &Arn, now: MemoryRule) {
        let mut world = self.lock();
        let owner = world.rules.remove(rule).and_then(|kept| kept.owner);
        world.rules.insert(rule.clone(), Kept { now, stale: None, owner });
    }

    /// Takes a rule away, as somebody who deletes it.
    pub fn delete(&self, rule: &Arn) {
        self.lock().rules.remove(rule);
    }

    /// A rule as it really is, whatever readers are shown.
    pub fn live(&self, rule: &Arn) -> Option<MemoryRule> {
        self.lock().rules.get(rule).map(|kept| kept.now.clone())
    }

    /// Somebody else writes weights, and nothing else.
    pub fn foreign_write(&self, rule: &Arn, blue: u32, green: u32) {
        self.foreign_edit(rule, |rule| (rule.blue, rule.green) = (blue, green));
    }

    /// Somebody else changes anything about a rule.
    pub fn foreign_edit(&self, rule: &Arn, edit: impl FnOnce(&mut MemoryRule)) {
        if let Some(kept) = self.lock().rules.get_mut(rule) {
            edit(&mut kept.now);
            kept.stale = None;
        }
    }

    /// Sets the targets of both groups.
    pub fn set_health(&self, health: HealthSeen) {
        self.lock().health = Some(health);
    }

    /// Sets what an inspection finds.
    pub fn set_findings(&self, findings: Vec<Finding>) {
        self.lock().findings = findings;
    }

    /// Sets whether the groups serve other rules too.
    pub fn set_shared_groups(&self, shared: bool) {
        self.lock().shared_groups = shared;
    }

    /// Changes what goes wrong.
    pub fn faults(&self, change: impl FnOnce(&mut MemoryFaults)) {
        change(&mut self.lock().faults);
    }

    /// Every write of ours that was applied, oldest first.
    pub fn writes(&self) -> Vec<MemoryWrite> {
        self.lock().writes.clone()
    }

    /// Whose mark a rule bears.
    pub fn owner(&self, rule: &Arn) -> Option<String> {
        self.lock().rules.get(rule).and_then(|kept| kept.owner.clone())
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// A rule as a reader is shown it now.
    fn look(&mut self, rule: &Arn) -> Result<RuleSeen, Trouble> {
        let kept = self.rules.get_mut(rule).ok_or_else(|| missing(rule))?;
        let shown = match &mut kept.stale {
            Some((before, left)) if *left > 0 => {
                *left -= 1;
                before.clone()
            }
            Some(_) | None => kept.now.clone(),
        };
        Ok(RuleSeen {
            rule: rule.clone(),
            blue: shown.blue,
            green: shown.green,
            green_attached: shown.green_attached,
            structure: shown.structure,
            sticky_seconds: shown.sticky_seconds,
        })
    }

    fn write_one(&mut self, rule: &Arn, change: &SetWeight) -> Vec<WriteReport> {
        let report = |outcome| WriteReport { rule: rule.clone(), weight: change.weight, outcome };
        let seen = match self.look(rule) {
            Ok(seen) => seen,
            Err(trouble) => return vec![report(WriteOutcome::Failed(trouble))],
        };
        let outcome = match course(&seen, change) {
            Course::Foreign(found) => return vec![report(WriteOutcome::Foreign { found })],
            Course::AlreadyThere => WriteOutcome::AlreadyThere,
            Course::Write => {
                let (blue, green) = change.weight.written();
                let edit = |rule: &mut MemoryRule| {
                    (rule.blue, rule.green, rule.green_attached) = (blue, green, true);
                };
                match self.apply(rule, change.urgency, edit) {
                    Ok(()) => WriteOutcome::Written,
                    Err(trouble) => return vec![report(WriteOutcome::Failed(trouble))],
                }
            }
        };
        let mut reports = vec![report(outcome)];
        if let Err(trouble) = self.set_stickiness(rule, change) {
            reports.push(report(WriteOutcome::StickinessRefused(trouble)));
        }
        reports
    }

    fn set_stickiness(&mut self, rule: &Arn, change: &SetWeight) -> Result<(), Trouble> {
        let wanted = match &change.stickiness {
            Stickiness::Keep => return Ok(()),
            Stickiness::Off => None,
            Stickiness::Restore(all) => match all.iter().find(|(arn, _)| arn == rule) {
                Some((_, seconds)) => Some(*seconds),
                None => return Ok(()),
            },
        };
        if self.rules.get(rule).is_none_or(|kept| kept.now.sticky_seconds == wanted) {
            return Ok(());
        }
        if let Some(trouble) = &self.faults.stickiness {
            return Err(trouble.clone());
        }
        self.apply(rule, change.urgency, |rule| rule.sticky_seconds = wanted)
    }

    /// Applies a write unless a fault forbids it; the answer may be lost all the same.
    fn apply(&mut self, rule: &Arn, urgency: Urgency, edit: impl FnOnce(&mut MemoryRule)) -> Result<(), Trouble> {
        if let Some(trouble) = self.faults.writes.as_ref().or_else(|| self.faults.rules.get(rule)) {
            return Err(trouble.clone());
        }
        let stale_reads = self.faults.stale_reads;
        let kept = self.rules.get_mut(rule).ok_or_else(|| missing(rule))?;
        if stale_reads > 0 {
            kept.stale = Some((kept.now.clone(), stale_reads));
        }
        edit(&mut kept.now);
        self.writes.push(MemoryWrite { rule: rule.clone(), after: kept.now.clone(), urgency });
        if self.faults.lose_answers > 0 {
            self.faults.lose_answers -= 1;
            return Err(Trouble {
                kind: TroubleKind::Transient,
                message: format!("{rule}: no answer, so it may or may not have been carried out"),
            });
        }
        Ok(())
    }
}

fn missing(rule: &Arn) -> Trouble {
    Trouble { kind: TroubleKind::Refused, message: format!("there is no rule {rule}; check its name") }
}

fn fails(fault: Option<&Trouble>) -> Result<(), Trouble> {
    fault.map_or(Ok(()), |trouble| Err(trouble.clone()))
}

#[async_trait]
impl TrafficRouter for MemoryRouter {
    async fn read(&self, route: &Route) -> Result<Vec<RuleSeen>, Trouble> {
        let mut world = self.lock();
        fails(world.faults.reads.as_ref())?;
        route.rules().iter().map(|rule| world.look(rule)).collect()
    }

    async fn write(&self, route: &Route, change: &SetWeight) -> Vec<WriteReport> {
        let mut world = self.lock();
        let unreadable = world.faults.reads.clone();
        let failed = |rule: &Arn, trouble: &Trouble| {
            let outcome = WriteOutcome::Failed(trouble.clone());
            vec![WriteReport { rule: rule.clone(), weight: change.weight, outcome }]
        };
        let one = |rule: &Arn| match &unreadable {
            // Without a look at the rule there is nothing to send back.
            Some(trouble) => failed(rule, trouble),
            None => world.write_one(rule, change),
        };
        route.rules().iter().flat_map(one).collect()
    }

    async fn health(&self, _route: &Route) -> Result<HealthSeen, Trouble> {
        let world = self.lock();
        fails(world.faults.health.as_ref())?;
        let none = HealthSeen { blue: FleetHealth::default(), green: FleetHealth::default() };
        Ok(world.health.unwrap_or(none))
    }

    async fn inspect(&self, route: &Route, owner: &str) -> Result<Inspection, Trouble> {
        let world = self.lock();
        fails(world.faults.inspection.as_ref())?;
        let mut findings = world.findings.clone();
        let mut sticky_seconds = None;
        for rule in route.rules() {
            let Some(kept) = world.rules.get(rule) else {
                findings.push(Finding::blocking("rule_not_found", missing(rule).message, "Name a rule that exists."));
                continue;
            };
            sticky_seconds = sticky_seconds.max(kept.now.sticky_seconds);
            if let Some(other) = kept.owner.as_ref().filter(|found| *found != owner) {
                findings.push(Finding::blocking(
                    "foreign_owner",
                    format!("{rule} is owned by `{other}`"),
                    "Let the other owner release it first.",
                ));
            }
        }
        findings.sort_by_key(|finding| finding.severity);
        Ok(Inspection { findings, shared_groups: world.shared_groups, sticky_seconds })
    }

    async fn claim(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        let mut world = self.lock();
        fails(world.faults.marks.as_ref())?;
        let foreign = |rule: &&Arn| {
            let found = world.rules.get(*rule).and_then(|kept| kept.owner.as_deref());
            found.is_some_and(|found| found != owner)
        };
        if let Some(rule) = route.rules().iter().find(foreign) {
            let message = format!("{rule} is marked by another owner; the mark was left");
            return Err(Trouble { kind: TroubleKind::Refused, message });
        }
        for rule in route.rules() {
            world.rules.get_mut(rule).ok_or_else(|| missing(rule))?.owner = Some(owner.to_owned());
        }
        Ok(())
    }

    async fn release(&self, route: &Route, owner: &str) -> Result<(), Trouble> {
        let mut world = self.lock();
        fails(world.faults.marks.as_ref())?;
        for rule in route.rules() {
            if let Some(kept) = world.rules.get_mut(rule) {
                kept.owner.take_if(|found| found == owner);
            }
        }
        Ok(())
    }

    async fn plan(&self, route: &Route, weights: &[Weight]) -> Result<Vec<PlannedWrite>, Trouble> {
        let world = self.lock();
        fails(world.faults.reads.as_ref())?;
        if let Some(absent) = route.rules().iter().find(|rule| !world.rules.contains_key(*rule)) {
            return Err(missing(absent));
        }
        let each = |weight: &Weight| {
            let (weight, (blue, green)) = (*weight, weight.written());
            route.rules().iter().map(move |rule| PlannedWrite {
                rule: rule.clone(),
                weight,
                operation: "SetWeight",
                command: format!("# in memory: {rule} to blue {blue}, green {green}"),
            })
        };
        Ok(weights.iter().flat_map(each).collect())
    }
}
