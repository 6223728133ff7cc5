//! Who the caller is, and which roles it may assume.

use super::clock::{Millis, iso};
use super::elb_describe::Params;
use super::wire::{AwsError, text};
use super::world::{ACCOUNT, World};
use serde_json::{Value, json};

/// Answers an STS operation; `None` when there is no such operation.
pub(crate) fn answer(world: &World, operation: &str, params: &Params, now: Millis) -> Option<Result<Value, AwsError>> {
    match operation {
        "GetCallerIdentity" => Some(Ok(json!({
            "Arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/greenshift/controller"),
            "UserId": "AROA3XFRBF535PLBIFPI4:controller",
            "Account": ACCOUNT,
        }))),
        "AssumeRole" => Some(assume_role(world, params, now)),
        _ => None,
    }
}

fn assume_role(world: &World, params: &Params, now: Millis) -> Result<Value, AwsError> {
    let arn = text(params, "RoleArn").unwrap_or_default();
    let session = text(params, "RoleSessionName").unwrap_or_default();
    if session.is_empty() {
        return Err(AwsError::validation("RoleSessionName is required"));
    }
    let role = world.roles.iter().find(|role| role.arn == arn);
    let wanted = role.and_then(|role| role.external_id.as_deref());
    if role.is_none() || wanted.is_some_and(|wanted| text(params, "ExternalId") != Some(wanted)) {
        return Err(AwsError::with_status(
            "AccessDenied",
            format!("The caller is not authorized to perform: sts:AssumeRole on resource: {arn}"),
            403,
        ));
    }
    let seconds = params.get("DurationSeconds").and_then(Value::as_i64).unwrap_or(3600);
    let name = arn.rsplit('/').next().unwrap_or(arn);
    Ok(json!({
        "Credentials": {
            "AccessKeyId": access_key(name),
            "SecretAccessKey": "stand-in-secret",
            "SessionToken": format!("stand-in-session-of-{name}"),
            "Expiration": iso(now + seconds * 1000),
        },
        "AssumedRoleUser": {
            "AssumedRoleId": format!("AROASTANDIN:{session}"),
            "Arn": format!("arn:aws:sts::{ACCOUNT}:assumed-role/{name}/{session}"),
        },
    }))
}

/// The access key that the stand-in gives out for a role, so that the request log shows who asked.
pub(crate) fn access_key(role: &str) -> String {
    let letters: String = role.chars().filter(char::is_ascii_alphanumeric).collect();
    format!("ASIA{}", letters.to_ascii_uppercase())
}
