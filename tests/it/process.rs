//! The program as a process: a second one beside it, and how it ends when it is asked to.

use std::time::{Duration, Instant};

use greenshift::api::model::RequestBody;
use greenshift::client::{Client, Document};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use crate::aws_stand_in::{AwsStandIn, BlueGreen, Fault, World};
use crate::served::Home;

fn document(app: &BlueGreen) -> String {
    format!(
        "name: web\nroute: {{alb: {{rules: [\"{}\"], blue_target_group: \"{}\", green_target_group: \"{}\"}}}}\n",
        app.listener, app.blue, app.green
    )
}

#[tokio::test]
async fn a_second_process_of_the_same_database_is_refused_and_the_first_goes_on() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    let home = Home::new(&aws.endpoint());
    let mut first = home.serve();
    let client = Client::new(&first.address().await.unwrap(), None).unwrap();
    client.create(&Document { text: &document(&app) }).await.unwrap();

    let mut second = home.serve();
    let ended = second.ended(Duration::from_secs(20)).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(1), "{}", second.log());
    let said = second.log();
    assert!(said.contains("greenshift.db is in use by"), "{said}");
    assert!(said.contains("one database serves one greenshift; stop the other one"), "{said}");

    assert!(first.runs());
    assert!(client.get("web").await.is_ok());
    let before = aws.count("DescribeListeners");
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(aws.count("DescribeListeners") > before, "the first looks at its route still");
}

/// Past the lock: as if the database had been opened by another process over a file system whose locks do not work.
#[tokio::test]
async fn i7_a_superseded_process_records_nothing_more_and_ends() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    let home = Home::new(&aws.endpoint());
    let mut served = home.serve();
    let client = Client::new(&served.address().await.unwrap(), None).unwrap();
    client.create(&Document { text: &document(&app) }).await.unwrap();
    let mut shell = SqliteConnectOptions::new().filename(home.database()).connect().await.unwrap();
    sqlx::query("UPDATE meta SET epoch = epoch + 1").execute(&mut shell).await.unwrap();
    let count = "SELECT count(*) FROM events";
    let before: i64 = sqlx::query_scalar(count).fetch_one(&mut shell).await.unwrap();

    let body = RequestBody { reason: "to have something recorded".to_owned(), ..RequestBody::default() };
    assert!(client.ask("web", "pause", &body).await.is_err());
    let ended = served.ended(Duration::from_secs(20)).await;
    assert!(ended.is_some(), "{}", served.log());
    assert!(served.log().contains("another process has taken over"), "{}", served.log());
    let after: i64 = sqlx::query_scalar(count).fetch_one(&mut shell).await.unwrap();
    assert_eq!(after, before);
    shell.close().await.unwrap();
}

#[tokio::test]
async fn asked_to_stop_it_ends_in_time_though_aws_hangs() {
    let (world, app) = World::blue_green();
    let aws = AwsStandIn::start(world).await;
    // With the time-outs that operators have: a call may take 20 s.
    let home = Home::with(&aws.endpoint(), "tick_interval: 100ms");
    let mut served = home.serve();
    let client = Client::new(&served.address().await.unwrap(), None).unwrap();
    client.create(&Document { text: &document(&app) }).await.unwrap();
    aws.set_fault("*", Fault::Hang);
    // By now every look hangs.
    tokio::time::sleep(Duration::from_millis(500)).await;

    let begun = Instant::now();
    served.terminate();
    let ended = served.ended(Duration::from_secs(15)).await;
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", served.log());
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());

    aws.clear_faults();
    let mut again = home.serve();
    assert!(again.address().await.is_some(), "what it left can be opened: {}", again.log());
}
