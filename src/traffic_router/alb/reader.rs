//! Reading the rules of many rollouts in few calls.
//!
//! Every rollout reads its rules at every tick, and the API describes twenty in one call. While the request budget has
//! something left a read goes out at once; when it has not, all reads that come while it is waited for go out together.
//! So the number of rollouts does not set the number of calls, and no read is older than its asking.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};

use super::api::{Api, absent};
use super::described::{Described, Each, each};
use crate::aws::{Call, CallError, CallOutcome};
use crate::domain::command::Urgency;
use crate::domain::ids::Arn;

/// Reads of one account and region that go out together. Whoever awaits it drives it, so that a reader that gives up
/// does not leave the others waiting.
type Together = Shared<BoxFuture<'static, Arc<Each>>>;

/// Reads that wait for the budget.
struct Gathering {
    /// The rules asked for so far; `None` once they are on their way.
    rules: Arc<Mutex<Option<BTreeSet<Arn>>>>,
    answer: Together,
}

/// Joins reads.
pub(super) struct Reader {
    api: Api,
    /// By account and region.
    gathering: Mutex<BTreeMap<(String, String), Gathering>>,
    /// Rules that could not be read by themselves either, such as deleted ones: they are read alone until they can, so
    /// that they do not make the API refuse everybody's batch at every tick.
    alone: Arc<Mutex<BTreeSet<Arn>>>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Reader {
    pub(super) fn new(api: Api) -> Self {
        Self { api, gathering: Mutex::default(), alone: Arc::default() }
    }

    /// All of `rules`, or the first error among them.
    pub(super) async fn read(&self, rules: &[Arn]) -> Result<BTreeMap<Arn, Described>, CallError> {
        let Some(first) = rules.first() else { return Ok(BTreeMap::new()) };
        let answer = self.join(first, rules).await;
        let one = |arn: &Arn| {
            let read = answer.get(arn).cloned();
            let read = read.unwrap_or_else(|| Err(absent(Call::elb("DescribeRules"), arn)))?;
            Ok((arn.clone(), read))
        };
        rules.iter().map(one).collect()
    }

    /// Adds the rules to those that wait, or begins to wait.
    fn join(&self, at: &Arn, rules: &[Arn]) -> Together {
        let key = (at.account().to_owned(), at.region().to_owned());
        let mut gathering = locked(&self.gathering);
        if let Some(open) = gathering.get(&key)
            && let Some(asked) = locked(&open.rules).as_mut()
        {
            asked.extend(rules.iter().cloned());
            return open.answer.clone();
        }
        let asked = Arc::new(Mutex::new(Some(rules.iter().cloned().collect())));
        let answer = go(self.api.clone(), at.clone(), Arc::clone(&asked), Arc::clone(&self.alone)).boxed().shared();
        gathering.insert(key, Gathering { rules: asked, answer: answer.clone() });
        answer
    }
}

/// Waits for the budget, then reads all that was asked for meanwhile.
async fn go(
    api: Api,
    at: Arn,
    asked: Arc<Mutex<Option<BTreeSet<Arn>>>>,
    alone: Arc<Mutex<BTreeSet<Arn>>>,
) -> Arc<Each> {
    let ready = api.ready(&at).await;
    let rules = locked(&asked).take().unwrap_or_default();
    if let Err(error) = ready {
        return Arc::new(rules.into_iter().map(|arn| (arn, Err(error.clone()))).collect());
    }
    let (apart, rest): (Vec<Arn>, Vec<Arn>) = {
        let alone = locked(&alone);
        rules.into_iter().partition(|arn| alone.contains(arn))
    };
    let mut found = each(&api, &rest, Urgency::Forward).await;
    for arn in &apart {
        found.extend(each(&api, std::slice::from_ref(arn), Urgency::Forward).await);
    }
    let mut alone = locked(&alone);
    for (arn, read) in &found {
        match read {
            Err(error) if error.outcome == CallOutcome::Rejected => alone.insert(arn.clone()),
            Ok(_) => alone.remove(arn),
            // Says nothing about the rule.
            Err(_) => false,
        };
    }
    Arc::new(found)
}
