//! `GetMetricData` and `DescribeAlarms`, with CloudWatch's rules, whatever the protocol.

use super::clock::{Millis, parse_iso};
use super::elb_describe::Params;
use super::metric_store::{MetricKey, MetricStore, Span, Stat};
use super::wire::{AwsError, list, text, texts};
use super::world::{Settings, World};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Statuses that a test has asked for: query id or metric name, and the `StatusCode` to answer.
pub(crate) type Statuses = BTreeMap<String, String>;

/// What a CloudWatch operation looks at.
#[derive(Debug)]
pub(crate) struct View<'a> {
    /// The alarms and settings.
    pub(crate) world: &'a World,
    /// The datapoints.
    pub(crate) metrics: &'a MetricStore,
    /// Results that are to be answered as partial or failed.
    pub(crate) statuses: &'a Statuses,
    /// The stand-in's time.
    pub(crate) now: Millis,
}

/// Answers a CloudWatch operation; `None` when there is no such operation.
pub(crate) fn answer(view: &View<'_>, operation: &str, params: &Params) -> Option<Result<Value, AwsError>> {
    match operation {
        "GetMetricData" => Some(get_metric_data(view, params)),
        "DescribeAlarms" => Some(describe_alarms(view, params)),
        _ => None,
    }
}

/// Seconds since the epoch or RFC 3339.
fn time(params: &Params, name: &str) -> Result<Millis, AwsError> {
    let found = match params.get(name) {
        Some(Value::Number(seconds)) => seconds.as_f64().map(|seconds| (seconds * 1000.0).round() as Millis),
        Some(Value::String(text)) => parse_iso(text),
        _ => None,
    };
    found.ok_or_else(|| AwsError::refused("MissingParameter", format!("The parameter {name} is required.")))
}

/// One query, checked.
#[derive(Debug)]
struct Query {
    id: String,
    label: String,
    key: MetricKey,
    stat: Stat,
    period: Millis,
    unit: Option<String>,
    returned: bool,
}

/// The periods that CloudWatch knows, in seconds.
fn check_period(settings: &Settings, seconds: i64) -> Result<Millis, AwsError> {
    let fine = settings.high_resolution && [1, 5, 10, 30].contains(&seconds);
    if fine || (seconds > 0 && seconds % 60 == 0) {
        return Ok(seconds * 1000);
    }
    Err(AwsError::validation(format!(
        "The value {seconds} for parameter Period is invalid: it must be a multiple of 60."
    )))
}

fn check_id(id: &str) -> Result<(), AwsError> {
    let mut letters = id.chars();
    let valid = letters.next().is_some_and(|first| first.is_ascii_lowercase())
        && letters.all(|letter| letter.is_ascii_alphanumeric() || letter == '_')
        && id.len() <= 255;
    if valid {
        return Ok(());
    }
    Err(AwsError::validation(format!(
        "The value {id} for parameter Id is not matching the expected pattern ^[a-z][a-zA-Z0-9_]*$."
    )))
}

fn query(settings: &Settings, value: &Value) -> Result<Query, AwsError> {
    let id = value["Id"].as_str().unwrap_or_default().to_owned();
    check_id(&id)?;
    if value.get("Expression").is_some() {
        return Err(AwsError::validation(format!(
            "Error in expression '{id}': this account answers no metric math; ask for MetricStat"
        )));
    }
    let metric = &value["MetricStat"]["Metric"];
    let mut dimensions = BTreeMap::new();
    for pair in metric["Dimensions"].as_array().into_iter().flatten() {
        let part = |name: &str| pair[name].as_str().unwrap_or_default().to_owned();
        if dimensions.insert(part("Name"), part("Value")).is_some() {
            return Err(AwsError::validation("A dimension is given more than once."));
        }
    }
    let (Some(namespace), Some(name)) = (metric["Namespace"].as_str(), metric["MetricName"].as_str()) else {
        return Err(AwsError::validation(format!("Query '{id}' needs a MetricStat with Namespace and MetricName.")));
    };
    let key = MetricKey { namespace: namespace.to_owned(), name: name.to_owned(), dimensions };
    let period = value["MetricStat"]["Period"].as_i64().unwrap_or(0);
    Ok(Query {
        label: value["Label"].as_str().unwrap_or(name).to_owned(),
        key,
        stat: Stat::parse(value["MetricStat"]["Stat"].as_str().unwrap_or_default())?,
        period: check_period(settings, period)?,
        unit: value["MetricStat"]["Unit"].as_str().map(str::to_owned),
        returned: value["ReturnData"].as_bool().unwrap_or(true),
        id,
    })
}

fn queries(settings: &Settings, params: &Params) -> Result<Vec<Query>, AwsError> {
    let asked = list(params, "MetricDataQueries").unwrap_or_default();
    if asked.is_empty() {
        return Err(AwsError::refused("MissingParameter", "The parameter MetricDataQueries is required."));
    }
    if asked.len() > 500 {
        return Err(AwsError::validation("The collection MetricDataQueries must not have a size greater than 500."));
    }
    let queries: Vec<Query> = asked.iter().map(|value| query(settings, value)).collect::<Result<_, _>>()?;
    let ids: BTreeSet<&str> = queries.iter().map(|query| query.id.as_str()).collect();
    if ids.len() < queries.len() {
        return Err(AwsError::validation("The values for parameter Id in MetricDataQueries are not unique."));
    }
    if queries.iter().all(|query| !query.returned) {
        return Err(AwsError::validation("At least one of the queries must have ReturnData set to true."));
    }
    Ok(queries.into_iter().filter(|query| query.returned).collect())
}

/// Where a page starts: the query, and the datapoint in it.
fn parse_token(params: &Params) -> Result<(usize, usize), AwsError> {
    let Some(token) = text(params, "NextToken") else { return Ok((0, 0)) };
    let parts = token.strip_prefix("page-").and_then(|rest| rest.split_once('-'));
    let numbers = parts.and_then(|(query, point)| Some((query.parse().ok()?, point.parse().ok()?)));
    numbers.ok_or_else(|| AwsError::refused("InvalidNextToken", "The next token specified is invalid."))
}

fn get_metric_data(view: &View<'_>, params: &Params) -> Result<Value, AwsError> {
    let settings = &view.world.settings;
    let queries = queries(settings, params)?;
    let (start, end) = (time(params, "StartTime")?, time(params, "EndTime")?);
    if end <= start {
        return Err(AwsError::validation("The parameter EndTime must be greater than StartTime."));
    }
    let newest_first = match text(params, "ScanBy") {
        None | Some("TimestampDescending") => true,
        Some("TimestampAscending") => false,
        Some(other) => return Err(AwsError::validation(format!("The value {other} for ScanBy is unknown."))),
    };
    let mut room = match params.get("MaxDatapoints").and_then(Value::as_u64) {
        None => settings.max_datapoints,
        Some(most @ 1..=100_800) => settings.max_datapoints.min(most as usize),
        Some(most) => {
            return Err(AwsError::validation(format!("The value {most} for MaxDatapoints is out of range.")));
        }
    };
    let (first, offset) = parse_token(params)?;
    let mut results = Vec::new();
    let mut next = None;
    for (index, query) in queries.iter().enumerate().skip(first) {
        let grain = if query.period < 60_000 { query.period } else { 60_000 };
        let span = Span { start: start.div_euclid(grain) * grain, end, period: query.period };
        let mut points = readable(view, query, span);
        if newest_first {
            points.reverse();
        }
        let skipped = if index == first { offset.min(points.len()) } else { 0 };
        let rest = points.len() - skipped;
        let taken = rest.min(room);
        room -= taken;
        let status = status(view, query).unwrap_or(if taken < rest { "PartialData" } else { "Complete" });
        results.push(result(query, &points[skipped..skipped + taken], status));
        if taken < rest {
            next = Some(format!("page-{index}-{}", skipped + taken));
            break;
        }
    }
    Ok(json!({"MetricDataResults": results, "NextToken": next, "Messages": []}))
}

fn readable(view: &View<'_>, query: &Query, span: Span) -> Vec<(Millis, f64)> {
    let other_unit = query.unit.as_deref().is_some_and(|unit| unit != query.key.unit());
    if other_unit || status(view, query) == Some("InternalError") {
        return Vec::new();
    }
    view.metrics.query(&query.key, query.stat, span, view.now)
}

fn status<'a>(view: &View<'a>, query: &Query) -> Option<&'a str> {
    let asked = view.statuses.get(&query.id).or_else(|| view.statuses.get(&query.key.name));
    asked.map(String::as_str)
}

fn result(query: &Query, points: &[(Millis, f64)], status: &str) -> Value {
    json!({
        "Id": query.id,
        "Label": query.label,
        "Timestamps": points.iter().map(|(at, _)| *at as f64 / 1000.0).collect::<Vec<_>>(),
        "Values": points.iter().map(|(_, value)| *value).collect::<Vec<_>>(),
        "StatusCode": status,
    })
}

fn describe_alarms(view: &View<'_>, params: &Params) -> Result<Value, AwsError> {
    let names = texts(params, "AlarmNames");
    let prefix = text(params, "AlarmNamePrefix");
    if names.len() > 100 {
        return Err(AwsError::validation("The collection AlarmNames must not have a size greater than 100."));
    }
    if prefix.is_some() && !names.is_empty() {
        return Err(AwsError::validation("AlarmNames and AlarmNamePrefix cannot both be given."));
    }
    let size = match params.get("MaxRecords").and_then(Value::as_u64) {
        None => 50,
        Some(size @ 1..=100) => size as usize,
        Some(size) => {
            return Err(AwsError::validation(format!("The value {size} for MaxRecords is invalid.")));
        }
    };
    let start: usize = match text(params, "NextToken") {
        None => 0,
        Some(token) => token
            .strip_prefix("alarms-")
            .and_then(|number| number.parse().ok())
            .ok_or_else(|| AwsError::refused("InvalidNextToken", "The next token specified is invalid."))?,
    };
    let types = texts(params, "AlarmTypes");
    let shown = |composite: bool| {
        let kind = if composite { "CompositeAlarm" } else { "MetricAlarm" };
        (types.is_empty() && !composite) || types.iter().any(|it| it == kind)
    };
    let state = text(params, "StateValue");
    let found: Vec<_> = view
        .world
        .alarms
        .iter()
        .filter(|(name, _)| names.is_empty() || names.contains(name))
        .filter(|(name, _)| prefix.is_none_or(|prefix| name.starts_with(prefix)))
        .filter(|(_, alarm)| shown(alarm.composite) && state.is_none_or(|state| state == alarm.state))
        .collect();
    let end = found.len().min(start + size);
    let (mut single, mut composite) = (Vec::new(), Vec::new());
    for (name, alarm) in found.get(start..end).unwrap_or_default() {
        let value = json!({
            "AlarmName": name,
            "AlarmArn": format!("arn:aws:cloudwatch:eu-west-1:123456789012:alarm:{name}"),
            "ActionsEnabled": true,
            "StateValue": alarm.state,
            "StateReason": alarm.reason,
            "StateUpdatedTimestamp": view.now as f64 / 1000.0,
        });
        if alarm.composite { composite.push(value) } else { single.push(value) }
    }
    let next = (end < found.len()).then(|| format!("alarms-{end}"));
    Ok(json!({"MetricAlarms": single, "CompositeAlarms": composite, "NextToken": next}))
}
