//! Everything that the stand-in knows, and how it answers one request.

use super::clock::{Clock, Millis};
use super::cloudwatch::{self, Statuses, View};
use super::elb_describe::{Read, describe};
use super::elb_modify::{Change, modify};
use super::faults::{Buckets, Fault, Faults, denied};
use super::metric_store::MetricStore;
use super::protocol::{Call, Service};
use super::request_log::{Entry, Outcome, RequestLog};
use super::sts;
use super::traffic::Traffic;
use super::wire::AwsError;
use super::world::World;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde_json::Value;
use std::fmt;

/// Done to the world just before a request is carried out.
type Hook = Box<dyn FnOnce(&mut World, Millis) + Send>;

/// Everything behind the lock.
pub(crate) struct State {
    /// The time.
    pub(crate) clock: Clock,
    /// The account.
    pub(crate) world: World,
    /// The datapoints.
    pub(crate) metrics: MetricStore,
    /// Who makes datapoints.
    pub(crate) traffic: Vec<Traffic>,
    /// Statuses asked for.
    pub(crate) statuses: Statuses,
    /// What goes wrong.
    pub(crate) faults: Faults,
    /// What was asked.
    pub(crate) log: RequestLog,
    buckets: Buckets,
    hooks: Vec<(String, Hook)>,
    rng: StdRng,
}

impl fmt::Debug for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("State").field("world", &self.world).finish_non_exhaustive()
    }
}

/// A carried-out or refused call.
#[derive(Debug)]
pub(crate) struct Done {
    /// What to answer.
    pub(crate) outcome: Result<Value, AwsError>,
    /// What it changed.
    pub(crate) change: Option<Change>,
}

impl State {
    /// A stand-in with this world at this time.
    pub(crate) fn new(world: World, clock: Clock) -> Self {
        Self {
            clock,
            world,
            metrics: MetricStore::default(),
            traffic: Vec::new(),
            statuses: Statuses::new(),
            faults: Faults::default(),
            log: RequestLog::default(),
            buckets: Buckets::default(),
            hooks: Vec::new(),
            rng: StdRng::seed_from_u64(7),
        }
    }

    /// Publishes what traffic has left until now.
    pub(crate) fn generate(&mut self) {
        let now = self.clock.now();
        for traffic in &mut self.traffic {
            traffic.generate(&self.world, &mut self.metrics, now);
        }
    }

    /// Does something to the world just before the next request of this operation is carried out.
    pub(crate) fn before_next(&mut self, operation: &str, hook: Hook) {
        self.hooks.push((operation.to_owned(), hook));
    }

    /// The faults that strike this call.
    pub(crate) fn strike(&mut self, operation: &str) -> Vec<Fault> {
        self.faults.strike(operation, &mut self.rng)
    }

    /// Carries a call out.
    pub(crate) fn carry_out(&mut self, call: &Call, stale: bool) -> Done {
        let read = Read { now: self.clock.now(), stale };
        if let Err(error) = self.authorize(call) {
            return Done { outcome: Err(error), change: None };
        }
        if let Err(error) = self.buckets.take(&self.world.settings, &call.operation, read.now) {
            return Done { outcome: Err(error), change: None };
        }
        if let Some(found) = self.hooks.iter().position(|(operation, _)| *operation == call.operation) {
            let (_, hook) = self.hooks.remove(found);
            hook(&mut self.world, read.now);
        }
        match call.service {
            Service::Elbv2 => self.elastic_load_balancing(call, read),
            Service::Cloudwatch => {
                self.generate();
                let Self { world, metrics, statuses, .. } = self;
                let view = View { world, metrics, statuses, now: read.now };
                Done::plain(cloudwatch::answer(&view, &call.operation, &call.params), call)
            }
            Service::Sts => Done::plain(sts::answer(&self.world, &call.operation, &call.params, read.now), call),
        }
    }

    /// What the caller's IAM policy says; everybody may ask who they are.
    fn authorize(&self, call: &Call) -> Result<(), AwsError> {
        let action = call.iam_action();
        match &self.world.settings.allowed_actions {
            Some(allowed) if action != "sts:GetCallerIdentity" && !allowed.contains(&action) => Err(denied(&action)),
            _ => Ok(()),
        }
    }

    fn elastic_load_balancing(&mut self, call: &Call, read: Read) -> Done {
        if let Some(changed) = modify(&mut self.world, &call.operation, &call.params, read) {
            return match changed {
                Ok((value, change)) => Done { outcome: Ok(value), change },
                Err(error) => Done { outcome: Err(error), change: None },
            };
        }
        Done::plain(describe(&mut self.world, &call.operation, &call.params, read), call)
    }

    /// Writes a call into the log.
    pub(crate) fn note(&mut self, call: &Call, outcome: Outcome, change: Option<Change>) {
        self.log.add(Entry {
            number: 0,
            at: self.clock.now(),
            service: call.service,
            protocol: call.protocol,
            operation: call.operation.clone(),
            action: call.iam_action(),
            params: call.params.clone(),
            access_key: call.access_key.clone(),
            outcome,
            change,
        });
    }
}

impl Done {
    fn plain(outcome: Option<Result<Value, AwsError>>, call: &Call) -> Self {
        let unknown =
            || Err(AwsError::refused("InvalidAction", format!("Could not find operation {}", call.operation)));
        Self { outcome: outcome.unwrap_or_else(unknown), change: None }
    }
}
