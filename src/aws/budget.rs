//! The request budget of an account and region, shared by all rollouts there.
//!
//! Elastic Load Balancing counts requests per account and region, whoever sends them: consoles, controllers, deployments.
//! Keeping well below its limits leaves room for them, and for our own rollbacks, which never wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::domain::observation::{Trouble, TroubleKind};

/// Which of the two budgets a call draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Calls that change something.
    Modify,
    /// Calls that only look.
    Describe,
}

/// The budgets of all accounts and regions. Clones share them.
#[derive(Debug, Clone)]
pub struct RateBudgets {
    rates: Rates,
    budgets: Arc<Mutex<BTreeMap<AccountRegion, Arc<RateBudget>>>>,
}

/// An account and a region: what AWS counts requests by.
type AccountRegion = (String, String);

/// How fast the budgets fill and how much they hold: (calls per second, calls at once).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rates {
    /// Changing calls.
    pub modify: (f64, f64),
    /// Reading calls.
    pub describe: (f64, f64),
}

impl Default for Rates {
    fn default() -> Self {
        Self { modify: RateBudget::MODIFY, describe: RateBudget::DESCRIBE }
    }
}

impl Default for RateBudgets {
    fn default() -> Self {
        Self::new(Rates::default())
    }
}

impl RateBudgets {
    /// Budgets at these rates.
    pub fn new(rates: Rates) -> Self {
        Self { rates, budgets: Arc::default() }
    }

    /// The budget of one account in one region.
    pub fn of(&self, account: &str, region: &str) -> Arc<RateBudget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets.entry((account.to_owned(), region.to_owned()));
        Arc::clone(budget.or_insert_with(|| Arc::new(RateBudget::new(self.rates))))
    }
}

/// What may be sent to one account in one region.
#[derive(Debug)]
pub struct RateBudget {
    modify: Bucket,
    describe: Bucket,
}

impl RateBudget {
    /// Changes per second, and at once. AWS's own load balancer controller keeps to the same.
    pub const MODIFY: (f64, f64) = (3.0, 20.0);
    /// Looks per second, and at once: what AWS documents for the whole account.
    pub const DESCRIBE: (f64, f64) = (10.0, 40.0);

    /// A full budget.
    pub const fn new(rates: Rates) -> Self {
        Self {
            modify: Bucket::new(rates.modify.0, rates.modify.1),
            describe: Bucket::new(rates.describe.0, rates.describe.1),
        }
    }

    /// Waits for its turn, at most `patience`; says at once when that cannot be enough. For forward calls.
    pub async fn wait(&self, quota: Quota, patience: Duration) -> Result<(), Trouble> {
        self.bucket(quota).wait(patience).await.map_err(spent)
    }

    /// Waits until there is something to take, at most `patience`, and takes nothing. What is gathered meanwhile can be
    /// asked for in one call.
    pub async fn ready(&self, quota: Quota, patience: Duration) -> Result<(), Trouble> {
        self.bucket(quota).ready(patience).await.map_err(spent)
    }

    /// Takes without waiting, into debt if need be. For rollbacks.
    pub fn take(&self, quota: Quota) {
        self.bucket(quota).take();
    }

    /// What is left, below zero when rollbacks went into debt.
    pub fn left(&self, quota: Quota) -> f64 {
        self.bucket(quota).left()
    }

    const fn bucket(&self, quota: Quota) -> &Bucket {
        match quota {
            Quota::Modify => &self.modify,
            Quota::Describe => &self.describe,
        }
    }
}

fn spent(needed: Duration) -> Trouble {
    let message = format!(
        "the shared request budget of this account and region is spent: the next call could be sent in {:.1} s; tried \
         again later",
        needed.as_secs_f64()
    );
    Trouble { kind: TroubleKind::Transient, message }
}

impl Default for RateBudget {
    fn default() -> Self {
        Self::new(Rates::default())
    }
}

/// A token bucket: fills at a steady rate up to its size. Reads tokio's clock, so that tests can hold time.
#[derive(Debug)]
pub struct Bucket {
    per_second: f64,
    size: f64,
    level: Mutex<Level>,
}

#[derive(Debug)]
struct Level {
    tokens: f64,
    /// When `tokens` was true; `None` before the first use, while it is full.
    at: Option<Instant>,
}

impl Bucket {
    /// Deepest debt, in seconds of refill: a storm of rollbacks must not stop forward moves for longer than this.
    const DEBT_MAX_SECONDS: f64 = 30.0;

    /// A full bucket.
    pub const fn new(per_second: f64, size: f64) -> Self {
        Self { per_second, size, level: Mutex::new(Level { tokens: size, at: None }) }
    }

    /// Takes one token as soon as its turn comes; when that is further off than `patience`, takes none and returns how
    /// far. Turns are given in the order of asking. A caller that gives up while it waits has used its turn.
    pub async fn wait(&self, patience: Duration) -> Result<(), Duration> {
        let pause = self.with_level(|tokens| {
            let missing = (1.0 - *tokens).max(0.0);
            let pause = Duration::from_secs_f64(missing / self.per_second);
            if pause > patience {
                return Err(pause);
            }
            *tokens -= 1.0;
            Ok(pause)
        })?;
        if !pause.is_zero() {
            sleep(pause).await;
        }
        Ok(())
    }

    /// Waits until there is a whole token, at most `patience`, and takes none.
    pub async fn ready(&self, patience: Duration) -> Result<(), Duration> {
        let mut left = patience;
        loop {
            let pause = Duration::from_secs_f64((1.0 - self.left()).max(0.0) / self.per_second);
            if pause.is_zero() {
                return Ok(());
            }
            left = left.checked_sub(pause).ok_or(pause)?;
            // Others may take it first; then it is waited for again.
            sleep(pause).await;
        }
    }

    /// Takes one token now, also from an empty bucket.
    pub fn take(&self) {
        let floor = -self.per_second * Self::DEBT_MAX_SECONDS;
        self.with_level(|tokens| *tokens = (*tokens - 1.0).max(floor.min(*tokens)));
    }

    /// The tokens that are there now.
    pub fn left(&self) -> f64 {
        self.with_level(|tokens| *tokens)
    }

    fn with_level<T>(&self, act: impl FnOnce(&mut f64) -> T) -> T {
        let now = Instant::now();
        let mut level = self.level.lock().unwrap_or_else(PoisonError::into_inner);
        let filled = level.at.map_or(0.0, |at| now.duration_since(at).as_secs_f64() * self.per_second);
        level.tokens = (level.tokens + filled).min(self.size);
        level.at = Some(now);
        act(&mut level.tokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_hours(1);

    #[tokio::test(start_paused = true)]
    async fn the_burst_is_free_and_then_the_rate_holds() {
        let bucket = Bucket::new(3.0, 20.0);
        let begun = Instant::now();
        for _ in 0..20 {
            bucket.wait(LONG).await.unwrap();
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        for _ in 0..30 {
            bucket.wait(LONG).await.unwrap();
        }
        let took = begun.elapsed().as_secs_f64();
        assert!((9.9..=10.2).contains(&took), "30 more at 3 a second took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn callers_at_the_same_time_together_keep_to_the_rate() {
        let bucket = Bucket::new(10.0, 1.0);
        let begun = Instant::now();
        let all = futures::future::join_all((0..51).map(|_| bucket.wait(LONG))).await;
        assert!(all.iter().all(Result::is_ok));
        let took = begun.elapsed().as_secs_f64();
        assert!((4.9..=5.2).contains(&took), "50 more at 10 a second took {took} s");
    }

    #[tokio::test(start_paused = true)]
    async fn being_ready_takes_nothing() {
        let bucket = Bucket::new(10.0, 2.0);
        bucket.ready(Duration::ZERO).await.unwrap();
        assert!((bucket.left() - 2.0).abs() < 1e-9);
        (0..7).for_each(|_| bucket.take());
        assert!(bucket.ready(Duration::from_millis(500)).await.is_err(), "five below zero and one to have: 600 ms");
        let begun = Instant::now();
        bucket.ready(Duration::from_secs(1)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(599), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_turn_too_far_off_is_refused_at_once_and_costs_nothing() {
        let bucket = Bucket::new(1.0, 1.0);
        bucket.wait(LONG).await.unwrap();
        let begun = Instant::now();
        let needed = bucket.wait(Duration::from_millis(500)).await.unwrap_err();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(needed > Duration::from_millis(900), "{needed:?}");
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(bucket.wait(Duration::ZERO).await.is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rollback_never_waits_and_what_it_takes_is_paid_back_by_forward_calls() {
        let budget = RateBudget::default();
        let begun = Instant::now();
        for _ in 0..50 {
            budget.take(Quota::Modify);
        }
        assert_eq!(begun.elapsed(), Duration::ZERO);
        assert!(budget.left(Quota::Modify) < -29.0, "{}", budget.left(Quota::Modify));
        let refused = budget.wait(Quota::Modify, Duration::from_secs(5)).await.unwrap_err();
        assert_eq!(refused.kind, TroubleKind::Transient);
        budget.wait(Quota::Modify, LONG).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_secs(10), "{:?}", begun.elapsed());
        assert!(budget.left(Quota::Describe) > 39.0, "the other quota is untouched");
    }

    #[tokio::test(start_paused = true)]
    async fn a_storm_of_rollbacks_delays_forward_calls_by_half_a_minute_at_most() {
        let bucket = Bucket::new(3.0, 20.0);
        for _ in 0..10_000 {
            bucket.take();
        }
        let begun = Instant::now();
        bucket.wait(LONG).await.unwrap();
        assert!(begun.elapsed() <= Duration::from_secs(31), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn each_account_and_region_has_its_own_budget() {
        let budgets = RateBudgets::default();
        let shared = budgets.clone();
        budgets.of("1", "eu-west-1").take(Quota::Modify);
        assert!(shared.of("1", "eu-west-1").left(Quota::Modify) < 20.0, "clones share");
        assert!(budgets.of("1", "eu-west-2").left(Quota::Modify) > 19.9);
        assert!(budgets.of("2", "eu-west-1").left(Quota::Modify) > 19.9);
    }
}
