//! What every traffic router keeps, whatever holds the weights: one suite over each of them.

use async_trait::async_trait;
use greenshift::domain::command::{SetWeight, Stickiness, Urgency, WriteOutcome};
use greenshift::domain::ids::Arn;
use greenshift::domain::observation::{FleetHealth, HealthSeen, RuleSeen, Trouble, TroubleKind};
use greenshift::domain::plan::{AlbRoute, Route};
use greenshift::domain::weight::Weight;
use greenshift::traffic_router::TrafficRouter;
use greenshift::traffic_router::alb::AlbRouter;
use greenshift::traffic_router::memory::MemoryRouter;
use serde_json::json;

use crate::alb::{back, forward, outcomes, percent, route, router, written};
use crate::aws_stand_in::{AwsStandIn, BlueGreen, Edit, Fault, World};

/// A router, and somebody else who can do things to what it routes. The route has two rules at 0 %, two healthy targets
/// on each side, and no stickiness.
#[async_trait]
trait Bench: Send + Sync {
    async fn start() -> Self;
    fn router(&self) -> &dyn TrafficRouter;
    fn route(&self) -> Route;
    /// The weights that really are in force.
    fn live(&self, rule: &Arn) -> (i64, i64);
    /// Writes that were applied so far.
    fn applied(&self) -> usize;
    fn foreign_write(&self, rule: &Arn, blue: u32, green: u32);
    fn foreign_structure(&self, rule: &Arn);
    fn foreign_stickiness(&self, rule: &Arn, seconds: u32);
    fn delete(&self, rule: &Arn);
    fn unreadable(&self, is: bool);
    fn refuse_writes(&self, is: bool);
    fn lose_answers(&self, times: u32);
    fn refuse_stickiness(&self);
    /// Called before and after a write: the first read behind it shows the rule as it was.
    fn stale_read(&self, written: bool);
    async fn owned_by(&self, rule: &Arn, owner: &str);
    fn owner(&self, rule: &Arn) -> Option<String>;
    fn unhealthy_green(&self);
}

struct Memory {
    router: MemoryRouter,
    route: Route,
}

fn refused(message: &str) -> Trouble {
    Trouble { kind: TroubleKind::Refused, message: message.to_owned() }
}

#[async_trait]
impl Bench for Memory {
    async fn start() -> Self {
        let route = Route::Alb(AlbRoute {
            rules: vec![Arn::new("second"), Arn::new("first")],
            blue_target_group: Arn::new("blue"),
            green_target_group: Arn::new("green"),
        });
        Self { router: MemoryRouter::with_route(&route, 2), route }
    }
    fn router(&self) -> &dyn TrafficRouter {
        &self.router
    }
    fn route(&self) -> Route {
        self.route.clone()
    }
    fn live(&self, rule: &Arn) -> (i64, i64) {
        let live = self.router.live(rule).unwrap();
        (live.blue.into(), live.green.into())
    }
    fn applied(&self) -> usize {
        self.router.writes().len()
    }
    fn foreign_write(&self, rule: &Arn, blue: u32, green: u32) {
        self.router.foreign_write(rule, blue, green);
    }
    fn foreign_structure(&self, rule: &Arn) {
        self.router.foreign_edit(rule, |rule| rule.structure.push_str(", and changed"));
    }
    fn foreign_stickiness(&self, rule: &Arn, seconds: u32) {
        self.router.foreign_edit(rule, |rule| rule.sticky_seconds = Some(seconds));
    }
    fn delete(&self, rule: &Arn) {
        self.router.delete(rule);
    }
    fn unreadable(&self, is: bool) {
        self.router.faults(|faults| faults.reads = is.then(|| refused("not today")));
    }
    fn refuse_writes(&self, is: bool) {
        self.router.faults(|faults| faults.writes = is.then(|| refused("not today")));
    }
    fn lose_answers(&self, times: u32) {
        self.router.faults(|faults| faults.lose_answers = times);
    }
    fn refuse_stickiness(&self) {
        self.router.faults(|faults| faults.stickiness = Some(refused("targets are sticky")));
    }
    fn stale_read(&self, written: bool) {
        if !written {
            self.router.faults(|faults| faults.stale_reads = 1);
        }
    }
    async fn owned_by(&self, rule: &Arn, owner: &str) {
        let one = Route::Alb(AlbRoute {
            rules: vec![rule.clone()],
            blue_target_group: Arn::new("blue"),
            green_target_group: Arn::new("green"),
        });
        self.router.claim(&one, owner).await.unwrap();
    }
    fn owner(&self, rule: &Arn) -> Option<String> {
        self.router.owner(rule)
    }
    fn unhealthy_green(&self) {
        let fleet = |healthy, unhealthy| FleetHealth { healthy, unhealthy, ..FleetHealth::default() };
        self.router.set_health(HealthSeen { blue: fleet(2, 0), green: fleet(0, 2) });
    }
}

struct Alb {
    aws: AwsStandIn,
    app: BlueGreen,
    router: AlbRouter,
}

impl Alb {
    fn set_actions(&self, rule: &Arn, edit: impl FnOnce(&mut serde_json::Value)) {
        let mut actions = self.aws.with(|state| state.world.rule(rule.as_str()).unwrap().actions.clone());
        edit(&mut actions[0]);
        self.aws.edit(&Edit::SetActions { rule: rule.as_str().to_owned(), actions });
    }
}

#[async_trait]
impl Bench for Alb {
    async fn start() -> Self {
        let (world, app) = World::blue_green();
        let aws = AwsStandIn::start(world).await;
        let router = router(&aws).await;
        Self { aws, app, router }
    }
    fn router(&self) -> &dyn TrafficRouter {
        &self.router
    }
    fn route(&self) -> Route {
        route(&self.app)
    }
    fn live(&self, rule: &Arn) -> (i64, i64) {
        self.aws.split(rule.as_str(), &self.app)
    }
    fn applied(&self) -> usize {
        self.aws.requests().iter().filter(|entry| entry.change.is_some()).count()
    }
    fn foreign_write(&self, rule: &Arn, blue: u32, green: u32) {
        let weights = [(self.app.blue.clone(), blue.into()), (self.app.green.clone(), green.into())];
        self.aws.edit(&Edit::SetWeights { rule: rule.as_str().to_owned(), weights: weights.into() });
    }
    fn foreign_structure(&self, rule: &Arn) {
        self.set_actions(rule, |action| action["Order"] = json!(7));
    }
    fn foreign_stickiness(&self, rule: &Arn, seconds: u32) {
        self.set_actions(rule, |action| {
            action["ForwardConfig"]["TargetGroupStickinessConfig"] =
                json!({"Enabled": true, "DurationSeconds": seconds});
        });
    }
    fn delete(&self, rule: &Arn) {
        self.aws.edit(&Edit::DeleteRule { rule: rule.as_str().to_owned() });
    }
    fn unreadable(&self, is: bool) {
        self.aws.clear_faults();
        if is {
            self.aws.set_fault("Describe*", Fault::AccessDenied);
        }
    }
    fn refuse_writes(&self, is: bool) {
        self.aws.clear_faults();
        if is {
            self.aws.set_fault("Modify*", Fault::AccessDenied);
        }
    }
    fn lose_answers(&self, times: u32) {
        self.aws.fault_times("Modify*", Fault::LoseAnswer, times);
    }
    fn refuse_stickiness(&self) {
        let set = |group: &str| Edit::SetGroupAttribute {
            group: group.to_owned(),
            key: "stickiness.enabled".to_owned(),
            value: "true".to_owned(),
        };
        self.aws.edit(&set(&self.app.green));
    }
    fn stale_read(&self, written: bool) {
        if written {
            // One read describes the rule and the listener.
            self.aws.fault_times("Describe*", Fault::StaleRead, 2);
        }
    }
    async fn owned_by(&self, rule: &Arn, owner: &str) {
        let tag = Edit::SetTag {
            resource: rule.as_str().to_owned(),
            key: "greenshift:owner".to_owned(),
            value: owner.to_owned(),
        };
        self.aws.edit(&tag);
    }
    fn owner(&self, rule: &Arn) -> Option<String> {
        self.aws.with(|state| state.world.tags_mut(rule.as_str()).unwrap().get("greenshift:owner").cloned())
    }
    fn unhealthy_green(&self) {
        self.aws.edit(&Edit::SetTargetStates { group: self.app.green.clone(), state: "unhealthy".to_owned() });
    }
}

async fn seen(bench: &impl Bench) -> Vec<RuleSeen> {
    bench.router().read(&bench.route()).await.unwrap()
}

async fn write(bench: &impl Bench, change: &SetWeight) -> Vec<WriteOutcome> {
    let reports = bench.router().write(&bench.route(), change).await;
    outcomes(&reports).into_iter().cloned().collect()
}

fn shares(bench: &impl Bench) -> Vec<Option<Weight>> {
    let share = |rule: &Arn| {
        let (blue, green) = bench.live(rule);
        Weight::of_written(blue.try_into().unwrap(), green.try_into().unwrap())
    };
    bench.route().rules().iter().map(share).collect()
}

fn both(weight: Weight) -> Vec<Option<Weight>> {
    vec![Some(weight); 2]
}

/// The kinds of outcome, without their words.
fn kinds(outcomes: &[WriteOutcome]) -> Vec<&'static str> {
    let kind = |outcome: &WriteOutcome| match outcome {
        WriteOutcome::Written => "written",
        WriteOutcome::AlreadyThere => "already there",
        WriteOutcome::Foreign { .. } => "foreign",
        WriteOutcome::Failed(trouble) => match trouble.kind {
            TroubleKind::Transient => "lost",
            TroubleKind::Refused => "refused",
        },
        WriteOutcome::StickinessRefused(_) => "stickiness refused",
    };
    outcomes.iter().map(kind).collect()
}

async fn rules_are_read_in_the_routes_order(bench: impl Bench) {
    let rules: Vec<Arn> = seen(&bench).await.into_iter().map(|rule| rule.rule).collect();
    assert_eq!(rules, bench.route().rules());
}

async fn every_weight_is_reached_on_every_rule_and_read_back(bench: impl Bench) {
    let mut now = Weight::ZERO;
    for tenths in [1, 5, 100, 333, 500, 999, 1000] {
        let weight = Weight::from_tenths(tenths).unwrap();
        written(bench.router(), &bench.route(), &forward(weight, &[now])).await;
        assert_eq!(shares(&bench), both(weight));
        assert!(seen(&bench).await.iter().all(|rule| rule.share() == Some(weight) && rule.green_attached));
        now = weight;
    }
    written(bench.router(), &bench.route(), &back(Weight::ZERO)).await;
    assert_eq!(shares(&bench), both(Weight::ZERO));
}

async fn writing_twice_is_the_same_as_once(bench: impl Bench) {
    let change = forward(percent(10), &[Weight::ZERO]);
    written(bench.router(), &bench.route(), &change).await;
    let applied = bench.applied();
    assert_eq!(kinds(&write(&bench, &change).await), ["already there"; 2]);
    assert_eq!(kinds(&write(&bench, &back(percent(10))).await), ["already there"; 2]);
    assert_eq!(bench.applied(), applied, "nothing more was sent");
}

async fn a_raise_leaves_a_foreign_weight_alone(bench: impl Bench) {
    let rule = bench.route().rules()[1].clone();
    bench.foreign_write(&rule, 60, 40);
    let outcomes = write(&bench, &forward(percent(50), &[Weight::ZERO])).await;
    assert_eq!(kinds(&outcomes).iter().filter(|kind| **kind == "foreign").count(), 1);
    assert_eq!(bench.live(&rule), (60, 40));
    let said = outcomes.iter().find_map(|outcome| match outcome {
        WriteOutcome::Foreign { found } => Some(found.clone()),
        _ => None,
    });
    assert!(said.unwrap().contains("40%"));
}

async fn a_raise_leaves_changed_actions_alone(bench: impl Bench) {
    let structures = seen(&bench).await.into_iter().map(|rule| (rule.rule, rule.structure)).collect();
    let rule = bench.route().rules()[1].clone();
    bench.foreign_structure(&rule);
    let change = SetWeight { structures, ..forward(percent(10), &[Weight::ZERO]) };
    assert!(kinds(&write(&bench, &change).await).contains(&"foreign"));
    assert_eq!(bench.live(&rule), (100, 0));
    // A rollback goes over it all the same.
    bench.foreign_write(&rule, 10, 90);
    let urgent = SetWeight { urgency: Urgency::Back, weight: Weight::ZERO, ..change };
    write(&bench, &urgent).await;
    assert_eq!(shares(&bench), both(Weight::ZERO));
}

async fn a_rollback_goes_over_a_foreign_weight_that_is_higher(bench: impl Bench) {
    for rule in bench.route().rules() {
        bench.foreign_write(rule, 1, 3);
    }
    written(bench.router(), &bench.route(), &back(Weight::ZERO)).await;
    assert_eq!(shares(&bench), both(Weight::ZERO));
}

async fn a_step_back_never_raises_what_somebody_lowered(bench: impl Bench) {
    for rule in bench.route().rules() {
        bench.foreign_write(rule, 97, 3);
    }
    let change = SetWeight { ours: vec![percent(25), percent(50)], ..back(percent(25)) };
    assert_eq!(kinds(&write(&bench, &change).await), ["foreign"; 2]);
    assert_eq!(shares(&bench), both(percent(3)));
}

async fn a_write_whose_answer_was_lost_heals_by_writing_again(bench: impl Bench) {
    bench.lose_answers(2);
    let change = forward(percent(10), &[Weight::ZERO]);
    assert_eq!(kinds(&write(&bench, &change).await), ["lost"; 2]);
    assert_eq!(shares(&bench), both(percent(10)), "it had been applied");
    assert_eq!(kinds(&write(&bench, &change).await), ["already there"; 2]);
}

async fn a_refused_write_says_so_and_changes_nothing(bench: impl Bench) {
    bench.refuse_writes(true);
    assert_eq!(kinds(&write(&bench, &forward(percent(10), &[Weight::ZERO])).await), ["refused"; 2]);
    assert_eq!(shares(&bench), both(Weight::ZERO));
    bench.refuse_writes(false);
    written(bench.router(), &bench.route(), &forward(percent(10), &[Weight::ZERO])).await;
}

async fn what_cannot_be_read_is_not_written(bench: impl Bench) {
    bench.unreadable(true);
    assert_eq!(bench.router().read(&bench.route()).await.unwrap_err().kind, TroubleKind::Refused);
    assert_eq!(kinds(&write(&bench, &back(Weight::ZERO)).await), ["refused"; 2]);
    assert_eq!(kinds(&write(&bench, &forward(percent(10), &[Weight::ZERO])).await), ["refused"; 2]);
    assert_eq!(bench.applied(), 0);
}

async fn a_rule_that_is_gone_does_not_keep_the_others_from_a_rollback(bench: impl Bench) {
    written(bench.router(), &bench.route(), &forward(percent(50), &[Weight::ZERO])).await;
    let rules = bench.route().rules().to_vec();
    bench.delete(&rules[1]);
    assert!(bench.router().read(&bench.route()).await.is_err(), "all rules or an error");
    let mut outcomes = kinds(&write(&bench, &back(Weight::ZERO)).await);
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["refused", "written"]);
    assert_eq!(bench.live(&rules[0]), (100, 0));
}

async fn stickiness_is_kept_switched_off_and_restored(bench: impl Bench) {
    let rules = bench.route().rules().to_vec();
    bench.foreign_stickiness(&rules[0], 600);
    written(bench.router(), &bench.route(), &forward(percent(50), &[Weight::ZERO])).await;
    let sticky = |seen: Vec<RuleSeen>| seen.into_iter().map(|rule| rule.sticky_seconds).collect::<Vec<_>>();
    assert_eq!(sticky(seen(&bench).await), [Some(600), None], "kept");
    let structures: Vec<String> = seen(&bench).await.into_iter().map(|rule| rule.structure).collect();
    let off = SetWeight { stickiness: Stickiness::Off, ..back(Weight::ZERO) };
    assert_eq!(kinds(&write(&bench, &off).await), ["written"; 2]);
    assert_eq!(sticky(seen(&bench).await), [None, None]);
    assert_eq!(shares(&bench), both(Weight::ZERO));
    let restore = SetWeight { stickiness: Stickiness::Restore(vec![(rules[0].clone(), 600)]), ..off };
    assert_eq!(kinds(&write(&bench, &restore).await), ["already there"; 2]);
    assert_eq!(sticky(seen(&bench).await), [Some(600), None]);
    let after: Vec<String> = seen(&bench).await.into_iter().map(|rule| rule.structure).collect();
    assert_eq!(structures, after, "stickiness is no part of the structure");
}

async fn a_refused_change_of_stickiness_does_not_undo_the_weight(bench: impl Bench) {
    let rules = bench.route().rules().to_vec();
    for rule in &rules {
        bench.foreign_stickiness(rule, 600);
    }
    written(bench.router(), &bench.route(), &forward(percent(50), &[Weight::ZERO])).await;
    bench.refuse_stickiness();
    let off = SetWeight { stickiness: Stickiness::Off, ..back(Weight::ZERO) };
    let mut outcomes = kinds(&write(&bench, &off).await);
    outcomes.sort_unstable();
    assert_eq!(outcomes, ["stickiness refused", "stickiness refused", "written", "written"]);
    assert_eq!(shares(&bench), both(Weight::ZERO));
}

async fn a_stale_read_shows_the_weight_before_and_then_the_new_one(bench: impl Bench) {
    written(bench.router(), &bench.route(), &forward(percent(10), &[Weight::ZERO])).await;
    bench.stale_read(false);
    written(bench.router(), &bench.route(), &forward(percent(25), &[percent(10)])).await;
    bench.stale_read(true);
    let shown = |seen: Vec<RuleSeen>| seen.iter().map(RuleSeen::share).collect::<Vec<_>>();
    assert_eq!(shown(seen(&bench).await), both(percent(10)));
    assert_eq!(shown(seen(&bench).await), both(percent(25)));
}

async fn marks_are_set_and_taken_away_and_those_of_others_stay(bench: impl Bench) {
    let rules = bench.route().rules().to_vec();
    let (router, route) = (bench.router(), bench.route());
    router.claim(&route, "us").await.unwrap();
    router.claim(&route, "us").await.unwrap();
    assert!(rules.iter().all(|rule| bench.owner(rule).as_deref() == Some("us")));
    let inspection = router.inspect(&route, "us").await.unwrap();
    assert!(inspection.findings.iter().all(|finding| finding.code != "foreign_owner"), "{inspection:?}");
    router.release(&route, "somebody else").await.unwrap();
    assert!(rules.iter().all(|rule| bench.owner(rule).as_deref() == Some("us")), "only our own mark");
    router.release(&route, "us").await.unwrap();
    assert!(rules.iter().all(|rule| bench.owner(rule).is_none()));
    bench.owned_by(&rules[1], "them").await;
    assert_eq!(router.claim(&route, "us").await.unwrap_err().kind, TroubleKind::Refused);
    assert_eq!(bench.owner(&rules[1]).as_deref(), Some("them"));
    let inspection = router.inspect(&route, "us").await.unwrap();
    assert_eq!(inspection.findings[0].code, "foreign_owner");
}

async fn targets_are_counted_by_state(bench: impl Bench) {
    let fleet = |healthy, unhealthy| FleetHealth { healthy, unhealthy, ..FleetHealth::default() };
    let health = bench.router().health(&bench.route()).await.unwrap();
    assert_eq!((health.blue, health.green), (fleet(2, 0), fleet(2, 0)));
    bench.unhealthy_green();
    let health = bench.router().health(&bench.route()).await.unwrap();
    assert_eq!((health.blue, health.green), (fleet(2, 0), fleet(0, 2)));
}

macro_rules! contract {
    ($($test:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test] async fn $test() { super::$test(<super::Memory as super::Bench>::start().await).await; })*
        }
        mod alb {
            $(#[tokio::test] async fn $test() { super::$test(<super::Alb as super::Bench>::start().await).await; })*
        }
    };
}

contract!(
    rules_are_read_in_the_routes_order,
    every_weight_is_reached_on_every_rule_and_read_back,
    writing_twice_is_the_same_as_once,
    a_raise_leaves_a_foreign_weight_alone,
    a_raise_leaves_changed_actions_alone,
    a_rollback_goes_over_a_foreign_weight_that_is_higher,
    a_step_back_never_raises_what_somebody_lowered,
    a_write_whose_answer_was_lost_heals_by_writing_again,
    a_refused_write_says_so_and_changes_nothing,
    what_cannot_be_read_is_not_written,
    a_rule_that_is_gone_does_not_keep_the_others_from_a_rollback,
    stickiness_is_kept_switched_off_and_restored,
    a_refused_change_of_stickiness_does_not_undo_the_weight,
    a_stale_read_shows_the_weight_before_and_then_the_new_one,
    marks_are_set_and_taken_away_and_those_of_others_stay,
    targets_are_counted_by_state,
);
