//! A running stand-in, from a test's point of view.

use super::clock::{Clock, Millis};
use super::edit::Edit;
use super::faults::{Fault, FaultRule};
use super::metric_store::{MetricKey, Point};
use super::request_log::Entry;
use super::server::{Shared, bind, serve, share};
use super::state::State;
use super::traffic::{Behaviour, Traffic};
use super::typical::BlueGreen;
use super::world::{Settings, World, weights};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use tokio::sync::oneshot;

/// A stand-in on a loopback port of its own, with a thread of its own: it goes on while a test blocks or
/// pauses tokio's time. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct AwsStandIn {
    shared: Arc<Shared>,
    address: SocketAddr,
    /// Dropping it ends the server.
    _stop: oneshot::Sender<()>,
}

impl AwsStandIn {
    /// Starts on any port, in real time.
    pub(crate) async fn start(world: World) -> Self {
        Self::start_with(world, Clock::real(), 0).await
    }

    /// Starts with time standing still; see [`Self::advance`].
    pub(crate) async fn start_at(world: World, now: Millis) -> Self {
        Self::start_with(world, Clock::manual(now), 0).await
    }

    /// Starts with this clock on this port.
    pub(crate) async fn start_with(mut world: World, clock: Clock, port: u16) -> Self {
        world.settle(clock.now()).unwrap();
        let shared = share(State::new(world, clock));
        let served = Arc::clone(&shared);
        let (stop, stopped) = oneshot::channel::<()>();
        let (ready, bound) = oneshot::channel();
        thread::Builder::new()
            .name("aws-stand-in".to_owned())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    let listener = bind(port).await.unwrap();
                    ready.send(listener.local_addr().unwrap()).unwrap();
                    tokio::select! {
                        served = serve(served, listener) => served.unwrap(),
                        _ = stopped => {}
                    }
                });
                // hanging requests end with the runtime
                runtime.shutdown_background();
            })
            .unwrap();
        let address = bound.await.unwrap();
        Self { shared, address, _stop: stop }
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Does something with everything that the stand-in knows.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.shared.lock())
    }

    /// The stand-in's time.
    pub(crate) fn now(&self) -> Millis {
        self.with(|state| state.clock.now())
    }

    /// Moves time on, and lets traffic leave its metrics meanwhile.
    pub(crate) fn advance(&self, by: Millis) {
        self.with(|state| {
            state.clock.advance(by);
            state.generate();
        });
    }

    /// Changes settings.
    pub(crate) fn settings(&self, change: impl FnOnce(&mut Settings)) {
        self.with(|state| change(&mut state.world.settings));
    }

    /// Lets something go wrong every time, until [`Self::clear_faults`].
    pub(crate) fn set_fault(&self, operation: &str, fault: Fault) {
        self.fault(FaultRule::always(operation, fault));
    }

    /// Lets something go wrong the next so many times.
    pub(crate) fn fault_times(&self, operation: &str, fault: Fault, times: u32) {
        self.fault(FaultRule::times(operation, fault, times));
    }

    /// Lets something go wrong.
    pub(crate) fn fault(&self, rule: FaultRule) {
        self.with(|state| state.faults.add(rule));
    }

    /// Nothing goes wrong any more.
    pub(crate) fn clear_faults(&self) {
        self.with(|state| state.faults.clear());
    }

    /// A change by somebody else, now.
    pub(crate) fn edit(&self, edit: &Edit) {
        self.with(|state| {
            let now = state.clock.now();
            edit.apply(&mut state.world, now).unwrap();
        });
    }

    /// A change by somebody else, just before the next request of this operation is carried out.
    pub(crate) fn before_next(&self, operation: &str, edit: Edit) {
        let hook = move |world: &mut World, now: Millis| edit.apply(world, now).unwrap();
        self.with(|state| state.before_next(operation, Box::new(hook)));
    }

    /// Every request so far, in order.
    pub(crate) fn requests(&self) -> Vec<Entry> {
        self.with(|state| state.log.after(0))
    }

    /// Every request so far that was to change something.
    pub(crate) fn modifications(&self) -> Vec<Entry> {
        self.requests().into_iter().filter(Entry::is_modify).collect()
    }

    /// The IAM actions that were asked for so far.
    pub(crate) fn actions(&self) -> BTreeSet<String> {
        self.requests().iter().map(|entry| entry.action.clone()).collect()
    }

    /// How often this operation was asked for.
    pub(crate) fn count(&self, operation: &str) -> usize {
        self.requests().iter().filter(|entry| entry.operation == operation).count()
    }

    /// The accepted target groups and weights of a rule or listener.
    pub(crate) fn weights(&self, rule: &str) -> Vec<(String, i64)> {
        self.with(|state| weights(&state.world.rule(rule).unwrap().actions))
    }

    /// The accepted weights of blue and green.
    pub(crate) fn split(&self, rule: &str, app: &BlueGreen) -> (i64, i64) {
        split(&self.weights(rule), app)
    }

    /// Every split that was ever accepted, oldest first, with its time.
    pub(crate) fn splits(&self, rule: &str, app: &BlueGreen) -> Vec<(Millis, (i64, i64))> {
        self.with(|state| {
            let history = &state.world.rule(rule).unwrap().history;
            history.iter().map(|version| (version.at, split(&weights(&version.actions), app))).collect()
        })
    }

    /// Adds traffic.
    pub(crate) fn traffic(&self, traffic: Traffic) {
        self.with(|state| state.traffic.push(traffic));
    }

    /// A target group serves in this way from now on.
    pub(crate) fn behave(&self, group: &str, behaviour: &Behaviour) {
        self.with(|state| state.behave(group, 0, behaviour));
    }

    /// Pushes a datapoint that can be read at once: a value, seen so many times.
    pub(crate) fn push(&self, key: MetricKey, at: Millis, value: f64, times: f64) {
        let point = Point { at, visible_from: Millis::MIN, values: vec![(value, times)] };
        self.with(|state| state.metrics.push(key, point));
    }

    /// Answers this status for a query id or metric name.
    pub(crate) fn set_status(&self, name: &str, status: &str) {
        self.with(|state| state.statuses.insert(name.to_owned(), status.to_owned()));
    }
}

fn split(weights: &[(String, i64)], app: &BlueGreen) -> (i64, i64) {
    let of = |arn: &str| weights.iter().find(|(group, _)| group == arn).map_or(0, |(_, weight)| *weight);
    (of(&app.blue), of(&app.green))
}
