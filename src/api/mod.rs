//! The HTTP API: every route is on this page, each resource has a file of its own.

mod analysis;
mod dry_run;
mod error;
mod events;
mod freeze;
mod layers;
pub mod model;
mod plan;
mod requests;
mod rollouts;
mod server;
mod service;
mod story;
mod view;

use axum::Router;
use axum::routing::{get, post};
use tokio_util::sync::CancellationToken;

use crate::controller::Handle;

pub use server::serve;

/// What every call can reach.
#[derive(Clone)]
pub struct ApiState {
    /// The rollouts.
    pub handle: Handle,
    /// Cancelled when the server is about to stop: it is not ready any more then.
    pub stop: CancellationToken,
    /// The largest body that is taken, in bytes.
    pub body_max: usize,
    /// IAM actions that the adapters use: for dry runs.
    pub iam: std::sync::Arc<[model::IamView]>,
}

/// Every route.
pub fn routes(state: ApiState) -> Router {
    let rollouts = Router::new()
        .route("/rollouts", get(rollouts::list).post(rollouts::create))
        .route("/rollouts:plan", post(plan::plan))
        .route("/rollouts:preflight", post(dry_run::preflight))
        .route("/rollouts/{name}/analysis", get(analysis::list))
        .route("/rollouts/{name}/preflight", get(dry_run::preflight_of))
        .route("/rollouts/{name}/undo", get(dry_run::undo))
        .route("/rollouts/{name}", get(rollouts::one).patch(rollouts::change).delete(rollouts::delete))
        .route("/rollouts/{name}/events", get(events::list))
        .route("/rollouts/{name}/{verb}", post(requests::ask))
        .route("/freeze", get(freeze::show).post(freeze::on).delete(freeze::off));
    let all = Router::new()
        .nest("/api/v1", rollouts)
        .route("/livez", get(service::livez))
        .route("/readyz", get(service::readyz))
        .route("/version", get(service::version))
        .route("/metrics", get(service::metrics))
        .fallback(service::nothing_here)
        .method_not_allowed_fallback(service::wrong_method)
        .with_state(state.clone());
    layers::around(all, state)
}
