//! Which series answer a query, and under what names CloudWatch keeps them.

use crate::domain::ids::Arn;
use crate::domain::observation::{Trouble, TroubleKind};
use crate::domain::plan::Route;
use crate::domain::time::Span;
use crate::metric_provider::Query;

/// The namespace of Application Load Balancers.
pub(super) const NAMESPACE: &str = "AWS/ApplicationELB";

/// A metric with its statistic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Metric {
    /// Requests for which a target was chosen.
    Requests,
    /// Answers of targets by their first digit, 2 to 5.
    Answers2xx,
    Answers3xx,
    Answers4xx,
    Answers5xx,
    /// Percentiles of the time until a target's answer began.
    LatencyP50,
    LatencyP90,
    LatencyP99,
    /// Fewest healthy targets that any node of the load balancer saw.
    HealthyTargets,
    /// 5XX answers that the load balancer made itself.
    OwnErrors,
}

impl Metric {
    /// CloudWatch's name of the metric.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Requests => "RequestCount",
            Self::Answers2xx => "HTTPCode_Target_2XX_Count",
            Self::Answers3xx => "HTTPCode_Target_3XX_Count",
            Self::Answers4xx => "HTTPCode_Target_4XX_Count",
            Self::Answers5xx => "HTTPCode_Target_5XX_Count",
            Self::LatencyP50 | Self::LatencyP90 | Self::LatencyP99 => "TargetResponseTime",
            Self::HealthyTargets => "HealthyHostCount",
            Self::OwnErrors => "HTTPCode_ELB_5XX_Count",
        }
    }

    /// CloudWatch's name of the statistic.
    pub(super) const fn statistic(self) -> &'static str {
        match self {
            Self::Requests
            | Self::Answers2xx
            | Self::Answers3xx
            | Self::Answers4xx
            | Self::Answers5xx
            | Self::OwnErrors => "Sum",
            Self::LatencyP50 => "p50",
            Self::LatencyP90 => "p90",
            Self::LatencyP99 => "p99",
            Self::HealthyTargets => "Minimum",
        }
    }
}

/// One series of data points.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    /// What is measured, and how it is condensed.
    pub(super) metric: Metric,
    /// Dimension `TargetGroup`; `None` for a figure of the whole load balancer.
    pub(super) target_group: Option<String>,
    /// Dimension `LoadBalancer`.
    pub(super) load_balancer: String,
    /// Length of a period in seconds.
    pub(super) period: i32,
}

impl Series {
    /// How messages call it.
    pub(super) fn describe(&self) -> String {
        let whose = self.target_group.as_deref().unwrap_or(&self.load_balancer);
        format!("{} ({}) of {whose}", self.metric.name(), self.metric.statistic())
    }
}

/// The series of one target group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SideSeries {
    pub(super) requests: Series,
    /// Answers 2XX, 3XX, 4XX, 5XX.
    pub(super) answers: [Series; 4],
    /// p50, p90, p99, when wanted.
    pub(super) latency: Option<[Series; 3]>,
    pub(super) healthy: Series,
}

impl SideSeries {
    fn all(&self) -> impl Iterator<Item = &Series> {
        let counts = std::iter::once(&self.requests).chain(&self.answers);
        counts.chain(self.latency.iter().flatten()).chain(std::iter::once(&self.healthy))
    }
}

/// All series that answer a query, and where they are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) account: String,
    pub(super) region: String,
    pub(super) blue: SideSeries,
    pub(super) green: SideSeries,
    pub(super) own_errors: Series,
}

impl Wanted {
    /// Finds them out; a route or interval that CloudWatch has no metrics for is refused.
    pub(super) fn of(query: &Query) -> Result<Self, Trouble> {
        let Route::Alb(route) = &query.route;
        let load_balancer = load_balancer_of(&route.rules)?;
        let period = period_of(query.interval)?;
        let side = |group: &Arn| -> Result<SideSeries, Trouble> {
            let group = target_group_of(group)?;
            let series = |metric| Series {
                metric,
                target_group: Some(group.to_owned()),
                load_balancer: load_balancer.clone(),
                period,
            };
            let latency = [Metric::LatencyP50, Metric::LatencyP90, Metric::LatencyP99];
            Ok(SideSeries {
                requests: series(Metric::Requests),
                answers: [Metric::Answers2xx, Metric::Answers3xx, Metric::Answers4xx, Metric::Answers5xx].map(series),
                latency: query.latency.then(|| latency.map(series)),
                healthy: series(Metric::HealthyTargets),
            })
        };
        Ok(Self {
            account: route.blue_target_group.account().to_owned(),
            region: route.blue_target_group.region().to_owned(),
            blue: side(&route.blue_target_group)?,
            green: side(&route.green_target_group)?,
            own_errors: Series { metric: Metric::OwnErrors, target_group: None, load_balancer, period },
        })
    }

    /// Every one of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &Series> {
        self.blue.all().chain(self.green.all()).chain(std::iter::once(&self.own_errors))
    }
}

fn refused(message: String) -> Trouble {
    Trouble { kind: TroubleKind::Refused, message }
}

/// `targetgroup/NAME/ID`, as the dimension is written.
fn target_group_of(arn: &Arn) -> Result<&str, Trouble> {
    let resource = arn.resource();
    let mut parts = resource.split('/');
    let shape = (parts.next(), parts.next(), parts.next(), parts.next());
    match shape {
        (Some("targetgroup"), Some(name), Some(id), None) if !name.is_empty() && !id.is_empty() => Ok(resource),
        _ => Err(refused(format!("`{arn}` is no target group ARN, so CloudWatch has no metrics of it"))),
    }
}

/// `app/NAME/ID`, from the ARN of a listener or rule: `…:listener/app/NAME/ID/…`. A target group belongs to one load
/// balancer, so the rules of a route all lie on the same one, perhaps on several of its listeners.
fn load_balancer_of(rules: &[Arn]) -> Result<String, Trouble> {
    let mut found: Option<String> = None;
    for rule in rules {
        let mut parts = rule.resource().split('/');
        let (kind, family, name, id) = (parts.next(), parts.next(), parts.next(), parts.next());
        let (Some("listener" | "listener-rule"), Some("app"), Some(name), Some(id)) = (kind, family, name, id) else {
            return Err(refused(format!("`{rule}` is no listener or rule of an Application Load Balancer")));
        };
        let this = format!("app/{name}/{id}");
        match &found {
            Some(first) if *first != this => {
                return Err(refused(format!(
                    "the rules lie on two load balancers (`{first}` and `{this}`), but a target group belongs to one"
                )));
            }
            Some(_) => {}
            None => found = Some(this),
        }
    }
    found.ok_or_else(|| refused("the route names no rule, so its load balancer is not known".to_owned()))
}

/// CloudWatch's periods: 1, 5, 10, 30 seconds or whole minutes, at most a day.
fn period_of(interval: Span) -> Result<i32, Trouble> {
    let seconds = interval.as_secs();
    let whole = Span::from_secs(u32::try_from(seconds).unwrap_or(0)) == interval;
    let known = matches!(seconds, 1 | 5 | 10 | 30) || (seconds > 0 && seconds % 60 == 0 && seconds <= 86_400);
    i32::try_from(seconds).ok().filter(|_| whole && known).ok_or_else(|| {
        refused(format!("CloudWatch has no periods of {interval}: set `analysis.interval` to whole minutes"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metric_provider::cloudwatch::sample;

    #[test]
    fn dimensions_are_the_tails_of_the_arns() {
        let wanted = Wanted::of(&sample::query()).unwrap();
        assert_eq!(wanted.blue.requests.target_group.as_deref(), Some("targetgroup/blue/73e2d6bc24d8a067"));
        assert_eq!(wanted.green.requests.target_group.as_deref(), Some("targetgroup/green/09966783158cda59"));
        assert!(wanted.all().all(|series| series.load_balancer == "app/web/50dc6c495c0c9188"));
        assert_eq!(wanted.own_errors.target_group, None);
        assert_eq!((wanted.region.as_str(), wanted.account.as_str()), ("eu-west-1", "123456789012"));
    }

    #[test]
    fn a_route_costs_13_series_and_19_with_response_times() {
        let query = sample::query();
        assert_eq!(Wanted::of(&query).unwrap().all().count(), 13);
        assert_eq!(Wanted::of(&Query { latency: true, ..query }).unwrap().all().count(), 19);
    }

    #[test]
    fn rules_on_several_listeners_of_one_load_balancer_are_one_route() {
        let mut query = sample::query();
        let Route::Alb(route) = &mut query.route;
        route.rules.push(Arn::new(
            "arn:aws:elasticloadbalancing:eu-west-1:123456789012:listener-rule/app/web/50dc6c495c0c9188/aaaa/bbbb",
        ));
        assert!(Wanted::of(&query).is_ok());
    }

    #[test]
    fn a_route_that_has_no_metrics_is_for_a_person() {
        let arn = |tail: &str| Arn::new(format!("arn:aws:elasticloadbalancing:eu-west-1:123456789012:{tail}"));
        let other = "listener/app/other/60dc6c495c0c9188/f2f7";
        for (rules, green) in [
            (vec![], "targetgroup/green/1"),
            (vec![arn("listener/net/web/50dc/f2f7")], "targetgroup/green/1"),
            (vec![arn("listener/app/web")], "targetgroup/green/1"),
            (vec![arn("listener/app/web/50dc6c495c0c9188/f2f7"), arn(other)], "targetgroup/green/1"),
            (vec![arn("listener/app/web/50dc/f2f7")], "loadbalancer/app/web/1"),
            (vec![arn("listener/app/web/50dc/f2f7")], "targetgroup//1"),
        ] {
            let mut query = sample::query();
            let Route::Alb(route) = &mut query.route;
            route.rules.clone_from(&rules);
            route.green_target_group = arn(green);
            assert_eq!(Wanted::of(&query).unwrap_err().kind, TroubleKind::Refused, "{rules:?} {green}");
        }
    }

    #[test]
    fn periods_are_those_that_cloudwatch_knows() {
        for good in ["1s", "5s", "10s", "30s", "1m", "5m", "1h", "24h"] {
            assert!(period_of(Span::parse(good).unwrap()).is_ok(), "{good}");
        }
        for bad in ["0s", "2s", "45s", "90s", "1500ms", "25h", "100000h"] {
            assert!(period_of(Span::parse(bad).unwrap()).is_err(), "{bad}");
        }
    }
}
