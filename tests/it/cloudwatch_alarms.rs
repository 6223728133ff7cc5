//! Alarms, through the CloudWatch adapter and the AWS stand-in.

use greenshift::domain::observation::{AlarmSeen, AlarmState, Seen, TroubleKind};
use greenshift::metric_provider::MetricProvider;

use crate::aws_stand_in::Fault;
use crate::aws_stand_in::world::Alarm;
use crate::cloudwatch::Bench;

fn set(bench: &Bench, name: &str, state: &str, composite: bool) {
    let alarm = Alarm { state: state.to_owned(), reason: String::new(), composite };
    bench.aws.with(|world| world.world.alarms.insert(name.to_owned(), alarm));
}

async fn states(bench: &Bench, names: &[String]) -> Vec<AlarmState> {
    let seen = bench.cloudwatch.alarms(names).await;
    let Seen::Read(alarms) = seen else { panic!("{seen:?}") };
    assert!(alarms.iter().map(|alarm| &alarm.name).eq(names), "in the order of the names");
    alarms.iter().map(|alarm: &AlarmSeen| alarm.state).collect()
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test]
async fn every_state_of_simple_and_composite_alarms_is_read() {
    let bench = Bench::start().await;
    set(&bench, "fine", "OK", false);
    set(&bench, "firing", "ALARM", false);
    set(&bench, "new", "INSUFFICIENT_DATA", false);
    set(&bench, "all", "ALARM", true);
    set(&bench, "not-asked", "ALARM", false);
    let names = owned(&["firing", "nowhere", "all", "fine", "new", "fine"]);
    let expected = [
        AlarmState::Alarm,
        AlarmState::Missing,
        AlarmState::Alarm,
        AlarmState::Ok,
        AlarmState::InsufficientData,
        AlarmState::Ok,
    ];
    assert_eq!(states(&bench, &names).await, expected);
    assert_eq!(bench.aws.count("DescribeAlarms"), 1);
}

#[tokio::test]
async fn more_than_100_alarms_take_more_than_one_call() {
    let bench = Bench::start().await;
    let names: Vec<String> = (0..250).map(|number| format!("alarm-{number:03}")).collect();
    for (number, name) in names.iter().enumerate() {
        set(&bench, name, if number % 7 == 0 { "ALARM" } else { "OK" }, number % 2 == 0);
    }
    let states = states(&bench, &names).await;
    for (number, state) in states.into_iter().enumerate() {
        assert_eq!(state == AlarmState::Alarm, number % 7 == 0, "{number} {state:?}");
        assert_ne!(state, AlarmState::Missing);
    }
    assert_eq!(bench.aws.count("DescribeAlarms"), 3);
}

#[tokio::test]
async fn an_arn_finds_the_alarm_in_its_region() {
    let bench = Bench::start().await;
    set(&bench, "firing", "ALARM", false);
    let names = owned(&["arn:aws:cloudwatch:eu-west-1:123456789012:alarm:firing", "firing"]);
    assert_eq!(states(&bench, &names).await, [AlarmState::Alarm, AlarmState::Alarm]);
}

#[tokio::test]
async fn alarms_that_cannot_be_read_are_neither_good_nor_missing() {
    let bench = Bench::start().await;
    set(&bench, "fine", "OK", false);
    for (fault, kind) in [
        (Fault::Throttle, TroubleKind::Transient),
        (Fault::Hang, TroubleKind::Transient),
        (Fault::Unavailable, TroubleKind::Transient),
        (Fault::AccessDenied, TroubleKind::Refused),
    ] {
        bench.aws.set_fault("DescribeAlarms", fault.clone());
        let seen = bench.cloudwatch.alarms(&owned(&["fine"])).await;
        assert_eq!(seen.trouble().map(|trouble| trouble.kind), Some(kind), "{fault:?}");
        bench.aws.clear_faults();
    }
    set(&bench, "odd", "NOVELTY", false);
    assert!(bench.cloudwatch.alarms(&owned(&["fine", "odd"])).await.trouble().is_some());
}

#[tokio::test]
async fn no_names_need_no_call() {
    let bench = Bench::start().await;
    assert_eq!(bench.cloudwatch.alarms(&[]).await, Seen::Read(Vec::new()));
    assert_eq!(bench.aws.count("DescribeAlarms"), 0);
}
