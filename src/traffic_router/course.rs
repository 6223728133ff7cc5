//! What to do about one rule that was just read again: write, leave, or report that somebody else was there.
//!
//! Every router decides this in the same way; only reading and writing differ.

use crate::domain::command::{SetWeight, Urgency};
use crate::domain::observation::RuleSeen;
use crate::domain::weight::Weight;

/// What to do about one rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Course {
    /// Bring it to the weight.
    Write,
    /// It is there already: send nothing.
    AlreadyThere,
    /// Somebody else changed it: send nothing, and say what was found.
    Foreign(String),
}

/// Chooses the course for a rule as it is now.
///
/// A raise goes only over a rule that looks as this controller left it. A lowering goes over anything higher, but never
/// raises what somebody else lowered: that would give green traffic that nobody decided on.
pub(super) fn course(live: &RuleSeen, change: &SetWeight) -> Course {
    let Some(share) = live.share() else {
        return Course::Foreign(format!("{}: neither blue nor green has any weight", shown(live)));
    };
    let ours = change.ours.contains(&share);
    // A group that no rule names is not health-checked, so weight 0 is reached only when green is attached. A rollback
    // needs no such thing.
    let there = share == change.weight && (live.green_attached || change.urgency == Urgency::Back);
    if there {
        return Course::AlreadyThere;
    }
    match change.urgency {
        Urgency::Back if share > change.weight || ours => Course::Write,
        Urgency::Back => Course::Foreign(format!("{}: lower than asked, and not written by us", shown(live))),
        Urgency::Forward if !ours && share != change.weight => {
            Course::Foreign(format!("{}: not a weight that we wrote", shown(live)))
        }
        Urgency::Forward => match change.structures.iter().find(|(rule, _)| *rule == live.rule) {
            Some((_, structure)) if *structure != live.structure => {
                Course::Foreign("its actions were changed: other groups, other actions or their settings".to_owned())
            }
            Some(_) | None => Course::Write,
        },
    }
}

/// A rule's weights in words.
fn shown(live: &RuleSeen) -> String {
    let share = live.share().map_or_else(|| "no share".to_owned(), |share: Weight| format!("green at {share}"));
    format!("{share} (weights {} to {})", live.blue, live.green)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::command::Stickiness;
    use crate::domain::ids::Arn;

    fn rule(blue: u32, green: u32) -> RuleSeen {
        RuleSeen {
            rule: Arn::new("r"),
            blue,
            green,
            green_attached: true,
            structure: "as it was".to_owned(),
            sticky_seconds: None,
        }
    }

    fn percent(percent: u16) -> Weight {
        Weight::from_percent(percent).unwrap()
    }

    fn change(to: u16, ours: &[u16], urgency: Urgency) -> SetWeight {
        SetWeight {
            weight: percent(to),
            stickiness: Stickiness::Keep,
            ours: ours.iter().map(|p| percent(*p)).collect(),
            structures: vec![(Arn::new("r"), "as it was".to_owned())],
            urgency,
        }
    }

    fn is_foreign(course: &Course) -> bool {
        matches!(course, Course::Foreign(_))
    }

    #[test]
    fn a_raise_goes_only_over_what_we_wrote() {
        assert_eq!(course(&rule(90, 10), &change(25, &[10], Urgency::Forward)), Course::Write);
        assert!(is_foreign(&course(&rule(85, 15), &change(25, &[10], Urgency::Forward))));
        assert!(is_foreign(&course(&rule(85, 15), &change(25, &[], Urgency::Forward))));
    }

    #[test]
    fn a_raise_stops_before_changed_actions() {
        let mut live = rule(90, 10);
        live.structure = "otherwise".to_owned();
        assert!(is_foreign(&course(&live, &change(25, &[10], Urgency::Forward))));
        assert_eq!(course(&live, &change(0, &[10], Urgency::Back)), Course::Write, "a lowering does not");
    }

    #[test]
    fn what_is_there_is_not_sent_again() {
        for urgency in [Urgency::Forward, Urgency::Back] {
            assert_eq!(course(&rule(9, 1), &change(10, &[], urgency)), Course::AlreadyThere, "shares, not integers");
        }
    }

    #[test]
    fn green_that_is_not_attached_is_attached_before_a_raise_but_not_in_a_rollback() {
        let mut live = rule(1, 0);
        live.green_attached = false;
        assert_eq!(course(&live, &change(0, &[0], Urgency::Forward)), Course::Write);
        assert_eq!(course(&live, &change(0, &[0], Urgency::Back)), Course::AlreadyThere);
    }

    #[test]
    fn a_lowering_goes_over_foreign_weights_that_are_higher() {
        assert_eq!(course(&rule(20, 80), &change(0, &[10], Urgency::Back)), Course::Write);
        assert_eq!(course(&rule(20, 80), &change(10, &[], Urgency::Back)), Course::Write);
    }

    #[test]
    fn a_foreign_lowering_is_never_overwritten_upward() {
        assert!(is_foreign(&course(&rule(95, 5), &change(10, &[25], Urgency::Back))));
        assert!(is_foreign(&course(&rule(100, 0), &change(10, &[25], Urgency::Back))));
        assert_eq!(course(&rule(95, 5), &change(10, &[5, 25], Urgency::Back)), Course::Write, "this one is ours");
    }

    #[test]
    fn a_rule_without_any_weight_for_either_side_is_left_alone() {
        for urgency in [Urgency::Forward, Urgency::Back] {
            assert!(is_foreign(&course(&rule(0, 0), &change(0, &[0], urgency))));
        }
    }
}
