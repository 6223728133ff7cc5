//! greenshift moves traffic from a blue fleet to a green one in small steps, proves at every step that green serves its
//! users as well as blue does, and takes the traffic back by itself when it does not.
//!
//! Every tick, for every active rollout: **observe → advance → record → apply**. Only [`domain::advance`] decides, and
//! it is pure; the journal keeps what happened before anything is done; adapters carry out and decide nothing.
//!
//! Modules stand in layer order: each may use only what stands above it here.

pub mod judge;
pub mod domain;
pub mod config;
pub mod clock;
pub mod telemetry;
pub mod aws;
pub mod journal;
pub mod traffic_router;
pub mod metric_provider;
pub mod controller;
pub mod api;
pub mod client;
pub mod app;
pub mod simulation;
pub mod cli;
