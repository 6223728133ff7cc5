//! One integration binary: everything that needs more than one module, or a server.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    clippy::wildcard_enum_match_arm,
    clippy::unwrap_in_result,
    clippy::format_push_string,
    clippy::match_same_arms,
    clippy::struct_excessive_bools,
    reason = "a test fails by panicking, also where it calls a function of its own"
)]

#[path = "../aws_stand_in/mod.rs"]
mod aws_stand_in;
mod against;
mod alb;
mod alb_inspect;
mod alb_trouble;
mod alb_write;
mod aws_stand_in_faults;
mod aws_stand_in_metrics;
mod aws_stand_in_rules;
mod cloudwatch;
mod cloudwatch_alarms;
mod cloudwatch_batch;
mod cloudwatch_contract;
mod controller;
mod demo;
mod documents;
mod documents_round_trip;
mod documents_schema;
mod documents_settings;
mod invariants;
mod rules;
mod journal_contract;
mod journal_crash;
mod journal_cut;
mod journal_samples;
mod journal_sqlite;
mod kill_rounds;
mod process;
mod router_contract;
mod served;
mod scenarios;
mod states;
mod stories;
mod world;
mod api;
mod cli;
mod harness;
mod metrics;
