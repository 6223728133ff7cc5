//! The admin interface under `/_stand_in/`, in JSON.
//!
//! | method, path | does |
//! |---|---|
//! | `GET /world` | the whole world |
//! | `PUT /world` | replaces the world |
//! | `POST /settings` | changes settings; the others stay |
//! | `POST /edit` | a change by somebody else, now |
//! | `POST /before/{operation}` | the same just before the next request of that operation |
//! | `GET`, `POST`, `DELETE /faults` | the faults that are set; one more; none |
//! | `POST`, `DELETE /traffic` | traffic through a rule; none |
//! | `POST /behaviour` | how a target group serves from now on |
//! | `POST /publishing` | how metrics are published from now on |
//! | `POST`, `DELETE /metrics` | a datapoint; forgets datapoints |
//! | `PUT /statuses` | `StatusCode` by query id or metric name |
//! | `GET`, `DELETE /requests` | the request log after `?after=NUMBER`; forgets it |
//! | `GET /weights?rule=ARN` | accepted and live weights, and the time line |
//! | `POST /time` | `{"scale": 60}` or `{"advance_ms": 60000}` |

use super::clock::Millis;
use super::edit::Edit;
use super::faults::FaultRule;
use super::metric_store::{MetricKey, Point};
use super::server::Shared;
use super::state::State;
use super::traffic::{Behaviour, Publishing, Traffic};
use super::world::{Settings, World, weights};
use axum::extract::{Path, Query, State as Extract};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;

type App = Extract<Arc<Shared>>;

/// The routes of the admin interface.
pub(crate) fn routes() -> Router<Arc<Shared>> {
    Router::new()
        .route("/world", get(world).put(put_world))
        .route("/settings", post(settings))
        .route("/edit", post(edit))
        .route("/before/{operation}", post(before))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/traffic", post(add_traffic).delete(clear_traffic))
        .route("/behaviour", post(behaviour))
        .route("/publishing", post(publishing))
        .route("/metrics", post(push_metric).delete(clear_metrics))
        .route("/statuses", put(statuses))
        .route("/requests", get(requests).merge(delete(clear_requests)))
        .route("/weights", get(rule_weights))
        .route("/time", post(time))
}

fn done(result: Result<(), String>) -> Response {
    match result {
        Ok(()) => Json(json!({"done": true})).into_response(),
        Err(error) => (StatusCode::BAD_REQUEST, Json(json!({"error": error}))).into_response(),
    }
}

async fn world(Extract(app): App) -> Json<Value> {
    Json(json!(app.lock().world))
}

async fn put_world(Extract(app): App, Json(mut world): Json<World>) -> Response {
    let mut state = app.lock();
    let now = state.clock.now();
    done(world.settle(now).map(|()| state.world = world))
}

async fn settings(Extract(app): App, Json(changes): Json<Map<String, Value>>) -> Response {
    let mut state = app.lock();
    let mut all = json!(state.world.settings);
    for (key, value) in changes {
        all[&key] = value;
    }
    let parsed = serde_json::from_value::<Settings>(all).map_err(|error| error.to_string());
    done(parsed.map(|settings| state.world.settings = settings))
}

async fn edit(Extract(app): App, Json(edit): Json<Edit>) -> Response {
    let mut state = app.lock();
    let now = state.clock.now();
    done(edit.apply(&mut state.world, now))
}

async fn before(Extract(app): App, Path(operation): Path<String>, Json(edit): Json<Edit>) -> Response {
    let hook = move |world: &mut World, now: Millis| edit.apply(world, now).unwrap();
    app.lock().before_next(&operation, Box::new(hook));
    done(Ok(()))
}

async fn faults(Extract(app): App) -> Json<Value> {
    Json(json!(app.lock().faults.rules()))
}

async fn add_fault(Extract(app): App, Json(rule): Json<FaultRule>) -> Response {
    app.lock().faults.add(rule);
    done(Ok(()))
}

async fn clear_faults(Extract(app): App) -> Response {
    app.lock().faults.clear();
    done(Ok(()))
}

/// Steady traffic, in short.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewTraffic {
    rule: String,
    requests_per_second: f64,
    /// Traffic began this long ago.
    #[serde(default)]
    began_ms_ago: Millis,
    #[serde(default)]
    publishing: Publishing,
    #[serde(default)]
    sticky: Option<(f64, Millis)>,
    #[serde(default)]
    seed: u64,
}

async fn add_traffic(Extract(app): App, Json(new): Json<NewTraffic>) -> Response {
    let mut state = app.lock();
    if state.world.rule(&new.rule).is_none() {
        return done(Err(format!("there is no rule {}", new.rule)));
    }
    let start = state.clock.now() - new.began_ms_ago;
    let mut traffic = Traffic::steady(&new.rule, new.requests_per_second, start);
    traffic.publishing = new.publishing;
    traffic.sticky = new.sticky;
    traffic.seed = new.seed;
    state.traffic.push(traffic);
    done(Ok(()))
}

async fn clear_traffic(Extract(app): App) -> Response {
    app.lock().traffic.clear();
    done(Ok(()))
}

/// How a group serves from now on, or from a while later.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewBehaviour {
    group: String,
    #[serde(default)]
    in_ms: Millis,
    behaviour: Behaviour,
}

async fn behaviour(Extract(app): App, Json(new): Json<NewBehaviour>) -> Response {
    app.lock().behave(&new.group, new.in_ms, &new.behaviour);
    done(Ok(()))
}

impl State {
    /// A group serves in this way from `in_ms` from now on, in all traffic.
    pub(crate) fn behave(&mut self, group: &str, in_ms: Millis, behaviour: &Behaviour) {
        self.generate();
        let from = self.clock.now() + in_ms;
        for traffic in &mut self.traffic {
            traffic.behave(group, from, behaviour.clone());
        }
    }
}

async fn publishing(Extract(app): App, Json(publishing): Json<Publishing>) -> Response {
    let mut state = app.lock();
    state.generate();
    for traffic in &mut state.traffic {
        traffic.publishing = publishing.clone();
    }
    done(Ok(()))
}

/// A datapoint to push.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPoint {
    metric: MetricKey,
    point: Point,
}

async fn push_metric(Extract(app): App, Json(new): Json<NewPoint>) -> Response {
    app.lock().metrics.push(new.metric, new.point);
    done(Ok(()))
}

/// Which metrics.
#[derive(Debug, Deserialize)]
struct Named {
    name: Option<String>,
}

async fn clear_metrics(Extract(app): App, Query(which): Query<Named>) -> Response {
    app.lock().metrics.clear(which.name.as_deref());
    done(Ok(()))
}

async fn statuses(Extract(app): App, Json(statuses): Json<super::cloudwatch::Statuses>) -> Response {
    app.lock().statuses = statuses;
    done(Ok(()))
}

/// Which requests.
#[derive(Debug, Deserialize)]
struct After {
    #[serde(default)]
    after: u64,
}

async fn requests(Extract(app): App, Query(which): Query<After>) -> Json<Value> {
    Json(json!(app.lock().log.after(which.after)))
}

async fn clear_requests(Extract(app): App) -> Response {
    app.lock().log.clear();
    done(Ok(()))
}

/// Which rule or listener.
#[derive(Debug, Deserialize)]
struct OfRule {
    rule: String,
}

async fn rule_weights(Extract(app): App, Query(which): Query<OfRule>) -> Response {
    let state = app.lock();
    let now = state.clock.now();
    let Some(rule) = state.world.rule(&which.rule) else {
        return done(Err(format!("there is no rule {}", which.rule)));
    };
    let as_map = |actions: &[Value]| -> Map<String, Value> {
        weights(actions).into_iter().map(|(arn, weight)| (arn, json!(weight))).collect()
    };
    let live = rule.version_at(now - state.world.settings.propagation_delay_ms);
    let history: Vec<Value> =
        rule.history.iter().map(|version| json!({"at": version.at, "weights": as_map(&version.actions)})).collect();
    Json(json!({
        "accepted": as_map(&rule.actions),
        "live": live.map(|version| as_map(&version.actions)),
        "history": history,
    }))
    .into_response()
}

/// How time goes on.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Time {
    scale: Option<f64>,
    advance_ms: Option<Millis>,
}

async fn time(Extract(app): App, Json(time): Json<Time>) -> Json<Value> {
    let mut state = app.lock();
    if let Some(by) = time.advance_ms {
        state.clock.advance(by);
    }
    if let Some(scale) = time.scale {
        state.clock.set_scale(scale);
    }
    state.generate();
    Json(json!({"now": state.clock.now()}))
}
