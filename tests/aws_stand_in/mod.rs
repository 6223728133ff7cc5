//! A stand-in for the parts of AWS that greenshift talks to, with AWS's documented rules.
//!
//! It speaks Elastic Load Balancing v2 and STS (awsQuery) and CloudWatch (Smithy RPC v2 CBOR, JSON 1.0, awsQuery)
//! on a loopback port, so that the real SDKs and the AWS CLI can be pointed at it. What it refuses, AWS
//! refuses; where AWS is slow, late, stale or broken, it can be made so.
//!
//! In a test:
//!
//! ```text
//! let (world, app) = World::blue_green();
//! let aws = AwsStandIn::start(world).await;
//! // point an SDK at aws.endpoint(), then look at aws.requests(), aws.split(&app.rule, &app)
//! ```
//!
//! As a program: `cargo run --example aws_stand_in -- --port 0 --demo`; see `program.rs`, and `admin.rs` for what it can be told.
//!
//! | file | holds |
//! |---|---|
//! | `world.rs`, `typical.rs`, `edit.rs` | what exists, a ready-made world, changes by others |
//! | `elb_describe.rs`, `elb_modify.rs`, `validate.rs` | Elastic Load Balancing |
//! | `cloudwatch.rs`, `metric_store.rs` | `GetMetricData`, `DescribeAlarms` |
//! | `traffic.rs`, `random.rs` | requests that follow the live weights, and the metrics that they leave |
//! | `sts.rs` | identity and roles |
//! | `faults.rs`, `connection.rs` | what goes wrong |
//! | `request_log.rs`, `untouched.rs` | what was asked, and the proof that nothing else was changed |
//! | `wire.rs`, `protocol.rs`, `server.rs`, `admin.rs`, `state.rs`, `clock.rs` | how it runs |

#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::cast_possible_wrap,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::wildcard_enum_match_arm,
    reason = "a test's stand-in: it may panic, and its numbers are small"
)]

pub(crate) mod admin;
pub(crate) mod clock;
pub(crate) mod cloudwatch;
pub(crate) mod connection;
pub(crate) mod edit;
pub(crate) mod elb_describe;
pub(crate) mod elb_modify;
pub(crate) mod faults;
pub(crate) mod metric_store;
pub(crate) mod protocol;
pub(crate) mod random;
pub(crate) mod request_log;
pub(crate) mod server;
pub(crate) mod state;
pub(crate) mod sts;
pub(crate) mod traffic;
pub(crate) mod typical;
pub(crate) mod untouched;
pub(crate) mod validate;
pub(crate) mod wire;
pub(crate) mod world;

mod handle;

pub(crate) use edit::Edit;
pub(crate) use faults::{Fault, FaultRule};
pub(crate) use handle::AwsStandIn;
pub(crate) use metric_store::MetricKey;
pub(crate) use request_log::Outcome;
pub(crate) use traffic::{Behaviour, Publishing, Silence, Traffic};
pub(crate) use typical::{BlueGreen, forward};
pub(crate) use untouched::{Allowed, assert_untouched_but_weights};
pub(crate) use world::World;
