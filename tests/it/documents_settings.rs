//! The controller's own settings: defaults, file, environment.
#![expect(clippy::unwrap_used, reason = "tests may panic")]

use std::collections::BTreeMap;
use std::path::PathBuf;

use greenshift::config::controller::{
    AwsSettings, Database, Limits, Loaded, LogFormat, LogLevel, LogSettings, MetricProviderChoice, Settings,
    TrafficRouterChoice, load,
};
use greenshift::config::{DocumentErrors, Environment, ProcessEnvironment};
use greenshift::domain::time::Span;

fn environment(variables: &[(&str, &str)]) -> BTreeMap<String, String> {
    variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn with(file: &str, variables: &[(&str, &str)]) -> Result<Loaded, DocumentErrors> {
    load(Some(("controller.yaml", file)), &environment(variables))
}

fn standard() -> Settings {
    Settings {
        listen: "127.0.0.1:8080".parse().unwrap(),
        database: Database::Sqlite(PathBuf::from("greenshift.db")),
        tick_interval: Span::from_secs(5),
        health_interval: Span::from_secs(30),
        traffic_router: TrafficRouterChoice::Alb,
        metric_provider: MetricProviderChoice::Cloudwatch,
        owner: "greenshift".to_owned(),
        claim_rules: true,
        aws: AwsSettings {
            connect_timeout: Span::from_secs(3),
            read_timeout: Span::from_secs(5),
            attempt_timeout: Span::from_secs(5),
            operation_timeout: Span::from_secs(20),
            modify_per_second: 3,
            modify_burst: 20,
            describe_per_second: 10,
            describe_burst: 40,
        },
        limits: Limits { active_rollouts: 100, body_bytes: 1024 * 1024 },
        log: LogSettings { format: LogFormat::Auto, level: LogLevel::Info },
        shutdown_timeout: Span::from_secs(10),
    }
}

#[test]
fn without_a_file_the_compiled_in_one_counts() {
    let loaded = load(None, &environment(&[])).unwrap();
    assert_eq!(loaded, Loaded { settings: standard(), warnings: Vec::new() });
    for nothing in ["", "# nothing\n", "aws:\n  # all commented out\n"] {
        assert_eq!(with(nothing, &[]).unwrap().settings, standard(), "{nothing:?}");
    }
}

#[test]
fn the_file_is_laid_over_the_defaults_key_by_key() {
    let file = "tick_interval: 100ms\ndatabase: memory\naws: {attempt_timeout: 8s}\n";
    let standard = standard();
    let expected = Settings {
        tick_interval: Span::from_millis(100),
        database: Database::Memory,
        aws: AwsSettings { attempt_timeout: Span::from_secs(8), ..standard.aws.clone() },
        ..standard
    };
    assert_eq!(with(file, &[]).unwrap().settings, expected);
}

#[test]
fn the_environment_wins_over_the_file() {
    let variables = [
        ("GREENSHIFT_TICK_INTERVAL", "1s"),
        ("GREENSHIFT_AWS__MODIFY_BURST", "7"),
        ("GREENSHIFT_CLAIM_RULES", "false"),
        ("GREENSHIFT_LOG__LEVEL", "debug"),
        ("GREENSHIFT_OWNER", "team-a: greenshift"),
        ("GREENSHIFT_TOKEN", "not a setting"),
        ("TICK_INTERVAL", "2s"),
    ];
    let loaded = with("tick_interval: 30s\nlog: {level: warn, format: text}\n", &variables).unwrap();
    assert_eq!(loaded.warnings, []);
    let standard = standard();
    let expected = Settings {
        tick_interval: Span::from_secs(1),
        claim_rules: false,
        owner: "team-a: greenshift".to_owned(),
        aws: AwsSettings { modify_burst: 7, ..standard.aws.clone() },
        log: LogSettings { level: LogLevel::Debug, format: LogFormat::Text },
        ..standard
    };
    assert_eq!(loaded.settings, expected);
}

#[test]
fn every_setting_can_come_from_the_environment() {
    let defaults: serde_json::Value = serde_saphyr::from_str(greenshift::config::controller::DEFAULTS).unwrap();
    let mut names = Vec::new();
    for (key, value) in defaults.as_object().unwrap() {
        match value.as_object() {
            Some(inner) => names.extend(inner.keys().map(|inner| format!("{key}__{inner}"))),
            None => names.push(key.clone()),
        }
    }
    assert_eq!(names.len(), 21);
    for name in names {
        let name = format!("GREENSHIFT_{}", name.to_uppercase());
        let errors = with("", &[(&name, "?!")]).unwrap_err();
        assert_eq!(errors.problems().len(), 1, "{errors}");
        assert_eq!(errors.problems()[0].source_name(), format!("environment variable {name}"));
    }
}

#[test]
fn a_variable_that_is_no_setting_is_a_warning() {
    let loaded = with("", &[("GREENSHIFT_TICK_INTERVALL", "1s"), ("GREENSHIFT_PORT", "tcp://10.0.0.1:80")]).unwrap();
    assert_eq!(loaded.settings, standard());
    let shown: Vec<String> = loaded.warnings.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(shown.join("\n"));
}

#[test]
fn bad_settings_are_refused_with_their_messages() {
    let file = "\
listen: 0.0.0.0:8080
database: postgres://localhost/greenshift
tick_interval: 10ms
tick_interval: 1s
traffic_router: nlb
owner: \" me \"
claim_rules: yes
aws:
  conect_timeout: 1s
  read_timeout: 30s
  modify_per_second: 0
limits: {body: 2MiB, active_rollouts: many}
log: info
auth: {tokens: []}
";
    let errors = with(file, &[("GREENSHIFT_SHUTDOWN_TIMEOUT", "an hour")]).unwrap_err();
    insta::assert_snapshot!(errors.to_string());
    for (file, said) in [
        ("listen: localhost", "is not an address to listen on"),
        ("listen: 10.0.0.1:80", "there is no authentication yet"),
        ("listen: 8080", "is a text, and this is a number"),
        ("database: 'sqlite:'", "is not a database"),
        ("database: 'sqlite://x.db'", "is not a database"),
        ("aws: {read_timeout: 30s}", "is longer than `attempt_timeout`"),
        ("aws: {operation_timeout: 4s}", "is longer than `operation_timeout`"),
        ("log: {level: verbose}", "not `verbose`"),
        ("- listen", "should be a mapping"),
    ] {
        let errors = with(file, &[]).unwrap_err().to_string();
        assert!(errors.contains(said), "{file}: {errors}");
    }
    assert!(with("listen: '[::1]:0'", &[]).is_ok());
}

#[test]
fn the_process_environment_shows_only_our_variables() {
    assert!(ProcessEnvironment.variables().keys().all(|name| name.starts_with("GREENSHIFT_")));
}
