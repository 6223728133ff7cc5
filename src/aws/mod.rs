//! The one place that sets the AWS SDK up: end points, credentials, time-outs, retries, and the request budget that all
//! rollouts of an account and region share. Adapters take their clients from here and send through [`AwsClients::call`].

mod budget;
mod call;
mod trouble;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_elasticloadbalancingv2::config::retry::{RetryConfig, RetryPartition};
use aws_sdk_elasticloadbalancingv2::config::timeout::TimeoutConfig;
use futures::future::BoxFuture;

pub use aws_sdk_elasticloadbalancingv2::config::Credentials;
pub use budget::{Bucket, Quota, RateBudget, RateBudgets, Rates};
pub use call::{Call, CallError, CallObserver, CallOutcome, NoObserver, SdkError, ServiceError};

/// How long each part of a call may take. The SDK's own default limits the connection only: a request whose answer
/// never comes would hang for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// Opening a connection.
    pub connect: Duration,
    /// From the request sent to the first byte of the answer.
    pub read: Duration,
    /// One attempt, all in.
    pub attempt: Duration,
    /// All attempts of one call with the pauses between them.
    pub operation: Duration,
}

impl Timeouts {
    /// A regional API is at most a few hundred milliseconds away: a second handshake after a lost packet fits in 2 s.
    pub const CONNECT: Duration = Duration::from_secs(2);
    /// The control plane answers in well under a second; 5 s means that this answer will not come, and leaves time for
    /// two more attempts inside [`Self::OPERATION`].
    pub const READ: Duration = Duration::from_secs(5);
    /// As [`Self::READ`]: connecting is part of it, so a hanging attempt costs 5 s whatever part hangs.
    pub const ATTEMPT: Duration = Duration::from_secs(5);
    /// Three attempts of 5 s and the pauses between them (at most 1 s and 2 s), with a little left.
    pub const OPERATION: Duration = Duration::from_secs(20);
}

impl Default for Timeouts {
    fn default() -> Self {
        Self { connect: Self::CONNECT, read: Self::READ, attempt: Self::ATTEMPT, operation: Self::OPERATION }
    }
}

/// A role to assume before anything else is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Role {
    /// The role.
    pub arn: String,
    /// What its trust policy asks for, against the confused deputy.
    pub external_id: Option<String>,
}

/// What may be set apart from the SDK's own ways (environment, profiles, container and instance roles).
#[derive(Clone)]
pub struct AwsSettings {
    /// Where calls go whose region no ARN tells; `None` = as the SDK finds it.
    pub region: Option<String>,
    /// One address for all services, instead of AWS: for stand-ins.
    pub endpoint: Option<String>,
    /// Fixed credentials; `None` = the SDK's chain.
    pub credentials: Option<Credentials>,
    /// A role to assume.
    pub role: Option<Role>,
    /// Limits of each call.
    pub timeouts: Timeouts,
    /// Attempts of one call, the first included. Three is the SDK's standard.
    pub attempts: u32,
    /// Told of every call.
    pub observer: Arc<dyn CallObserver>,
    /// The request budgets; give all clients of one process the same.
    pub budgets: RateBudgets,
}

impl AwsSettings {
    /// Attempts of one call: the SDK's standard.
    pub const ATTEMPTS: u32 = 3;
}

impl Default for AwsSettings {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            credentials: None,
            role: None,
            timeouts: Timeouts::default(),
            attempts: Self::ATTEMPTS,
            observer: Arc::new(NoObserver),
            budgets: RateBudgets::default(),
        }
    }
}

/// The clients of one region.
#[derive(Debug, Clone)]
pub struct Regional {
    /// Load balancing: reads, and writes that move forward.
    pub elb: aws_sdk_elasticloadbalancingv2::Client,
    /// Load balancing for rollbacks: its own connections and retry quota, so that forward calls that fail cannot use up
    /// the retries that a rollback needs (the SDK shares one quota among all clients of a service otherwise).
    pub elb_rollback: aws_sdk_elasticloadbalancingv2::Client,
    /// Metrics and alarms.
    pub cloudwatch: aws_sdk_cloudwatch::Client,
}

/// Clients for one set of credentials, made per region as ARNs name them. Cheap to clone.
#[derive(Clone)]
pub struct AwsClients {
    config: SdkConfig,
    observer: Arc<dyn CallObserver>,
    budgets: RateBudgets,
    regions: Arc<Mutex<BTreeMap<String, Regional>>>,
}

impl AwsClients {
    /// Sets the SDK up. Sends nothing, unless a role is to be assumed from credentials that must be fetched.
    pub async fn connect(settings: AwsSettings) -> Self {
        let Timeouts { connect, read, attempt, operation } = settings.timeouts;
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(connect)
            .read_timeout(read)
            .operation_attempt_timeout(attempt)
            .operation_timeout(operation)
            .build();
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .timeout_config(timeouts)
            // Not adaptive: that makes first sends wait too, also those of a rollback.
            .retry_config(RetryConfig::standard().with_max_attempts(settings.attempts));
        if let Some(region) = settings.region {
            loader = loader.region(Region::new(region));
        }
        if let Some(endpoint) = settings.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(credentials) = settings.credentials {
            loader = loader.credentials_provider(credentials);
        }
        let mut config = loader.load().await;
        if let Some(role) = settings.role {
            config = assume(config, role).await;
        }
        Self {
            config,
            observer: settings.observer,
            budgets: settings.budgets,
            regions: Arc::new(Mutex::new(BTreeMap::new())),
        }
    }

    /// The clients of a region; an empty name means the region of the settings.
    pub fn in_region(&self, region: &str) -> Regional {
        let mut regions = self.regions.lock().unwrap_or_else(PoisonError::into_inner);
        regions.entry(region.to_owned()).or_insert_with(|| regional(&self.config, region)).clone()
    }

    /// A client that asks who we are.
    pub fn sts(&self) -> aws_sdk_sts::Client {
        aws_sdk_sts::Client::new(&self.config)
    }

    /// The request budget of an account in a region, shared by all rollouts.
    pub fn budget(&self, account: &str, region: &str) -> Arc<RateBudget> {
        self.budgets.of(account, region)
    }

    /// Awaits one SDK call, tells the observer, and puts an error into operator's words. Boxed, because the SDK's futures
    /// are tens of kilobytes each.
    pub fn call<'a, T, E>(
        &'a self,
        call: Call,
        sending: impl Future<Output = Result<T, SdkError<E>>> + Send + 'a,
    ) -> BoxFuture<'a, Result<T, CallError>>
    where
        T: Send + 'a,
        E: ServiceError,
    {
        Box::pin(call::observe(self.observer.as_ref(), call, sending))
    }
}

async fn assume(config: SdkConfig, role: Role) -> SdkConfig {
    // CloudTrail shows this name beside every call.
    let mut provider = AssumeRoleProvider::builder(role.arn).session_name("greenshift").configure(&config);
    if let Some(external_id) = role.external_id {
        provider = provider.external_id(external_id);
    }
    let provider = provider.build().await;
    config
        .into_builder()
        .credentials_provider(aws_sdk_elasticloadbalancingv2::config::SharedCredentialsProvider::new(provider))
        .build()
}

fn regional(config: &SdkConfig, region: &str) -> Regional {
    let region = (!region.is_empty()).then(|| Region::new(region.to_owned()));
    let mut elb = aws_sdk_elasticloadbalancingv2::config::Builder::from(config);
    let mut cloudwatch = aws_sdk_cloudwatch::config::Builder::from(config);
    if let Some(region) = region {
        elb = elb.region(region.clone());
        cloudwatch = cloudwatch.region(region);
    }
    // A custom partition owns its quota of retries; without one, all clients of a service and region share it.
    let quota = |name: &'static str| RetryPartition::custom(name).build();
    let rollback = elb.clone().retry_partition(quota("greenshift-rollback"));
    let elb = elb.retry_partition(quota("greenshift-forward"));
    let cloudwatch = cloudwatch.retry_partition(quota("greenshift-metrics"));
    Regional {
        elb: aws_sdk_elasticloadbalancingv2::Client::from_conf(elb.build()),
        elb_rollback: aws_sdk_elasticloadbalancingv2::Client::from_conf(rollback.build()),
        cloudwatch: aws_sdk_cloudwatch::Client::from_conf(cloudwatch.build()),
    }
}
