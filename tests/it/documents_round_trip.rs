//! What is rendered reads back as the same.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use greenshift::config::rollout::{parse, render, schema};
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::plan::{
    AlbRoute, Analysis, Check, Fallback, HealthPolicy, OnDrift, Plan, Question, Route, Spec, Step, Tolerance,
};
use greenshift::domain::schedule::{Schedule, Window};
use greenshift::domain::time::Span;
use greenshift::domain::weight::Weight;
use jiff::Timestamp;
use jiff::civil::Time;
use proptest::prelude::*;

const HOME: &str = "arn:aws:elasticloadbalancing:eu-west-1:123456789012";

fn seconds(range: std::ops::Range<u32>) -> impl Strategy<Value = Span> {
    range.prop_map(Span::from_secs)
}

fn weight(range: std::ops::RangeInclusive<u16>) -> impl Strategy<Value = Weight> {
    range.prop_map(|tenths| Weight::from_tenths(tenths).unwrap())
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let holds = (seconds(0..3600), seconds(3600..90_000), any::<bool>());
    prop::collection::btree_map(weight(1..=999), holds, 0..12).prop_map(|inner| {
        let step = |(weight, (hold_min, hold_max, approval))| Step { weight, hold_min, hold_max, approval };
        let last = Step::new(Weight::FULL);
        inner.into_iter().map(step).chain([last]).collect()
    })
}

fn share(range: std::ops::RangeInclusive<f64>) -> impl Strategy<Value = f64> {
    range.prop_map(|share| (share * 1e9).round() / 1e9)
}

fn tolerance() -> impl Strategy<Value = Tolerance> {
    let ceiling = prop::option::of(share(0.0001..=1.0));
    (1.0..=100.0, share(0.0..=0.99), ceiling, share(0.0001..=0.5), share(0.0001..=0.1))
        .prop_map(|(ratio, extra, ceiling, risk, effect)| Tolerance { ratio, extra, ceiling, risk, effect })
}

fn question() -> impl Strategy<Value = Question> {
    prop_oneof![
        tolerance().prop_map(Question::Errors),
        tolerance().prop_map(Question::ClientErrors),
        tolerance().prop_map(Question::Latency),
        prop::collection::btree_set("[ -~äß]{1,20}", 1..4)
            .prop_map(|names| Question::Alarms { names: names.into_iter().collect() }),
    ]
}

fn analysis() -> impl Strategy<Value = Analysis> {
    let interval = prop_oneof![Just(1_u32), Just(5), Just(10), Just(30), (1_u32..=10).prop_map(|minutes| minutes * 60)];
    let checks = prop::collection::btree_map("[a-z0-9]([a-z0-9_-]{0,20}[a-z0-9])?", question(), 1..5);
    (interval, seconds(0..200), checks).prop_map(|(interval, settle, checks)| Analysis {
        interval: Span::from_secs(interval),
        settle,
        checks: checks.into_iter().map(|(name, question)| Check { name, question }).collect(),
    })
}

fn schedule() -> impl Strategy<Value = Schedule> {
    let time = || (0_i8..24, 0_i8..60, 0_i8..60).prop_map(|(h, m, s)| Time::new(h, m, s, 0).unwrap());
    let zones = prop::sample::select(vec!["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu"]);
    let days = prop::collection::btree_set(1_i8..=7, 1..=7);
    let window = (days, time(), time(), zones).prop_map(|(days, from, to, tz)| Window {
        days: days.into_iter().collect(),
        from,
        to,
        tz: tz.to_owned(),
    });
    let start_at = (0_i64..4_000_000_000).prop_map(|second| Timestamp::from_second(second).unwrap());
    (prop::option::of(start_at), prop::collection::vec(window, 0..3))
        .prop_map(|(start_at, windows)| Schedule { start_at, windows })
}

fn route() -> impl Strategy<Value = Route> {
    prop::collection::btree_set("[0-9a-f]{16}", 1..5).prop_map(|ids| {
        let rule = |(index, id): (usize, String)| {
            if index == 0 {
                Arn::new(format!("{HOME}:listener/app/web/50dc6c495c0c9188/{id}"))
            } else {
                Arn::new(format!("{HOME}:listener-rule/app/web/50dc6c495c0c9188/f2f7dc8efc522ab2/{id}"))
            }
        };
        Route::Alb(AlbRoute {
            rules: ids.into_iter().enumerate().map(rule).collect(),
            blue_target_group: Arn::new(format!("{HOME}:targetgroup/hsm1/6d0ecf831eec9f09")),
            green_target_group: Arn::new(format!("{HOME}:targetgroup/hsm2/73e2d6bc24d8a067")),
        })
    })
}

fn fallback() -> impl Strategy<Value = Fallback> {
    prop_oneof![Just(Fallback::Rollback), Just(Fallback::Pause)]
}

fn plan() -> impl Strategy<Value = Plan> {
    let health = (1_u32..=100_000, weight(0..=1000), weight(0..=1000));
    let lengths = (seconds(0..10_000), seconds(0..10_000_000), seconds(1000..10_000), seconds(1..10_000));
    let fallbacks = (fallback(), fallback(), fallback());
    let on_drift = prop_oneof![Just(OnDrift::Hold), Just(OnDrift::Reassert), Just(OnDrift::Adopt)];
    (steps(), lengths, health, analysis(), fallbacks, on_drift, schedule()).prop_map(
        |(steps, lengths, health, analysis, fallbacks, on_drift, schedule)| Plan {
            steps,
            bake: lengths.0,
            bake_at: Weight::FULL,
            rollback_window: lengths.1,
            health: HealthPolicy { min_healthy_targets: health.0, min_healthy_ratio: health.1, blue_floor: health.2 },
            analysis,
            on_failure: fallbacks.0,
            on_inconclusive: fallbacks.1,
            on_no_data: fallbacks.2,
            no_data_timeout: lengths.2,
            common_cause_timeout: lengths.3,
            on_drift,
            schedule,
            deadline: Span::from_hours(72),
        },
    )
}

fn spec() -> impl Strategy<Value = Spec> {
    let labels = prop::collection::btree_map("[a-zA-Z0-9][a-zA-Z0-9._/-]{0,20}", "[ -~äß]{0,30}", 0..5);
    ("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", labels, route(), plan()).prop_map(|(name, labels, route, plan)| Spec {
        name: RolloutName::parse(&name).unwrap(),
        labels,
        route,
        plan,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn what_is_rendered_reads_back_as_the_same(mut spec in spec(), bake_tenth in 0.0_f64..=1.0) {
        // Anywhere above the last step but one.
        let before = spec.plan.steps.iter().rev().nth(1).map_or(0, |step| step.weight.tenths());
        let room = f64::from(999 - before) * bake_tenth;
        let above = format!("{room:.0}").parse::<u16>().unwrap();
        spec.plan.bake_at = Weight::from_tenths(1000 - above).unwrap();

        let document = render(&spec);
        let read = |text: &str| parse("rollout", text).map(|parsed| parsed.spec).map_err(|errors| errors.to_string());
        let from_json = read(&document.to_string());
        prop_assert_eq!(from_json.as_ref(), Ok(&spec));
        let yaml = serde_saphyr::to_string(&document).unwrap();
        prop_assert_eq!(read(&yaml), Ok(spec), "{}", yaml);
        prop_assert!(jsonschema::is_valid(&schema(), &document), "{}", document);
    }

    #[test]
    fn no_text_brings_the_reader_down(text in "[-{}\\[\\]:,&*!|>'\"%@`#a-z0-9 \\t\\n]{0,200}") {
        if let Err(errors) = parse("rollout", &text) {
            prop_assert!(errors.errors().count() > 0);
            for problem in errors.problems() {
                prop_assert!(problem.line() >= 1 && problem.column() >= 1);
                prop_assert!(problem.line() <= text.lines().count() + 1, "{}", problem);
            }
        }
    }
}
