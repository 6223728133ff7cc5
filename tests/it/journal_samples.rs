//! Events that were written once are read for ever: a sample of every event in every version is committed under
//! `journal_samples/`. A file there is never changed, only added to.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use greenshift::domain::event::{Cause, CauseCode, Event, NoticeLevel, Verdict};
use greenshift::domain::hold::{Hold, HoldReason};
use greenshift::domain::ids::{Arn, RolloutName};
use greenshift::domain::observation::{
    AlarmSeen, AlarmState, FleetHealth, HealthSeen, LatencySeen, Period, RuleSeen, SideCounts,
};
use greenshift::domain::phase::Phase;
use greenshift::domain::plan::{
    AlbRoute, Analysis, Check, Fallback, HealthPolicy, OnDrift, Plan, Question, Route, Spec, Step, Tolerance,
};
use greenshift::domain::preflight::{Finding, Inspection, Severity};
use greenshift::domain::request::Ask;
use greenshift::domain::schedule::{Schedule, Window};
use greenshift::domain::time::Span;
use greenshift::domain::weight::Weight;
use greenshift::journal::codec::{self, Stored, Undecodable};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The samples of one event in one version.
#[derive(Serialize, Deserialize)]
struct Samples {
    #[serde(rename = "type")]
    kind: String,
    version: u32,
    bodies: Vec<serde_json::Value>,
}

impl Samples {
    fn stored(&self) -> impl Iterator<Item = Stored> {
        let stored = |body: &serde_json::Value| Stored {
            kind: self.kind.clone().into(),
            version: self.version,
            body: body.to_string(),
        };
        self.bodies.iter().map(stored)
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/journal_samples")
}

fn read(path: &Path) -> Samples {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn committed() -> Vec<(PathBuf, Samples)> {
    let entries = |folder: &Path| {
        let mut paths: Vec<_> = folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let files = entries(&folder()).into_iter().flat_map(|version| entries(&version));
    files.map(|path| (path.clone(), read(&path))).collect()
}

#[test]
fn every_event_has_a_committed_sample_in_the_form_that_is_written() {
    let mut written: BTreeMap<&str, Samples> = BTreeMap::new();
    for event in every_event() {
        let Stored { kind: _, version, body } = codec::encode(&event).unwrap();
        let kind = codec::kind(&event);
        let empty = Samples { kind: kind.to_owned(), version, bodies: vec![] };
        written.entry(kind).or_insert(empty).bodies.push(serde_json::from_str(&body).unwrap());
    }
    for (kind, due) in written {
        let path = folder().join(format!("v{}/{kind}.json", due.version));
        let empty = Samples { kind: kind.to_owned(), version: due.version, bodies: vec![] };
        let mut found = if path.exists() { read(&path) } else { empty };
        let missing: Vec<_> = due.bodies.into_iter().filter(|body| !found.bodies.contains(body)).collect();
        if !missing.is_empty() && std::env::var_os("ADD_SAMPLES").is_some() {
            found.bodies.extend(missing);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, serde_json::to_string_pretty(&found).unwrap() + "\n").unwrap();
            continue;
        }
        assert!(
            missing.is_empty(),
            "{} lacks samples. If the form of an event changed, raise its version in codec.rs; then run this test with \
             ADD_SAMPLES=1 and commit what it adds. Missing: {:#}",
            path.display(),
            serde_json::Value::Array(missing)
        );
    }
}

#[test]
fn every_committed_sample_is_still_read() {
    let committed = committed();
    assert!(committed.len() >= 21, "{} files", committed.len());
    for (path, samples) in committed {
        assert!(path.ends_with(format!("v{}/{}.json", samples.version, samples.kind)), "{}", path.display());
        assert!(!samples.bodies.is_empty(), "{}", path.display());
        for stored in samples.stored() {
            let event = codec::decode(&stored).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let again = codec::encode(&event).unwrap();
            if stored.version == again.version {
                assert_eq!(again, stored, "{}: nothing may be dropped or renamed", path.display());
            }
        }
    }
}

#[test]
fn every_event_of_every_version_has_samples() {
    let newest: BTreeMap<&str, u32> = every_event()
        .iter()
        .map(|event| (codec::kind(event), codec::version_written(codec::kind(event)).unwrap()))
        .collect();
    assert_eq!(newest.len(), 21);
    for (kind, newest) in newest {
        for version in 1..=newest {
            assert!(folder().join(format!("v{version}/{kind}.json")).exists(), "{kind} version {version}");
        }
    }
}

#[test]
fn an_event_from_the_future_says_what_to_do() {
    let stored =
        |kind: &str, version, body: &str| Stored { kind: kind.to_owned().into(), version, body: body.to_owned() };
    let unknown = codec::decode(&stored("teleported", 1, "null")).unwrap_err();
    assert!(matches!(unknown, Undecodable::UnknownKind { .. }));
    assert!(unknown.to_string().contains("`teleported`"), "{unknown}");
    assert!(unknown.to_string().contains("run that version or a later one"), "{unknown}");

    let newer = codec::decode(&stored("drift_cleared", 7, "null")).unwrap_err();
    assert!(matches!(newer, Undecodable::Newer { found: 7, newest: 1, .. }));
    assert!(newer.to_string().contains("version 7"), "{newer}");
    assert!(newer.to_string().contains("run that version or a later one"), "{newer}");
}

#[test]
fn a_damaged_event_is_never_read_as_another() {
    for body in ["", "{", "null", "{}", r#"{"weight":"101%"}"#, r#"{"weight":"1"#, r#"{"weight":5}"#] {
        let stored = Stored { kind: "weight_confirmed".into(), version: 1, body: body.to_owned() };
        let damaged = codec::decode(&stored).unwrap_err();
        assert!(matches!(damaged, Undecodable::Damaged { .. }), "{body}: {damaged}");
        assert!(damaged.to_string().contains("restore the database from a backup"), "{damaged}");
    }
}

/// Every value of an enum without data; does not compile when one is left out.
macro_rules! every {
    ($kind:ident: $($variant:ident)*) => {{
        const fn look(value: $kind) -> $kind {
            match value { $($kind::$variant => value),* }
        }
        [$(look($kind::$variant)),*]
    }};
}

/// Samples of every variant, with every value of every enum in them. When a variant is added this does not compile
/// until it has a place in the chain, and the test fails until its sample is committed.
fn every_event() -> Vec<Event> {
    let mut events = created();
    loop {
        let next = match events.last().unwrap() {
            Event::Created(_) => requested(),
            Event::Requested { .. } => plans(),
            Event::PlanChanged(_) => vec![Event::AttemptStarted { attempt: 2, phase: Phase::Preflight }],
            Event::AttemptStarted { .. } => phases(),
            Event::PhaseChanged { .. } => inspected(),
            Event::Inspected(_) => vec![Event::BaselineTaken { rules: rules(), health: health() }],
            Event::BaselineTaken { .. } => vec![Event::FindingWaived { code: "sticky_sessions".to_owned() }],
            Event::FindingWaived { .. } => intended(),
            Event::WeightIntended { .. } => vec![Event::WeightConfirmed { weight: weight("0.5%") }],
            Event::WeightConfirmed { .. } => {
                vec![Event::StepPassed { step: 1, cause: Cause::new(CauseCode::Proven, "errors 0.1% against 0.1%") }]
            }
            Event::StepPassed { .. } => metrics(),
            Event::MetricsRead { .. } => verdicts(),
            Event::VerdictChanged { .. } => vec![Event::HealthChanged(health())],
            Event::HealthChanged(_) => alarms(),
            Event::AlarmsChanged(_) => {
                vec![Event::DriftFound { found: rules(), detail: "blue 70, green 30".to_owned() }]
            }
            Event::DriftFound { .. } => vec![Event::DriftCleared],
            Event::DriftCleared => vec![Event::Reasserted { weight: Weight::ZERO }],
            Event::Reasserted { .. } => {
                vec![Event::StickinessIntended { off: true, rules: vec![(listener(), 3600), (listener_rule(), 0)] }]
            }
            Event::StickinessIntended { .. } => holds(),
            Event::HoldChanged(_) => notices(),
            Event::NoticeRaised { .. } => return events,
        };
        events.extend(next);
    }
}

fn created() -> Vec<Event> {
    let labels = [("team", "payments"), ("env", "prod")].map(|(key, value)| (key.to_owned(), value.to_owned()));
    let route = Route::Alb(AlbRoute {
        rules: vec![listener(), listener_rule()],
        blue_target_group: Arn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0011"),
        green_target_group: Arn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/green/2233"),
    });
    let name = RolloutName::parse("payments-hsm").unwrap();
    let least = Spec { name, labels: BTreeMap::new(), route, plan: Plan::standard() };
    let full = Spec { labels: labels.into(), plan: full_plan(), ..least.clone() };
    [least, full].map(|spec| Event::Created(Box::new(spec))).to_vec()
}

fn full_plan() -> Plan {
    let tolerance = Tolerance { ratio: 1.25, extra: 0.001, ceiling: Some(0.02), risk: 0.01, effect: 0.002 };
    let every_question = |last: &Question| match last {
        Question::Errors(_) => Some(Question::ClientErrors(Tolerance::CLIENT_ERRORS)),
        Question::ClientErrors(_) => Some(Question::Latency(Tolerance::LATENCY)),
        Question::Latency(_) => Some(Question::Alarms { names: vec!["hsm-unreachable".to_owned()] }),
        Question::Alarms { .. } => None,
    };
    let questions = std::iter::successors(Some(Question::Errors(tolerance)), every_question);
    let checks = questions.enumerate().map(|(number, question)| Check { name: format!("check-{number}"), question });
    let [rollback, pause] = every!(Fallback: Rollback Pause);
    Plan {
        steps: vec![
            Step { approval: true, ..Step::new(weight("0.5%")) },
            Step { hold_min: Span::from_millis(1500), hold_max: Span::from_mins(90), ..Step::new(Weight::FULL) },
        ],
        bake: Span::ZERO,
        bake_at: weight("99%"),
        health: HealthPolicy { min_healthy_targets: 2, ..HealthPolicy::standard() },
        analysis: Analysis { checks: checks.collect(), ..Analysis::standard() },
        on_failure: pause,
        on_inconclusive: rollback,
        schedule: Schedule {
            start_at: Some(moment(0)),
            windows: vec![Window {
                days: vec![1, 5],
                from: "09:00".parse().unwrap(),
                to: "16:30:15".parse().unwrap(),
                tz: "Europe/London".to_owned(),
            }],
        },
        ..Plan::standard()
    }
}

fn plans() -> Vec<Event> {
    let each = every!(OnDrift: Hold Reassert Adopt);
    each.map(|on_drift| Event::PlanChanged(Box::new(Plan { on_drift, ..full_plan() }))).to_vec()
}

fn requested() -> Vec<Event> {
    let next = |last: &Ask| match last {
        Ask::Pause => Some(Ask::Resume),
        Ask::Resume => Some(Ask::Promote { expected_step: Some(2), full: false }),
        Ask::Promote { full: false, .. } => Some(Ask::Promote { expected_step: None, full: true }),
        Ask::Promote { .. } => Some(Ask::Approve { expected_step: Some(1) }),
        Ask::Approve { .. } => Some(Ask::Abort),
        Ask::Abort => Some(Ask::Rollback { force: true }),
        Ask::Rollback { .. } => Some(Ask::Retry),
        Ask::Retry => Some(Ask::StepBack),
        Ask::StepBack => Some(Ask::Waive { code: "shared_groups".to_owned() }),
        Ask::Waive { .. } => Some(Ask::Change { plan: Box::new(full_plan()) }),
        Ask::Change { .. } => None,
    };
    let asks = std::iter::successors(Some(Ask::Pause), next);
    asks.map(|ask| Event::Requested { ask, reason: "ticket 4711: „grün“ wins".to_owned() }).collect()
}

fn phases() -> Vec<Event> {
    let causes = every!(CauseCode:
        Plan Proven Person Failing Inconclusive NoData CommonCause LoadBalancerErrors External BlueUnhealthy Refused
        Deadline PreflightPassed BakeOver BackOnBlue Adopted);
    let from = Phase::ALL.iter().cycle();
    let to = Phase::ALL.iter().cycle().skip(1);
    let changes = causes.into_iter().zip(from.zip(to));
    changes
        .map(|(code, (from, to))| Event::PhaseChanged { from: *from, to: *to, cause: Cause::new(code, "2 of 3") })
        .collect()
}

fn inspected() -> Vec<Event> {
    let [blocking, warning, info] = every!(Severity: Blocking Warning Info);
    let finding = |severity| Finding {
        code: "no_healthy_green_targets".to_owned(),
        severity,
        what: "0 of 2 targets are healthy".to_owned(),
        remedy: "start the fleet".to_owned(),
    };
    let findings = vec![finding(blocking), finding(warning), finding(info)];
    let full = Inspection { findings, shared_groups: true, sticky_seconds: Some(86_400) };
    vec![Event::Inspected(Inspection::default()), Event::Inspected(full)]
}

fn intended() -> Vec<Event> {
    let cause = Cause::new(CauseCode::Plan, "step 1 of 5");
    vec![
        Event::WeightIntended { weight: weight("10%"), step: Some(0), cause: cause.clone() },
        Event::WeightIntended { weight: Weight::ZERO, step: None, cause },
    ]
}

fn metrics() -> Vec<Event> {
    let latency = Some(LatencySeen { p50: 0.012_345_678_9, p90: 0.1, p99: 1e-9 });
    let green = SideCounts { requests: 100, errors: 3, client_errors: 7, latency, healthy_min: Some(2) };
    let bare = SideCounts { requests: u64::MAX, ..SideCounts::default() };
    let full = Period { start: moment(60), blue: bare, green, load_balancer_errors: 4 };
    let quiet = Period { load_balancer_errors: 0, green: SideCounts::default(), ..full };
    vec![
        Event::MetricsRead { periods: vec![full, quiet], unchanged: vec![moment(0)] },
        Event::MetricsRead { periods: vec![], unchanged: vec![] },
    ]
}

fn verdicts() -> Vec<Event> {
    let verdicts = every!(Verdict: Passing Failing Inconclusive);
    verdicts
        .map(|verdict| Event::VerdictChanged {
            check: "errors".to_owned(),
            verdict,
            reason: "undecided".to_owned(),
            detail: "1.2 of 2.9".to_owned(),
        })
        .to_vec()
}

fn alarms() -> Vec<Event> {
    let states = every!(AlarmState: Ok Alarm InsufficientData Missing);
    vec![Event::AlarmsChanged(states.map(|state| AlarmSeen { name: "cpu".to_owned(), state }).to_vec())]
}

fn holds() -> Vec<Event> {
    let reasons = every!(HoldReason:
        Finished RollingBack Halted RouteUnreadable Drift Paused NotStarted Preflight Applying GreenUnhealthy
        BlueUnhealthy NoData CommonCause Suspect LoadBalancerErrors AlarmsUnreadable MinimumHold Inconclusive
        AwaitingApproval Window Frozen Baking);
    let mut holds = vec![Event::HoldChanged(None)];
    holds.push(Event::HoldChanged(Some(Hold::until(HoldReason::Window, "opens on Monday", moment(3600)))));
    holds.extend(reasons.map(|reason| Event::HoldChanged(Some(Hold::new(reason, "because")))));
    holds
}

fn notices() -> Vec<Event> {
    let levels = every!(NoticeLevel: Info Warning Page);
    levels.map(|level| Event::NoticeRaised { level, text: "blue has lost 2 targets".to_owned() }).to_vec()
}

fn rules() -> Vec<RuleSeen> {
    let listener = RuleSeen {
        rule: listener(),
        blue: 90,
        green: 10,
        green_attached: true,
        structure: "5f1d7a84db00d2fc".to_owned(),
        sticky_seconds: Some(3600),
    };
    let rule =
        RuleSeen { rule: listener_rule(), green: 0, green_attached: false, sticky_seconds: None, ..listener.clone() };
    vec![listener, rule]
}

fn health() -> HealthSeen {
    let blue = FleetHealth { healthy: 1, unhealthy: 2, initial: 3, draining: 4, unused: 5, unavailable: 6 };
    HealthSeen { blue, green: FleetHealth::default() }
}

fn listener() -> Arn {
    Arn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener/app/web/0123/4567")
}

fn listener_rule() -> Arn {
    Arn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/0123/4567/89ab")
}

fn weight(text: &str) -> Weight {
    Weight::parse(text).unwrap()
}

fn moment(second: i64) -> Timestamp {
    Timestamp::from_second(1_774_000_000 + second).unwrap()
}
