//! What Elastic Load Balancing answers about itself.

use super::clock::Millis;
use super::validate::without_secrets;
use super::wire::{AwsError, list, text, texts};
use super::world::{Listener, LoadBalancer, Pairs, Rule, TargetGroup, World};
use serde_json::{Map, Value, json};

/// The parameters of one request.
pub(crate) type Params = Map<String, Value>;

/// One read: when it happens, and whether a fault asked for a stale answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Read {
    /// The stand-in's time.
    pub(crate) now: Millis,
    /// Answer the state before the last change.
    pub(crate) stale: bool,
}

/// Answers a Describe operation; `None` when there is no such operation.
pub(crate) fn describe(
    world: &mut World,
    operation: &str,
    params: &Params,
    read: Read,
) -> Option<Result<Value, AwsError>> {
    Some(match operation {
        "DescribeLoadBalancers" => load_balancers(world, params),
        "DescribeLoadBalancerAttributes" => load_balancer_attributes(world, params),
        "DescribeListeners" => listeners(world, params, read),
        "DescribeRules" => rules(world, params, read),
        "DescribeTargetGroups" => target_groups(world, params),
        "DescribeTargetGroupAttributes" => target_group_attributes(world, params),
        "DescribeTargetHealth" => target_health(world, params, read),
        "DescribeTags" => tags(world, params),
        _ => return None,
    })
}

/// There is nothing with this ARN or name; what is given as an ARN must look like one.
fn not_found(code: &str, what: &str, arn: &str) -> AwsError {
    if what.starts_with("One or more") && !arn.starts_with("arn:") {
        return AwsError::validation(format!("'{arn}' is not a valid ARN"));
    }
    AwsError::refused(code, format!("{what} '{arn}' not found"))
}

fn no_balancer(arn: &str) -> AwsError {
    not_found("LoadBalancerNotFound", "Load balancers", arn)
}

fn no_group(arn: &str) -> AwsError {
    not_found("TargetGroupNotFound", "Target groups", arn)
}

/// One page of `items` under `name`, and the marker of the next one.
fn page(name: &str, items: &[Value], params: &Params) -> Result<Value, AwsError> {
    let size = match params.get("PageSize").and_then(Value::as_i64) {
        None => 400,
        Some(size @ 1..=400) => size as usize,
        Some(size) => {
            return Err(AwsError::validation(format!("Page size '{size}' must be between 1 and 400")));
        }
    };
    let start = match text(params, "Marker") {
        None => 0,
        Some(marker) => marker
            .strip_prefix("after-")
            .and_then(|number| number.parse().ok())
            .filter(|start| *start < items.len())
            .ok_or_else(|| AwsError::validation(format!("'{marker}' is not a valid marker")))?,
    };
    let end = items.len().min(start + size);
    let mut answer = json!({name: items.get(start..end).unwrap_or_default()});
    if end < items.len() {
        answer["NextMarker"] = json!(format!("after-{end}"));
    }
    Ok(answer)
}

/// `app/NAME/ID` gives `NAME`.
fn name_in(arn: &str) -> &str {
    let tail = arn.rsplit(':').next().unwrap_or(arn);
    let tail = tail.strip_prefix("loadbalancer/app/").or_else(|| tail.strip_prefix("targetgroup/"));
    tail.and_then(|tail| tail.split('/').next()).unwrap_or(arn)
}

fn load_balancers(world: &World, params: &Params) -> Result<Value, AwsError> {
    let (arns, names) = (texts(params, "LoadBalancerArns"), texts(params, "Names"));
    if arns.len() > 20 || names.len() > 20 {
        return Err(AwsError::validation("At most 20 load balancers can be named in one request"));
    }
    if let Some(arn) = arns.iter().find(|arn| world.load_balancers.iter().all(|it| it.arn != **arn)) {
        return Err(no_balancer(arn));
    }
    if let Some(name) = names.iter().find(|name| world.load_balancers.iter().all(|it| name_in(&it.arn) != *name)) {
        return Err(no_balancer(name));
    }
    let wanted = |it: &&LoadBalancer| {
        (arns.is_empty() || arns.contains(&it.arn))
            && (names.is_empty() || names.iter().any(|name| name == name_in(&it.arn)))
    };
    let items: Vec<Value> = world.load_balancers.iter().filter(wanted).map(load_balancer).collect();
    page("LoadBalancers", &items, params)
}

fn load_balancer(it: &LoadBalancer) -> Value {
    let name = name_in(&it.arn);
    json!({
        "LoadBalancerArn": it.arn,
        "DNSName": format!("{name}-1234567890.eu-west-1.elb.amazonaws.com"),
        "CanonicalHostedZoneId": "Z32O12XQLNTSW2",
        "CreatedTime": "2026-01-01T00:00:00.000Z",
        "LoadBalancerName": name,
        "Scheme": "internal",
        "VpcId": "vpc-0123456789abcdef0",
        "State": {"Code": "active"},
        "Type": "application",
        "AvailabilityZones": [],
        "SecurityGroups": [],
        "IpAddressType": "ipv4",
    })
}

fn pairs(defaults: &[(&str, &str)], own: &Pairs) -> Value {
    let mut all: Pairs = defaults.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    all.extend(own.clone());
    all.iter().map(|(key, value)| json!({"Key": key, "Value": value})).collect()
}

fn load_balancer_attributes(world: &World, params: &Params) -> Result<Value, AwsError> {
    let arn = text(params, "LoadBalancerArn").unwrap_or_default();
    let found = world.load_balancers.iter().find(|it| it.arn == arn).ok_or_else(|| no_balancer(arn))?;
    let defaults = [
        ("deletion_protection.enabled", "false"),
        ("access_logs.s3.enabled", "false"),
        ("idle_timeout.timeout_seconds", "60"),
        ("routing.http2.enabled", "true"),
        ("load_balancing.cross_zone.enabled", "true"),
        ("zonal_shift.config.enabled", "false"),
    ];
    Ok(json!({"Attributes": pairs(&defaults, &found.attributes)}))
}

/// The actions of a rule as a Describe sees them at this moment.
fn described(world: &mut World, arn: &str, read: Read) -> Vec<Value> {
    let settings = world.settings.clone();
    let Some(rule) = world.rule_mut(arn) else { return Vec::new() };
    rule.reads += 1;
    let mut at = read.now - settings.describe_delay_ms;
    if let Some(last) = rule.history.last() {
        let fresh = read.now < last.at + settings.stale_reads_ms;
        if read.stale || (fresh && rule.reads % 2 == 0) {
            at = at.min(last.at - 1);
        }
    }
    let actions = rule.version_at(at).map(|version| version.actions.clone()).unwrap_or_default();
    without_secrets(&actions)
}

fn listeners(world: &mut World, params: &Params, read: Read) -> Result<Value, AwsError> {
    let (balancer, arns) = (text(params, "LoadBalancerArn"), texts(params, "ListenerArns"));
    if balancer.is_some() != arns.is_empty() {
        return Err(AwsError::validation("You must specify either listener ARNs or a load balancer ARN"));
    }
    if let Some(balancer) = balancer
        && world.load_balancers.iter().all(|it| it.arn != balancer)
    {
        return Err(no_balancer(balancer));
    }
    if let Some(arn) = arns.iter().find(|arn| world.listener(arn).is_none()) {
        return Err(not_found("ListenerNotFound", "One or more listeners", arn));
    }
    let wanted = |it: &&Listener| arns.contains(&it.arn) || balancer == Some(it.load_balancer.as_str());
    let found: Vec<Listener> = world.listeners.iter().filter(wanted).cloned().collect();
    let items: Vec<Value> = found.iter().map(|it| listener(world, it, read)).collect();
    page("Listeners", &items, params)
}

/// One listener as AWS answers it.
pub(crate) fn listener(world: &mut World, it: &Listener, read: Read) -> Value {
    let mut value = json!({
        "ListenerArn": it.arn,
        "LoadBalancerArn": it.load_balancer,
        "Port": it.port,
        "Protocol": it.protocol,
        "DefaultActions": described(world, &it.default_rule(), read),
    });
    for (key, extra) in &it.extra {
        value[key] = extra.clone();
    }
    value
}

fn rules(world: &mut World, params: &Params, read: Read) -> Result<Value, AwsError> {
    let (parent, arns) = (text(params, "ListenerArn"), texts(params, "RuleArns"));
    if parent.is_some() != arns.is_empty() {
        return Err(AwsError::validation("You must specify either listener ARNs or rule ARNs"));
    }
    if let Some(parent) = parent
        && world.listener(parent).is_none()
    {
        return Err(not_found("ListenerNotFound", "One or more listeners", parent));
    }
    if let Some(arn) = arns.iter().find(|arn| world.rules.iter().all(|rule| rule.arn != **arn)) {
        return Err(not_found("RuleNotFound", "One or more rules", arn));
    }
    let wanted = |it: &&Rule| arns.contains(&it.arn) || parent == Some(it.listener.as_str());
    let mut found: Vec<Rule> = world.rules.iter().filter(wanted).cloned().collect();
    found.sort_by_key(|rule| rule.priority.parse::<u32>().unwrap_or(u32::MAX));
    let items: Vec<Value> = found.iter().map(|it| rule(world, it, read)).collect();
    page("Rules", &items, params)
}

/// One rule as AWS answers it.
pub(crate) fn rule(world: &mut World, it: &Rule, read: Read) -> Value {
    json!({
        "RuleArn": it.arn,
        "Priority": it.priority,
        "Conditions": it.conditions,
        "Actions": described(world, &it.arn, read),
        "IsDefault": it.priority == "default",
        "Transforms": it.transforms,
    })
}

fn target_groups(world: &World, params: &Params) -> Result<Value, AwsError> {
    let (arns, names) = (texts(params, "TargetGroupArns"), texts(params, "Names"));
    let balancer = text(params, "LoadBalancerArn");
    let ways = [!arns.is_empty(), !names.is_empty(), balancer.is_some()];
    if ways.iter().filter(|way| **way).count() > 1 {
        return Err(AwsError::validation(
            "You can specify only one of target group ARNs, names and a load balancer ARN",
        ));
    }
    if let Some(balancer) = balancer
        && world.load_balancers.iter().all(|it| it.arn != balancer)
    {
        return Err(no_balancer(balancer));
    }
    if let Some(arn) = arns.iter().find(|arn| world.group(arn).is_none()) {
        return Err(no_group(arn));
    }
    if let Some(name) = names.iter().find(|name| world.target_groups.iter().all(|it| name_in(&it.arn) != *name)) {
        return Err(no_group(name));
    }
    let wanted = |it: &&TargetGroup| {
        (arns.is_empty() || arns.contains(&it.arn))
            && (names.is_empty() || names.iter().any(|name| name == name_in(&it.arn)))
            && balancer.is_none_or(|balancer| world.balancers_of(&it.arn).contains(balancer))
    };
    let found = world.target_groups.iter().filter(wanted);
    let items: Vec<Value> = found.map(|it| target_group(world, it)).collect();
    page("TargetGroups", &items, params)
}

fn target_group(world: &World, it: &TargetGroup) -> Value {
    json!({
        "TargetGroupArn": it.arn,
        "TargetGroupName": name_in(&it.arn),
        "Protocol": "HTTPS",
        "Port": 8443,
        "VpcId": "vpc-0123456789abcdef0",
        "HealthCheckProtocol": "HTTPS",
        "HealthCheckPort": "traffic-port",
        "HealthCheckEnabled": true,
        "HealthCheckIntervalSeconds": 30,
        "HealthCheckTimeoutSeconds": 5,
        "HealthyThresholdCount": 5,
        "UnhealthyThresholdCount": 2,
        "HealthCheckPath": "/",
        "Matcher": {"HttpCode": "200"},
        "LoadBalancerArns": world.balancers_of(&it.arn),
        "TargetType": "ip",
        "ProtocolVersion": "HTTP1",
        "IpAddressType": "ipv4",
    })
}

fn target_group_attributes(world: &World, params: &Params) -> Result<Value, AwsError> {
    let arn = text(params, "TargetGroupArn").unwrap_or_default();
    let found = world.group(arn).ok_or_else(|| no_group(arn))?;
    let defaults = [
        ("deregistration_delay.timeout_seconds", "300"),
        ("load_balancing.algorithm.type", "round_robin"),
        ("load_balancing.cross_zone.enabled", "use_load_balancer_configuration"),
        ("slow_start.duration_seconds", "0"),
        ("stickiness.enabled", "false"),
        ("stickiness.type", "lb_cookie"),
        ("stickiness.lb_cookie.duration_seconds", "86400"),
    ];
    Ok(json!({"Attributes": pairs(&defaults, &found.attributes)}))
}

fn target_health(world: &World, params: &Params, read: Read) -> Result<Value, AwsError> {
    let arn = text(params, "TargetGroupArn").unwrap_or_default();
    let group = world.group(arn).ok_or_else(|| no_group(arn))?;
    let mut items = Vec::new();
    let asked = list(params, "Targets").unwrap_or_default();
    for target in &group.targets {
        let named = |it: &Value| it["Id"].as_str() == Some(target.id.as_str());
        if !asked.is_empty() && !asked.iter().any(named) {
            continue;
        }
        let (state, reason) = world.target_state(group, target, read.now);
        let mut health = json!({"State": state});
        if !reason.is_empty() {
            health["Reason"] = json!(reason);
            health["Description"] = json!(format!("Target state: {reason}"));
        }
        items.push(json!({
            "Target": {"Id": target.id, "Port": target.port},
            "HealthCheckPort": target.port.to_string(),
            "TargetHealth": health,
        }));
    }
    for it in &asked {
        let id = it["Id"].as_str().unwrap_or_default();
        if group.targets.iter().all(|target| target.id != id) {
            let health = json!({"State": "unused", "Reason": "Target.NotRegistered",
                "Description": "Target is not registered to the target group"});
            items.push(json!({"Target": it, "TargetHealth": health}));
        }
    }
    Ok(json!({"TargetHealthDescriptions": items}))
}

fn tags(world: &mut World, params: &Params) -> Result<Value, AwsError> {
    let arns = texts(params, "ResourceArns");
    if arns.is_empty() || arns.len() > 20 {
        return Err(AwsError::validation("Between 1 and 20 resource ARNs can be given in one request"));
    }
    let mut items = Vec::new();
    for arn in &arns {
        let own = tags_of(world, arn)?;
        items.push(json!({"ResourceArn": arn, "Tags": pairs(&[], own)}));
    }
    Ok(json!({"TagDescriptions": items}))
}

/// The tags of the resource with this ARN, or the error that fits the kind of ARN.
pub(crate) fn tags_of<'a>(world: &'a mut World, arn: &str) -> Result<&'a mut Pairs, AwsError> {
    let code = if arn.contains(":loadbalancer/") {
        "LoadBalancerNotFound"
    } else if arn.contains(":targetgroup/") {
        "TargetGroupNotFound"
    } else if arn.contains(":listener-rule/") {
        "RuleNotFound"
    } else if arn.contains(":listener/") {
        "ListenerNotFound"
    } else {
        return Err(AwsError::validation(format!("'{arn}' is not a valid ARN")));
    };
    world.tags_mut(arn).ok_or_else(|| not_found(code, "The resource", arn))
}
