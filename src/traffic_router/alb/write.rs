//! Bringing rules to a weight: all at once, one write each, everything else sent back as it was.

use aws_sdk_elasticloadbalancingv2::types::Action;
use futures::future::join_all;

use super::actions::{self, Unfit};
use super::api::Api;
use super::described::{self, Described};
use crate::aws::{CallError, Quota};
use crate::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome, WriteReport};
use crate::domain::ids::Arn;
use crate::domain::observation::{Trouble, TroubleKind};
use crate::domain::plan::AlbRoute;
use crate::traffic_router::course::{Course, course};

/// How far the share of another target group may move for a raise, as a share of all requests. What whole numbers from
/// 0 to 999 cannot express more nearly is refused: the step would take traffic that is not ours to move.
const OTHERS_ERROR_MAX: f64 = 0.01;

/// Brings every rule of the route to the weight; see the port.
pub(super) async fn write(api: &Api, route: &AlbRoute, change: &SetWeight) -> Vec<WriteReport> {
    if let Err(trouble) = turns(api, route, change.urgency).await {
        return route.rules.iter().map(|rule| report(rule, change, WriteOutcome::Failed(trouble.clone()))).collect();
    }
    let live = described::each(api, &route.rules, change.urgency).await;
    let writes = live.into_iter().map(|(rule, live)| async move {
        match live {
            Ok(live) => write_one(api, route, change, &live).await,
            Err(error) => vec![report(&rule, change, WriteOutcome::Failed(error.into()))],
        }
    });
    join_all(writes).await.into_iter().flatten().collect()
}

/// One turn of the budget per rule, all before the first look: between looking and writing nothing waits, and a raise
/// that could not reach every rule does not begin.
async fn turns(api: &Api, route: &AlbRoute, urgency: Urgency) -> Result<(), Trouble> {
    match urgency {
        Urgency::Back => Ok(()),
        Urgency::Forward => {
            let waits = route.rules.iter().map(|rule| api.turn(rule, Quota::Modify, urgency));
            join_all(waits).await.into_iter().collect::<Result<(), CallError>>().map_err(Trouble::from)
        }
    }
}

async fn write_one(api: &Api, route: &AlbRoute, change: &SetWeight, live: &Described) -> Vec<WriteReport> {
    let seen = actions::seen(&live.arn, &live.actions, route);
    let done = |outcome| vec![report(&live.arn, change, outcome)];
    let (outcome, now) = match course(&seen, change) {
        Course::Foreign(found) => return done(WriteOutcome::Foreign { found }),
        Course::AlreadyThere => (WriteOutcome::AlreadyThere, live.actions.clone()),
        Course::Write => {
            let wanted = match rewritten(route, change, live) {
                Ok(wanted) => wanted,
                Err(trouble) => return done(WriteOutcome::Failed(trouble)),
            };
            if let Err(error) = api.modify(&live.arn, wanted.clone(), change.urgency).await {
                return done(WriteOutcome::Failed(error.into()));
            }
            (WriteOutcome::Written, wanted)
        }
    };
    let mut reports = done(outcome);
    if let Some(trouble) = set_stickiness(api, route, change, (&live.arn, &now)).await {
        reports.push(report(&live.arn, change, WriteOutcome::StickinessRefused(trouble)));
    }
    reports
}

/// The actions to send for the weight.
fn rewritten(route: &AlbRoute, change: &SetWeight, live: &Described) -> Result<Vec<Action>, Trouble> {
    let unfit = |unfit: Unfit| refused(format!("{}: {unfit}", live.arn));
    let (wanted, shares) = actions::with_weight(&live.actions, route, change.weight).map_err(unfit)?;
    if change.urgency == Urgency::Forward && shares.error > OTHERS_ERROR_MAX {
        return Err(refused(format!(
            "{}: weights from 0 to 999 cannot give green {} without moving the share of other target groups in the same \
             action by {:.1} points; use a larger step, or give those groups smaller weights",
            live.arn,
            change.weight,
            shares.error * 100.0
        )));
    }
    Ok(wanted)
}

/// Changes group stickiness if that is asked for and not so already, in a write of its own: it may be refused, and the
/// weights must not be refused with it. Returns what stood in the way.
async fn set_stickiness(
    api: &Api,
    route: &AlbRoute,
    change: &SetWeight,
    (rule, now): (&Arn, &[Action]),
) -> Option<Trouble> {
    let has = actions::seen(rule, now, route).sticky_seconds;
    let wanted = match &change.stickiness {
        Stickiness::Keep => return None,
        Stickiness::Off => None,
        Stickiness::Restore(all) => Some(all.iter().find(|(arn, _)| arn == rule)?.1),
    };
    if has == wanted {
        return None;
    }
    let sent = match actions::with_stickiness(now, route, wanted) {
        Ok(sent) => sent,
        Err(unfit) => return Some(refused(format!("{rule}: {unfit}"))),
    };
    // The turn for the weights may have been used: a second write takes its own, and waits for it when going forward.
    if change.urgency == Urgency::Forward
        && let Err(error) = api.turn(rule, Quota::Modify, change.urgency).await
    {
        return Some(error.into());
    }
    api.modify(rule, sent, change.urgency).await.err().map(Trouble::from)
}

fn refused(message: String) -> Trouble {
    Trouble { kind: TroubleKind::Refused, message }
}

fn report(rule: &Arn, change: &SetWeight, outcome: WriteOutcome) -> WriteReport {
    WriteReport { rule: rule.clone(), weight: change.weight, outcome }
}
