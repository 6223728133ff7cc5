//! The composition root: it alone names the real adapters, and it alone knows the order of start and stop.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::model::IamView;
use crate::api::{self, ApiState};
use crate::aws::{self, AwsClients, RateBudgets, Rates, Timeouts};
use crate::clock::{Clock, SystemClock};
use crate::config::controller::{Database, MetricProviderChoice, Settings, TrafficRouterChoice};
use crate::controller::{self, Handle, Ports, StartError};
use crate::journal::memory::MemoryJournal;
use crate::journal::sqlite::SqliteJournal;
use crate::journal::{Journal, JournalError};
use crate::metric_provider::MetricProvider;
use crate::metric_provider::batch::{BatchLimits, BatchRunner, Batcher};
use crate::metric_provider::cloudwatch::CloudWatch;
use crate::metric_provider::memory::MemoryMetrics;
use crate::telemetry::{Metrics, MetricsError};
use crate::traffic_router::TrafficRouter;
use crate::traffic_router::alb::{AlbRouter, iam as alb_iam};
use crate::traffic_router::memory::MemoryRouter;

/// A controller that is ready to serve.
pub struct App {
    handle: Handle,
    listener: TcpListener,
    address: SocketAddr,
    stop: CancellationToken,
    tasks: TaskTracker,
    body_max: usize,
    iam: Arc<[IamView]>,
    shutdown_max: Duration,
}

/// Why it could not start.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The address cannot be listened on.
    #[error("cannot listen on {address}; is another greenshift running there? Choose another address with `listen`")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// The journal cannot be opened.
    #[error("the journal cannot be opened")]
    Journal(#[from] JournalError),
    /// The rollouts cannot be loaded.
    #[error("the controller cannot start")]
    Start(#[from] StartError),
    /// The metrics cannot be set up.
    #[error("the controller cannot start")]
    Metrics(#[from] MetricsError),
}

impl App {
    /// Everything that the settings name, listening, its rollouts loaded and ticking.
    pub async fn build(settings: Settings) -> Result<Self, AppError> {
        let metrics = Arc::new(Metrics::new()?);
        metrics.watch_process()?;
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        // First: it is what another process of the same database would notice.
        let journal = journal(&settings.database).await?;
        let (router, (metric_provider, batching)) = match (settings.traffic_router, settings.metric_provider) {
            // Without AWS nobody looks for its credentials.
            (TrafficRouterChoice::Memory, MetricProviderChoice::Memory) => (in_memory(), (remembered(&clock), None)),
            (router, metrics_from) => {
                let clients = aws_clients(&settings, &metrics).await;
                (traffic_router(router, &clients), metric_provider(metrics_from, clients, &clock))
            }
        };
        let app = Self::with_ports(&settings, Ports { journal, router, metric_provider, clock, metrics }).await?;
        if let Some(batching) = batching {
            app.tasks.spawn(batching.run());
        }
        Ok(app)
    }

    /// The same with other adapters than the settings name: for the demo and for tests.
    pub async fn with_ports(settings: &Settings, ports: Ports) -> Result<Self, AppError> {
        let listen = |source| AppError::Listen { address: settings.listen, source };
        let listener = TcpListener::bind(settings.listen).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let stop = CancellationToken::new();
        let handle = controller::start(ports, controller_settings(settings), stop.clone()).await?;
        Ok(Self {
            handle,
            listener,
            address,
            stop,
            tasks: TaskTracker::new(),
            body_max: settings.limits.body_bytes,
            iam: iam(settings),
            shutdown_max: settings.shutdown_timeout.to_std(),
        })
    }

    /// Where it listens: with the real port where the settings said 0.
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The rollouts.
    pub const fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Cancel it to stop the controller.
    pub const fn stop(&self) -> &CancellationToken {
        &self.stop
    }

    /// Serves until the stop token is cancelled; then finishes open calls and running ticks, for as long as the
    /// settings allow. `false`: that was not long enough, and something was cut off. Nothing is lost by that: what was
    /// decided is on disk, and the next start goes on from there.
    pub async fn run_until_stopped(self) -> bool {
        let Self { handle, listener, stop, tasks, body_max, iam, shutdown_max, .. } = self;
        let routes = api::routes(ApiState { handle: handle.clone(), stop: stop.clone(), body_max, iam });
        let serving = api::serve(listener, routes, stop.clone());
        let deadline = async {
            stop.cancelled().await;
            tokio::time::sleep(shutdown_max).await;
        };
        let all = async {
            serving.await;
            handle.stopped().await;
        };
        let finished = tokio::select! {
            () = all => true,
            () = deadline => false,
        };
        tasks.close();
        finished
    }
}

async fn journal(database: &Database) -> Result<Arc<dyn Journal>, JournalError> {
    Ok(match database {
        Database::Sqlite(path) => Arc::new(SqliteJournal::open(path).await?),
        Database::Memory => Arc::new(MemoryJournal::new()),
    })
}

async fn aws_clients(settings: &Settings, metrics: &Arc<Metrics>) -> AwsClients {
    let configured = &settings.aws;
    let rate = |per_second: u32, burst: u32| (f64::from(per_second), f64::from(burst));
    AwsClients::connect(aws::AwsSettings {
        timeouts: Timeouts {
            connect: configured.connect_timeout.to_std(),
            read: configured.read_timeout.to_std(),
            attempt: configured.attempt_timeout.to_std(),
            operation: configured.operation_timeout.to_std(),
        },
        attempts: aws::AwsSettings::ATTEMPTS,
        observer: Arc::<Metrics>::clone(metrics),
        budgets: RateBudgets::new(Rates {
            modify: rate(configured.modify_per_second, configured.modify_burst),
            describe: rate(configured.describe_per_second, configured.describe_burst),
        }),
        ..aws::AwsSettings::default()
    })
    .await
}

fn in_memory() -> Arc<dyn TrafficRouter> {
    Arc::new(MemoryRouter::new())
}

fn remembered(clock: &Arc<dyn Clock>) -> Arc<dyn MetricProvider> {
    Arc::new(MemoryMetrics::new(Arc::clone(clock)))
}

fn traffic_router(choice: TrafficRouterChoice, clients: &AwsClients) -> Arc<dyn TrafficRouter> {
    match choice {
        TrafficRouterChoice::Alb => Arc::new(AlbRouter::new(clients.clone())),
        TrafficRouterChoice::Memory => in_memory(),
    }
}

fn metric_provider(
    choice: MetricProviderChoice,
    clients: AwsClients,
    clock: &Arc<dyn Clock>,
) -> (Arc<dyn MetricProvider>, Option<BatchRunner>) {
    match choice {
        MetricProviderChoice::Cloudwatch => {
            let source = CloudWatch::new(clients, Arc::clone(clock));
            let (batcher, runner) = Batcher::new(Arc::new(source), BatchLimits::default());
            (Arc::new(batcher), Some(runner))
        }
        MetricProviderChoice::Memory => (remembered(clock), None),
    }
}

/// What the adapters of these settings are allowed to do in AWS, and need to be.
fn iam(settings: &Settings) -> Arc<[IamView]> {
    let mut actions = Vec::new();
    if settings.traffic_router == TrafficRouterChoice::Alb {
        actions.extend(alb_iam::IAM_ACTIONS.iter().map(|known| IamView {
            action: known.action.to_owned(),
            purpose: known.purpose.to_owned(),
            optional: known.optional,
            scoped: known.scoped,
        }));
    }
    if settings.metric_provider == MetricProviderChoice::Cloudwatch {
        let needed = [
            ("cloudwatch:GetMetricData", "count the requests and errors of both groups"),
            ("cloudwatch:DescribeAlarms", "read the alarms that a plan names"),
        ];
        actions.extend(needed.map(|(action, purpose)| IamView {
            action: action.to_owned(),
            purpose: purpose.to_owned(),
            optional: false,
            scoped: false,
        }));
    }
    actions.into()
}

fn controller_settings(settings: &Settings) -> controller::Settings {
    controller::Settings {
        tick_interval: settings.tick_interval.to_std(),
        health_interval: settings.health_interval,
        owner: settings.owner.clone(),
        claim_rules: settings.claim_rules,
        active_rollouts_max: usize::try_from(settings.limits.active_rollouts).unwrap_or(usize::MAX),
    }
}
