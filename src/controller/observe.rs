//! Looking at the world: every look has a deadline, and a person's request cuts the looking short.

use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::worker::Message;
use crate::domain::advance::{HealthNeed, Wants, wants};
use crate::domain::analysis::{HISTORY, HISTORY_PERIODS_MAX, OPEN_FOR};
use crate::domain::observation::{HealthSeen, Observation, Seen, Trouble, TroubleKind};
use crate::domain::request::{Refusal, Request};
use crate::domain::rollout::Rollout;
use crate::domain::time::{Span, before, since};
use crate::metric_provider::Query;

/// Longest time that all looks of a tick may take. Longer than one attempt of a call, so that a single lost answer can
/// be tried again within it.
const LOOK_MAX: Duration = Duration::from_secs(10);

/// How long looks may still go on once a person has asked something: an answer that is nearly there is waited for.
const AFTER_REQUEST: Duration = Duration::from_millis(300);

/// How often the route is inspected again while preflight lasts (by the ports' clock).
const INSPECT_EVERY: Span = Span::from_secs(15);

/// Asked requests with the way back to who asked.
pub(super) type Asked = Vec<(Request, oneshot::Sender<Result<(), Refusal>>)>;

/// Remembers when the world was last looked at, so that each look costs as few calls as the decision allows.
#[derive(Debug, Default)]
pub(super) struct Observer {
    health: Option<(HealthSeen, Timestamp)>,
    metrics_at: Option<Timestamp>,
    inspected_at: Option<Timestamp>,
}

impl Observer {
    /// Looks at everything that the next decision can use.
    pub(super) async fn observe(
        &mut self,
        shared: &Shared,
        rollout: &Rollout,
        inbox: &mut mpsc::Receiver<Message>,
        asked: &mut Asked,
    ) -> Observation {
        let now = shared.ports.clock.now();
        let wants = wants(rollout, now);
        let cut = CancellationToken::new();
        if !asked.is_empty() {
            cut_later(shared, &cut);
        }
        let mut stopping = false;
        let mut seen = {
            let looks = self.look(shared, rollout, &wants, now, &cut);
            tokio::pin!(looks);
            loop {
                tokio::select! {
                    biased;
                    seen = &mut looks => break seen,
                    // Nobody waits for a world that does not answer when the process is to end.
                    () = shared.stop.cancelled(), if !stopping => {
                        stopping = true;
                        cut_later(shared, &cut);
                    }
                    Some(message) = inbox.recv() => if let Message::Ask(request, answer) = message {
                        asked.push((request, answer));
                        cut_later(shared, &cut);
                    },
                }
            }
        };
        seen.frozen = shared.freeze.borrow().as_ref().map(ToString::to_string);
        self.remember(&mut seen, &wants, now);
        seen
    }

    async fn look(
        &self,
        shared: &Shared,
        rollout: &Rollout,
        wants: &Wants,
        now: Timestamp,
        cut: &CancellationToken,
    ) -> Observation {
        let route = &rollout.spec.route;
        let ports = &shared.ports;
        let health_wanted = match wants.health {
            HealthNeed::None => false,
            HealthNeed::Fresh => true,
            HealthNeed::Recent => {
                self.health.is_none_or(|(_, at)| since(now, at) >= shared.settings.health_interval || at > now)
            }
        };
        let inspect = wants.inspection && self.inspected_at.is_none_or(|at| since(now, at) >= INSPECT_EVERY);
        let query = query(rollout, wants, now).filter(|_| self.metrics_due(rollout, now));
        let metrics = async {
            let Some(query) = query else { return Seen::NotAsked };
            let fetched = ports.metric_provider.fetch(std::slice::from_ref(&query));
            in_time(cut, "reading the metrics", async { Ok(fetched.await.pop()) }).await.flatten()
        };
        let alarms = async {
            if wants.alarms.is_empty() || query_is_off(rollout, now, self) {
                return Seen::NotAsked;
            }
            let read = ports.metric_provider.alarms(&wants.alarms);
            in_time(cut, "reading the alarms", async { Ok(Some(read.await)) }).await.flatten()
        };
        let inspection = async {
            if !inspect {
                return Seen::NotAsked;
            }
            in_time(cut, "inspecting the route", ports.router.inspect(route, &shared.settings.owner)).await
        };
        let read = async {
            if wants.route { in_time(cut, "reading the route", ports.router.read(route)).await } else { Seen::NotAsked }
        };
        let health = async {
            if health_wanted {
                in_time(cut, "counting the targets", ports.router.health(route)).await
            } else {
                Seen::NotAsked
            }
        };
        let (route, health, metrics, alarms, inspection) = tokio::join!(read, health, metrics, alarms, inspection);
        let health_is_fresh = health.read().is_some();
        Observation { route, health, health_is_fresh, metrics, alarms, inspection, ..Observation::default() }
    }

    /// Twice a period: once soon after it could be there, once more to see it alike.
    fn metrics_due(&self, rollout: &Rollout, now: Timestamp) -> bool {
        let interval = rollout.plan().analysis.interval.to_std();
        let every = Span::from((interval / 2).min(Duration::from_secs(30)));
        self.metrics_at.is_none_or(|at| since(now, at) >= every || at > now)
    }

    fn remember(&mut self, seen: &mut Observation, wants: &Wants, now: Timestamp) {
        if let Seen::Read(health) = &seen.health {
            self.health = Some((*health, now));
        } else if let (Seen::NotAsked, HealthNeed::Recent, Some((health, _))) =
            (&seen.health, wants.health, self.health)
        {
            seen.health = Seen::Read(health);
        }
        if seen.metrics.read().is_some() {
            self.metrics_at = Some(now);
        }
        if seen.inspection.read().is_some() {
            self.inspected_at = Some(now);
        }
        if !wants.inspection {
            self.inspected_at = None;
        }
    }
}

/// Alarms are read as often as metrics.
fn query_is_off(rollout: &Rollout, now: Timestamp, observer: &Observer) -> bool {
    !observer.metrics_due(rollout, now)
}

/// The periods to ask for: those that may still change, or before the first look all of the past that is used.
fn query(rollout: &Rollout, wants: &Wants, now: Timestamp) -> Option<Query> {
    if !wants.metrics {
        return None;
    }
    let interval = rollout.plan().analysis.interval;
    let until = floor(now, interval)?;
    let past = if rollout.analysis.is_empty() {
        HISTORY.min(interval.times(HISTORY_PERIODS_MAX))
    } else {
        OPEN_FOR.plus(interval.times(2))
    };
    let mut from = floor(before(until, past), interval)?;
    if let Some(closed) = rollout.analysis.closed_until {
        from = from.max(closed);
    }
    // After a long silence the gap back to the last closed period is asked for too, as far as history goes.
    if let Some(newest) = rollout.analysis.newest.filter(|newest| *newest < from) {
        let earliest = before(until, HISTORY.min(interval.times(HISTORY_PERIODS_MAX)));
        from = floor(newest.max(earliest), interval)?;
    }
    (from < until).then(|| Query { route: rollout.spec.route.clone(), from, until, interval, latency: wants.latency })
}

/// The last period boundary at or before `moment`: periods are counted from the epoch.
fn floor(moment: Timestamp, interval: Span) -> Option<Timestamp> {
    let length = interval.as_secs().max(1);
    let second = moment.as_second();
    Timestamp::from_second(second.checked_sub(second.rem_euclid(length))?).ok()
}

/// Ends the looking soon, without making anybody wait for it.
fn cut_later(shared: &Shared, cut: &CancellationToken) {
    let cut = cut.clone();
    shared.tasks.spawn(async move {
        tokio::time::sleep(AFTER_REQUEST).await;
        cut.cancel();
    });
}

/// One look, under its deadline. What was cut short says nothing; what took too long could not be read.
async fn in_time<T>(cut: &CancellationToken, what: &str, look: impl Future<Output = Result<T, Trouble>>) -> Seen<T> {
    tokio::select! {
        result = look => match result {
            Ok(value) => Seen::Read(value),
            Err(trouble) => Seen::Unreadable(trouble),
        },
        () = cut.cancelled() => Seen::NotAsked,
        () = tokio::time::sleep(LOOK_MAX) => Seen::Unreadable(Trouble {
            kind: TroubleKind::Transient,
            message: format!("{what} took longer than {LOOK_MAX:?}"),
        }),
    }
}

impl<T> Seen<Option<Seen<T>>> {
    /// An answer that is itself "seen or not": no answer at all is a fault of the provider, and says nothing.
    fn flatten(self) -> Seen<T> {
        match self {
            Self::Read(inner) => inner.unwrap_or(Seen::NotAsked),
            Self::NotAsked => Seen::NotAsked,
            Self::Unreadable(trouble) => Seen::Unreadable(trouble),
        }
    }
}
