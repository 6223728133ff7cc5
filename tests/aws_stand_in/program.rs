//! The stand-in as a program: `aws_stand_in [--port N] [--world FILE] [--demo]`.
//!
//! Prints `{"endpoint": "http://127.0.0.1:PORT"}` and serves until it is killed. `--world` seeds it from a JSON
//! document of the form that `GET /_stand_in/world` prints; `--demo` makes a typical blue/green world with
//! traffic at 100 requests a second.

#![expect(dead_code, reason = "the program needs less than tests do")]
#![expect(unused_imports, reason = "the program needs less than tests do")]
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a program for tests: its output is its address")]

#[path = "mod.rs"]
mod aws_stand_in;

use aws_stand_in::clock::Clock;
use aws_stand_in::{AwsStandIn, Traffic, World};

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let (mut port, mut world, mut demo) = (0, World::new(), None);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--port" => port = arguments.next().unwrap().parse().unwrap(),
            "--world" => {
                let text = std::fs::read_to_string(arguments.next().unwrap()).unwrap();
                world = serde_json::from_str(&text).unwrap();
            }
            "--demo" => {
                let (typical, arns) = World::blue_green();
                world = typical;
                demo = Some(arns);
            }
            other => {
                println!("unknown argument {other}");
                return;
            }
        }
    }
    let aws = AwsStandIn::start_with(world, Clock::real(), port).await;
    if let Some(arns) = demo {
        aws.traffic(Traffic::steady(&arns.listener, 100.0, aws.now() - 3_600_000));
    }
    println!("{}", serde_json::json!({"endpoint": aws.endpoint()}));
    std::future::pending::<()>().await;
}
