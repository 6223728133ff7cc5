//! The commands that put everything back by hand, pasted into a shell with the AWS CLI.

use std::process::Command;

use greenshift::aws::{AwsClients, AwsSettings, Credentials};
use greenshift::domain::ids::Arn;
use greenshift::domain::plan::AlbRoute;
use greenshift::traffic_router::alb::AlbRouter;
use serde_json::json;

use crate::aws_stand_in::{AwsStandIn, BlueGreen, Edit, World};
use crate::program::{AWS_ENVIRONMENT, REGION, installed};

async fn router(endpoint: &str) -> AlbRouter {
    let settings = AwsSettings {
        region: Some(REGION.to_owned()),
        endpoint: Some(endpoint.to_owned()),
        credentials: Some(Credentials::new("AKIATEST", "secret", None, None, "test")),
        ..AwsSettings::default()
    };
    AlbRouter::new(AwsClients::connect(settings).await)
}

fn route(app: &BlueGreen) -> AlbRoute {
    AlbRoute {
        rules: vec![Arn::new(&app.listener), Arn::new(&app.rule)],
        blue_target_group: Arn::new(&app.blue),
        green_target_group: Arn::new(&app.green),
    }
}

#[tokio::test]
async fn the_undo_commands_put_everything_back_in_a_shell() {
    let (mut world, app) = World::blue_green();
    let oidc = json!({"Type": "authenticate-oidc", "Order": 1, "AuthenticateOidcConfig": {
        "Issuer": "https://id.example", "AuthorizationEndpoint": "https://id.example/a",
        "TokenEndpoint": "https://id.example/t", "UserInfoEndpoint": "https://id.example/u", "ClientId": "it's $HOME",
        "ClientSecret": "the-secret"}});
    let mut forward = world.rules[0].actions[0].clone();
    forward["Order"] = json!(2);
    world.rules[0].actions = vec![oidc, forward];
    let aws = AwsStandIn::start(world).await;
    for rule in [&app.listener, &app.rule] {
        let half = [(app.blue.clone(), 40), (app.green.clone(), 60)];
        aws.edit(&Edit::SetWeights { rule: rule.clone(), weights: half.into() });
    }
    let before = aws.with(|state| state.world.rule(&app.rule).unwrap().actions[0].clone());
    for command in router(&aws.endpoint()).await.undo_commands(&route(&app)).await.unwrap() {
        let bin = installed("aws");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command]).env_clear().envs(AWS_ENVIRONMENT).env("AWS_ENDPOINT_URL", aws.endpoint());
        shell.env("PATH", format!("{}:/usr/bin:/bin", bin.parent().unwrap().display()));
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{command}\n{}", String::from_utf8_lossy(&output.stderr));
    }
    for rule in [&app.listener, &app.rule] {
        assert_eq!(aws.split(rule, &app), (100, 0), "{rule}");
    }
    let after = aws.with(|state| state.world.rule(&app.rule).unwrap().actions[0].clone());
    assert_eq!(before, after, "the secret included");
}
