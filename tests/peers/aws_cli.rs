//! The AWS CLI, as an operator would use it.

use crate::program::{AWS_ENVIRONMENT, installed};
use serde_json::Value;
use std::process::Command;

/// What the CLI made of a command: its JSON output, or what it printed as an error.
pub(crate) type Answer = Result<Value, String>;

/// Runs `aws ARGUMENTS` against this endpoint.
pub(crate) fn aws(endpoint: &str, arguments: &[&str]) -> Answer {
    let mut command = Command::new(installed("aws"));
    command.args(arguments).env_clear().envs(AWS_ENVIRONMENT);
    command.env("AWS_ENDPOINT_URL", endpoint).env("AWS_MAX_ATTEMPTS", "1").env("AWS_DEFAULT_OUTPUT", "json");
    let output = command.output().unwrap();
    if !output.status.success() {
        return Err(String::from_utf8(output.stderr).unwrap());
    }
    if output.stdout.is_empty() {
        return Ok(Value::Null);
    }
    Ok(serde_json::from_slice(&output.stdout).unwrap())
}

/// The weights of a rule or listener, in the order of its forward action.
pub(crate) fn weights(endpoint: &str, arn: &str) -> Vec<i64> {
    let (command, flag) = if arn.contains(":listener/") {
        ("describe-listeners", "--listener-arns")
    } else {
        ("describe-rules", "--rule-arns")
    };
    let answer = aws(endpoint, &["elbv2", command, flag, arn]).unwrap();
    let actions = answer.pointer("/Listeners/0/DefaultActions").or_else(|| answer.pointer("/Rules/0/Actions"));
    let groups = actions.and_then(|actions| actions.pointer("/0/ForwardConfig/TargetGroups"));
    let groups = groups.and_then(Value::as_array).unwrap();
    groups.iter().map(|group| group["Weight"].as_i64().unwrap()).collect()
}
