//! A rule of a load balancer that is written to as a careful router does it.

use greenshift::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome, WriteReport};
use greenshift::domain::observation::{RuleSeen, Trouble, TroubleKind};
use greenshift::domain::weight::Weight;

use super::rule;

/// A rule as it stands, and what is still on its way to it.
#[derive(Debug, Clone)]
pub(crate) struct LiveRule {
    index: usize,
    pub(crate) blue: u32,
    pub(crate) green: u32,
    pub(crate) attached: bool,
    pub(crate) structure: String,
    pub(crate) sticky_seconds: Option<u32>,
    pending: Vec<(u32, u32, u32, Option<u32>)>,
}

impl LiveRule {
    pub(super) fn new(index: usize) -> Self {
        let structure = "forward".to_owned();
        Self { index, blue: 100, green: 0, attached: true, structure, sticky_seconds: None, pending: Vec::new() }
    }

    pub(crate) fn share(&self) -> Option<Weight> {
        Weight::of_written(self.blue, self.green)
    }

    /// Somebody else's hand.
    pub(crate) fn set(&mut self, weight: Weight) {
        (self.blue, self.green) = weight.written();
    }

    pub(super) fn seen(&self) -> RuleSeen {
        RuleSeen {
            rule: rule(self.index),
            blue: self.blue,
            green: self.green,
            green_attached: self.attached,
            structure: self.structure.clone(),
            sticky_seconds: self.sticky_seconds,
        }
    }

    /// Time passes: what was on its way arrives.
    pub(super) fn settle(&mut self) {
        let mut rest = Vec::new();
        for (ticks, blue, green, sticky) in std::mem::take(&mut self.pending) {
            if ticks == 0 {
                (self.blue, self.green, self.sticky_seconds, self.attached) = (blue, green, sticky, true);
            } else {
                rest.push((ticks - 1, blue, green, sticky));
            }
        }
        self.pending = rest;
    }

    /// Reads again, then writes what may be written.
    pub(super) fn write(&mut self, set: &SetWeight, refuses: bool, lost: bool, lag: u32) -> Option<WriteReport> {
        let report = |outcome| Some(WriteReport { rule: rule(self.index), weight: set.weight, outcome });
        let sticky = match &set.stickiness {
            Stickiness::Keep => self.sticky_seconds,
            Stickiness::Off => None,
            Stickiness::Restore(rules) => {
                let own = rules.iter().find(|(arn, _)| *arn == rule(self.index));
                own.map_or(self.sticky_seconds, |(_, seconds)| Some(*seconds))
            }
        };
        if self.share() == Some(set.weight) && sticky == self.sticky_seconds && self.attached {
            return report(WriteOutcome::AlreadyThere);
        }
        let structure = set.structures.iter().find(|(arn, _)| *arn == rule(self.index));
        let changed = structure.is_some_and(|(_, structure)| *structure != self.structure);
        let ours = self.share().is_some_and(|share| set.ours.contains(&share));
        let may = match set.urgency {
            Urgency::Forward => ours && !changed,
            Urgency::Back => ours || self.share() >= Some(set.weight),
        };
        if !may {
            return report(WriteOutcome::Foreign { found: format!("{}/{}", self.blue, self.green) });
        }
        if refuses {
            let trouble = Trouble { kind: TroubleKind::Refused, message: "access denied".to_owned() };
            return report(WriteOutcome::Failed(trouble));
        }
        if lost {
            let trouble = Trouble { kind: TroubleKind::Transient, message: "no answer in time".to_owned() };
            return report(WriteOutcome::Failed(trouble));
        }
        let (blue, green) = set.weight.written();
        self.pending.push((lag, blue, green, sticky));
        report(WriteOutcome::Written)
    }
}
