//! The stand-in keeps CloudWatch's rules, and its traffic leaves the metrics that an ALB would publish.

use crate::aws_stand_in::random::{log_normal, poisson};
use crate::aws_stand_in::traffic::Overload;
use crate::aws_stand_in::world::{Alarm, dimension};
use crate::aws_stand_in::{AwsStandIn, Behaviour, BlueGreen, Edit, MetricKey, Publishing, Silence, Traffic, World};
use crate::aws_stand_in_rules::sdk;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::operation::get_metric_data::builders::GetMetricDataFluentBuilder;
use aws_sdk_cloudwatch::types::{
    AlarmType, Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, ScanBy, StateValue, StatusCode,
};
use aws_smithy_types::DateTime;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use rand::SeedableRng;
use rand::rngs::StdRng;

/// A whole minute.
const START: i64 = 1_800_000_000_000;
const MINUTE: i64 = 60_000;

struct Setup {
    aws: AwsStandIn,
    app: BlueGreen,
    client: Client,
}

async fn started() -> Setup {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start_at(world, START).await;
    let client = Client::new(&sdk(&aws).await);
    Setup { aws, app, client }
}

impl Setup {
    fn stat(&self, name: &str, group: Option<&str>, stat: &str, period: i32) -> MetricStat {
        let dimension = |name: &str, arn: &str| Dimension::builder().name(name).value(dimension(arn)).build();
        let metric = Metric::builder()
            .namespace("AWS/ApplicationELB")
            .metric_name(name)
            .set_dimensions(Some(group.iter().map(|group| dimension("TargetGroup", group)).collect()))
            .dimensions(dimension("LoadBalancer", &self.app.load_balancer));
        MetricStat::builder().metric(metric.build()).period(period).stat(stat).build()
    }

    /// The first ten minutes, newest first.
    fn request(&self, queries: Vec<(&str, MetricStat)>) -> GetMetricDataFluentBuilder {
        let query = |(id, stat): (&str, MetricStat)| MetricDataQuery::builder().id(id).metric_stat(stat).build();
        self.client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.into_iter().map(query).collect()))
            .start_time(DateTime::from_millis(START))
            .end_time(DateTime::from_millis(START + 10 * MINUTE))
    }

    async fn ask(&self, name: &str, group: Option<&str>, stat: &str) -> Vec<f64> {
        let request = self.request(vec![("q", self.stat(name, group, stat, 60))]);
        let answer = request.scan_by(ScanBy::TimestampAscending).send().await.unwrap();
        answer.metric_data_results()[0].values().to_vec()
    }

    async fn sums(&self, name: &str, group: &str) -> Vec<f64> {
        self.ask(name, Some(group), "Sum").await
    }

    fn key(&self, name: &str) -> MetricKey {
        let dimensions =
            [("LoadBalancer", dimension(&self.app.load_balancer)), ("TargetGroup", dimension(&self.app.blue))];
        MetricKey::alb(name, &dimensions)
    }

    /// A request that is refused.
    async fn refusal(&self, queries: Vec<(&str, MetricStat)>) -> Option<String> {
        let error = self.request(queries).send().await.unwrap_err();
        error.code().map(str::to_owned)
    }
}

#[tokio::test]
async fn statistics_come_from_the_values_of_each_period() {
    let setup = started().await;
    for (value, times) in [(0.1, 90.0), (0.2, 9.0), (5.0, 1.0)] {
        setup.aws.push(setup.key("TargetResponseTime"), START + 7_000, value, times);
    }
    let blue = Some(setup.app.blue.as_str());
    for (stat, expected) in [
        ("Sum", 15.8),
        ("SampleCount", 100.0),
        ("Average", 0.158),
        ("Minimum", 0.1),
        ("Maximum", 5.0),
        ("p50", 0.1),
        ("p99", 0.2),
        ("p99.9", 5.0),
    ] {
        let values = setup.ask("TargetResponseTime", blue, stat).await;
        assert!((values[0] - expected).abs() < 1e-9, "{stat}: {values:?}");
    }
}

#[tokio::test]
async fn dimensions_match_as_a_whole_set_in_any_order() {
    let setup = started().await;
    setup.aws.push(setup.key("RequestCount"), START, 1.0, 7.0);
    assert_eq!(setup.sums("RequestCount", &setup.app.blue).await, [7.0]);
    assert_eq!(setup.ask("RequestCount", None, "Sum").await, [0.0; 0]);
    assert_eq!(setup.sums("RequestCount", &setup.app.green).await, [0.0; 0]);
}

#[tokio::test]
async fn periods_begin_on_whole_minutes_and_the_end_is_left_out() {
    let setup = started().await;
    for minute in 0..4 {
        setup.aws.push(setup.key("RequestCount"), START + minute * MINUTE + 1_000, 1.0, 1.0);
    }
    let stat = setup.stat("RequestCount", Some(&setup.app.blue), "Sum", 60);
    let request = setup.request(vec![("q", stat)]);
    let request = request.start_time(DateTime::from_millis(START + 59_000));
    let answer = request.end_time(DateTime::from_millis(START + 2 * MINUTE)).send().await.unwrap();
    let expected = [DateTime::from_millis(START + MINUTE), DateTime::from_millis(START)];
    assert_eq!(answer.metric_data_results()[0].timestamps(), expected, "newest first by default");
}

#[tokio::test]
async fn what_cloudwatch_refuses_is_refused() {
    let setup = started().await;
    let blue = Some(setup.app.blue.as_str());
    let sum = || setup.stat("RequestCount", blue, "Sum", 60);
    let validation = Some("ValidationError".to_owned());
    assert_eq!(setup.refusal(vec![("Upper", sum())]).await, validation);
    assert_eq!(setup.refusal(vec![("q", sum()), ("q", sum())]).await, validation);
    assert_eq!(setup.refusal(vec![("q", setup.stat("RequestCount", blue, "Sum", 30))]).await, validation);
    assert_eq!(setup.refusal(vec![("q", setup.stat("RequestCount", blue, "Sum", 90))]).await, validation);
    assert_eq!(setup.refusal(vec![("q", setup.stat("RequestCount", blue, "Median", 60))]).await, validation);
    assert_eq!(setup.refusal(vec![]).await, Some("MissingParameter".to_owned()));
    let ids: Vec<String> = (0..501).map(|number| format!("q{number}")).collect();
    let many = |count: usize| ids[..count].iter().map(|id| (id.as_str(), sum())).collect();
    assert_eq!(setup.refusal(many(501)).await, validation);
    assert_eq!(setup.request(many(500)).send().await.unwrap().metric_data_results().len(), 500);
    let math = MetricDataQuery::builder().id("e").expression("q / 2").build();
    let math = setup.request(vec![("q", sum())]).metric_data_queries(math).send().await.unwrap_err();
    assert_eq!(math.code(), Some("ValidationError"));
    let backwards = setup.request(vec![("q", sum())]).end_time(DateTime::from_millis(START)).send().await;
    assert_eq!(backwards.unwrap_err().code(), Some("ValidationError"));
    setup.aws.settings(|settings| settings.high_resolution = true);
    let fine = setup.request(vec![("q", setup.stat("RequestCount", blue, "Sum", 5))]).send().await;
    assert!(fine.is_ok());
}

#[tokio::test]
async fn datapoints_come_in_pages() {
    let setup = started().await;
    for minute in 0..10 {
        setup.aws.push(setup.key("RequestCount"), START + minute * MINUTE, 1.0, minute as f64 + 1.0);
        setup.aws.push(setup.key("TargetConnectionErrorCount"), START + minute * MINUTE, 1.0, 1.0);
    }
    let blue = Some(setup.app.blue.as_str());
    let stats = vec![
        ("a", setup.stat("RequestCount", blue, "Sum", 60)),
        ("b", setup.stat("TargetConnectionErrorCount", blue, "Sum", 60)),
    ];
    let (mut token, mut pages, mut all) = (None, 0, Vec::new());
    loop {
        let request = setup.request(stats.clone()).max_datapoints(7).set_next_token(token);
        let answer = request.send().await.unwrap();
        all.extend(answer.metric_data_results().iter().flat_map(|result| result.values().to_vec()));
        pages += 1;
        token = answer.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
        let last = answer.metric_data_results().last().unwrap();
        assert_eq!(last.status_code(), Some(&StatusCode::PartialData));
    }
    assert_eq!((pages, all.len()), (3, 20));
    let odd = setup.request(stats).next_token("odd").send().await.unwrap_err();
    assert_eq!(odd.code(), Some("InvalidNextToken"));
}

#[tokio::test]
async fn a_result_can_be_partial_or_failed() {
    let setup = started().await;
    setup.aws.push(setup.key("RequestCount"), START, 1.0, 7.0);
    let blue = Some(setup.app.blue.as_str());
    let request = || setup.request(vec![("q", setup.stat("RequestCount", blue, "Sum", 60))]);
    let first = |results: &[MetricDataResult]| (results[0].status_code().cloned(), results[0].values().len());
    setup.aws.set_status("RequestCount", "PartialData");
    let partial = request().send().await.unwrap();
    assert_eq!(first(partial.metric_data_results()), (Some(StatusCode::PartialData), 1));
    setup.aws.set_status("q", "InternalError");
    let failed = request().send().await.unwrap();
    assert_eq!(first(failed.metric_data_results()), (Some(StatusCode::InternalError), 0));
}

#[tokio::test]
async fn an_unknown_alarm_is_missing_and_composite_alarms_must_be_asked_for() {
    let setup = started().await;
    for number in 0..60 {
        let alarm = Edit::SetAlarm { name: format!("alarm-{number:02}"), state: "OK".to_owned() };
        setup.aws.edit(&alarm);
    }
    let composite = Alarm { state: "ALARM".to_owned(), reason: String::new(), composite: true };
    setup.aws.with(|state| state.world.alarms.insert("both".to_owned(), composite));
    setup.aws.edit(&Edit::SetAlarm { name: "alarm-07".to_owned(), state: "ALARM".to_owned() });
    let pages = setup.client.describe_alarms().into_paginator().send();
    let pages = pages.collect::<Result<Vec<_>, _>>().await.unwrap();
    assert_eq!(pages.iter().map(|page| page.metric_alarms().len()).collect::<Vec<_>>(), [50, 10]);
    let named = setup.client.describe_alarms().alarm_names("alarm-07").alarm_names("none").alarm_names("both");
    let answer = named.clone().send().await.unwrap();
    assert_eq!(answer.metric_alarms().len(), 1);
    assert_eq!(answer.metric_alarms()[0].state_value(), Some(&StateValue::Alarm));
    assert!(answer.composite_alarms().is_empty());
    let both = named.alarm_types(AlarmType::CompositeAlarm).alarm_types(AlarmType::MetricAlarm).send().await.unwrap();
    assert_eq!(both.composite_alarms().len(), 1);
}

#[tokio::test]
async fn traffic_follows_the_live_weights_and_what_did_not_happen_is_absent() {
    let setup = started().await;
    let (aws, app) = (&setup.aws, &setup.app);
    aws.settings(|settings| settings.propagation_delay_ms = MINUTE);
    aws.traffic(Traffic::steady(&app.listener, 100.0, START));
    aws.behave(&app.green, &Behaviour::failing(0.2));
    aws.advance(MINUTE);
    let half = [(app.blue.clone(), 1), (app.green.clone(), 1)].into();
    aws.edit(&Edit::SetWeights { rule: app.listener.clone(), weights: half });
    aws.advance(2 * MINUTE);
    let blue = setup.sums("RequestCount", &app.blue).await;
    let green = setup.sums("RequestCount", &app.green).await;
    assert_eq!((blue.len(), green.len()), (3, 1), "green has no data while its weight has not arrived");
    assert!((blue[1] - 6000.0).abs() < 400.0 && (blue[2] - 3000.0).abs() < 300.0, "{blue:?}");
    let errors = setup.sums("HTTPCode_Target_5XX_Count", &app.green).await;
    assert!((errors[0] / green[0] - 0.2).abs() < 0.04, "{errors:?} of {green:?}");
    assert_eq!(setup.sums("HTTPCode_Target_3XX_Count", &app.blue).await, [0.0; 0]);
    let total = setup.ask("RequestCount", None, "Sum").await;
    assert!((total[2] - blue[2] - green[0]).abs() < 0.5);
    let median = setup.ask("TargetResponseTime", Some(&app.blue), "p50").await;
    assert!((median[0] - 0.05).abs() < 0.005, "{median:?}");
    assert_eq!(setup.ask("HealthyHostCount", Some(&app.blue), "Minimum").await, [2.0; 3]);
    assert_eq!(setup.ask("UnHealthyHostCount", Some(&app.green), "Maximum").await, [0.0; 3]);
}

#[tokio::test]
async fn requests_that_no_target_answers_are_the_load_balancers_errors() {
    let setup = started().await;
    let (aws, app) = (&setup.aws, &setup.app);
    aws.traffic(Traffic::steady(&app.listener, 100.0, START));
    aws.behave(&app.blue, &Behaviour { unanswered: 0.3, connection_errors: 0.1, ..Behaviour::default() });
    aws.advance(MINUTE);
    aws.edit(&Edit::SetTargets { group: app.blue.clone(), targets: Vec::new() });
    aws.advance(MINUTE);
    let requests = setup.sums("RequestCount", &app.blue).await;
    assert_eq!(requests.len(), 1, "an empty group counts no requests");
    let answered = setup.sums("HTTPCode_Target_2XX_Count", &app.blue).await[0];
    assert!(answered / requests[0] < 0.65, "{answered} of {requests:?}");
    let errors = setup.ask("HTTPCode_ELB_5XX_Count", None, "Sum").await;
    assert!((errors[0] / requests[0] - 0.4).abs() < 0.04 && (errors[1] - 6000.0).abs() < 400.0, "{errors:?}");
    let unconnected = setup.sums("TargetConnectionErrorCount", &app.blue).await;
    assert!((unconnected[0] / requests[0] - 0.1).abs() < 0.03, "{unconnected:?}");
}

#[tokio::test]
async fn a_group_can_fail_only_under_load_and_sticky_clients_stay() {
    let setup = started().await;
    let (aws, app) = (&setup.aws, &setup.app);
    let mut traffic = Traffic::steady(&app.listener, 100.0, START);
    traffic.sticky = Some((0.5, 10 * MINUTE));
    aws.traffic(traffic);
    let overload = Some(Overload { above: 0.4, errors_5xx: 0.5 });
    aws.behave(&app.green, &Behaviour { errors_5xx: 0.0, overload, ..Behaviour::default() });
    let all = [(app.blue.clone(), 0), (app.green.clone(), 1)].into();
    aws.edit(&Edit::SetWeights { rule: app.listener.clone(), weights: all });
    aws.advance(MINUTE);
    let green = setup.sums("RequestCount", &app.green).await;
    assert!((green[0] - 3000.0).abs() < 300.0, "half of the clients stay with blue: {green:?}");
    let errors = setup.sums("HTTPCode_Target_5XX_Count", &app.green).await;
    assert!((errors[0] / green[0] - 0.5).abs() < 0.05, "{errors:?}");
}

#[tokio::test]
async fn metrics_come_late_grow_later_fall_silent_and_flood() {
    let setup = started().await;
    let (aws, app) = (&setup.aws, &setup.app);
    let silence = |from: i64, flood: bool| Silence {
        from: START + from * MINUTE,
        to: START + (from + 1) * MINUTE,
        flood,
        metric: Some("RequestCount".to_owned()),
        group: Some(app.blue.clone()),
    };
    let mut traffic = Traffic::steady(&app.listener, 100.0, START);
    traffic.publishing = Publishing {
        lag_ms: 30_000,
        late_share: 0.25,
        late_ms: MINUTE,
        silences: vec![silence(2, false), Silence { to: START + 8 * MINUTE, ..silence(3, true) }],
        ..Publishing::default()
    };
    aws.traffic(traffic);
    aws.advance(MINUTE + 29_000);
    assert_eq!(setup.sums("RequestCount", &app.blue).await, [0.0; 0], "not before the lag is over");
    aws.advance(1_000);
    let early = setup.sums("RequestCount", &app.blue).await[0];
    aws.advance(MINUTE);
    let late = setup.sums("RequestCount", &app.blue).await[0];
    assert!((early / late - 0.75).abs() < 0.01, "{early} of {late}");
    aws.advance(4 * MINUTE);
    assert_eq!(setup.sums("RequestCount", &app.blue).await.len(), 2, "silent since the third minute");
    assert_eq!(setup.sums("HTTPCode_Target_2XX_Count", &app.blue).await.len(), 6);
    aws.advance(2 * MINUTE);
    assert_eq!(setup.sums("RequestCount", &app.blue).await.len(), 7, "all but the lost minute");
}

#[tokio::test]
async fn the_same_seed_leaves_the_same_metrics_however_often_one_looks() {
    let (one, other) = (started().await, started().await);
    for setup in [&one, &other] {
        setup.aws.traffic(Traffic::steady(&setup.app.listener, 50.0, START));
    }
    one.aws.advance(5 * MINUTE);
    for _ in 0..50 {
        other.aws.advance(6_000);
    }
    let counts = one.sums("RequestCount", &one.app.blue).await;
    assert_eq!(counts.len(), 5);
    assert_eq!(counts, other.sums("RequestCount", &other.app.blue).await);
    assert_ne!(counts[0], counts[1]);
}

#[test]
fn draws_have_the_mean_and_variance_of_their_distribution() {
    let mut rng = StdRng::seed_from_u64(3);
    for mean in [0.3, 5.0, 40.0, 9_000.0] {
        let draws: Vec<f64> = (0..20_000).map(|_| poisson(&mut rng, mean) as f64).collect();
        let average = draws.iter().sum::<f64>() / 20_000.0;
        let variance = draws.iter().map(|draw| (draw - average).powi(2)).sum::<f64>() / 20_000.0;
        assert!((average / mean - 1.0).abs() < 0.03, "mean {average} for {mean}");
        assert!((variance / mean - 1.0).abs() < 0.06, "variance {variance} for {mean}");
    }
    let mut latencies: Vec<f64> = (0..20_000).map(|_| log_normal(&mut rng, 0.2, 0.5)).collect();
    latencies.sort_by(f64::total_cmp);
    assert!((latencies[10_000] / 0.2 - 1.0).abs() < 0.03);
    // the 97.7th percentile lies two standard deviations up
    assert!((latencies[19_545] / (0.2 * 1.0_f64.exp()) - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn cloudwatch_also_speaks_the_query_protocol() {
    let setup = started().await;
    setup.aws.push(setup.key("RequestCount"), START, 1.0, 7.0);
    let metric = "MetricDataQueries.member.1.MetricStat.Metric";
    let blue = dimension(&setup.app.blue);
    let balancer = dimension(&setup.app.load_balancer);
    let form = format!(
        "Action=GetMetricData&Version=2010-08-01&StartTime=2027-01-15T08:00:00Z&EndTime=2027-01-15T08:05:00Z\
         &MetricDataQueries.member.1.Id=q&{metric}.Namespace=AWS/ApplicationELB&{metric}.MetricName=RequestCount\
         &{metric}.Dimensions.member.1.Name=TargetGroup&{metric}.Dimensions.member.1.Value={blue}\
         &{metric}.Dimensions.member.2.Name=LoadBalancer&{metric}.Dimensions.member.2.Value={balancer}\
         &MetricDataQueries.member.1.MetricStat.Period=60&MetricDataQueries.member.1.MetricStat.Stat=Sum"
    );
    let http = reqwest::Client::builder().timeout(std::time::Duration::from_secs(5)).build().unwrap();
    let answer = http.post(setup.aws.endpoint()).body(form).send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("<Timestamps><member>2027-01-15T08:00:00.000Z</member></Timestamps>"), "{answer}");
    assert!(answer.contains("<Values><member>7.0</member></Values>"), "{answer}");
    let odd = "Action=GetMetricData&Version=2010-08-01&EndTime=2027-01-15T08:05:00Z";
    let refused = http.post(setup.aws.endpoint()).body(odd).send().await.unwrap();
    assert_eq!(refused.status(), 400);
    assert!(refused.text().await.unwrap().contains("<Code>MissingParameter</Code>"));
}
