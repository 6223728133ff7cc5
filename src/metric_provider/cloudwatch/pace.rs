//! CloudWatch's own request limits, apart from those of Elastic Load Balancing.

use std::time::Duration;

use crate::aws::{Bucket, Call, CallError, CallOutcome};
use crate::domain::observation::{Trouble, TroubleKind};

/// What may be sent to CloudWatch in one region.
#[derive(Debug)]
pub(super) struct Pace {
    get_metric_data: Bucket,
    describe_alarms: Bucket,
}

impl Pace {
    /// Half of the 50 a second that CloudWatch allows an account and region by default: dashboards want some too.
    const GET_METRIC_DATA: (f64, f64) = (25.0, 25.0);
    /// About half of the 9 a second that it allows.
    const DESCRIBE_ALARMS: (f64, f64) = (4.0, 9.0);
    /// Longest wait for a turn; a reading that is later than this belongs to the next tick.
    const PATIENCE: Duration = Duration::from_secs(5);

    /// Waits for a turn of `GetMetricData`.
    pub(super) async fn get_metric_data(&self, call: Call) -> Result<(), CallError> {
        turn(&self.get_metric_data, call).await
    }

    /// Waits for a turn of `DescribeAlarms`.
    pub(super) async fn describe_alarms(&self, call: Call) -> Result<(), CallError> {
        turn(&self.describe_alarms, call).await
    }
}

impl Default for Pace {
    fn default() -> Self {
        let bucket = |(per_second, burst)| Bucket::new(per_second, burst);
        Self { get_metric_data: bucket(Self::GET_METRIC_DATA), describe_alarms: bucket(Self::DESCRIBE_ALARMS) }
    }
}

async fn turn(bucket: &Bucket, call: Call) -> Result<(), CallError> {
    bucket.wait(Pace::PATIENCE).await.map_err(|needed| CallError {
        trouble: Trouble {
            kind: TroubleKind::Transient,
            message: format!(
                "{call}: this controller's share of the region's request rate is spent for {:.1} s; tried again later",
                needed.as_secs_f64()
            ),
        },
        outcome: CallOutcome::Throttled,
        code: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_turn_too_far_off_is_refused_and_the_other_operation_is_not_concerned() {
        let pace = Pace::default();
        let alarms = Call::cloudwatch("DescribeAlarms");
        let all = (0..100).map(|_| pace.describe_alarms(alarms));
        let answers = futures::future::join_all(all).await;
        let served = answers.iter().filter(|answer| answer.is_ok()).count();
        assert!((28..=30).contains(&served), "9 at once and 4 a second for 5 s: {served}");
        let refused = answers.into_iter().find_map(Result::err).unwrap();
        assert_eq!((refused.trouble.kind, refused.outcome), (TroubleKind::Transient, CallOutcome::Throttled));
        assert!(pace.get_metric_data(Call::cloudwatch("GetMetricData")).await.is_ok());
    }
}
