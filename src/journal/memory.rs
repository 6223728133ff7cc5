//! The journal in memory: for tests, simulations and the demo. It keeps the promises of a journal, except that it ends
//! with the process, and can be made to fail as stores do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{Journal, JournalError, codec};
use crate::domain::event::{NewEvent, Recorded};
use crate::domain::freeze::Freeze;
use crate::domain::ids::{Arn, RolloutName};

/// A way in which a write can fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The write fails, and nothing was kept.
    BeforeKept,
    /// The write is kept, and the answer is lost: the caller is told that it failed.
    AfterKept,
}

/// A journal in memory. What is kept outlives this handle: [`MemoryJournal::reopen`] is what a process finds that starts
/// after this one.
#[derive(Debug)]
pub struct MemoryJournal {
    store: Arc<Mutex<Store>>,
    epoch: u64,
}

#[derive(Debug, Default)]
struct Store {
    epoch: u64,
    rollouts: BTreeMap<RolloutName, Vec<Recorded>>,
    owners: BTreeMap<Arn, RolloutName>,
    freeze: Option<Freeze>,
    faults: VecDeque<Fault>,
    silent: bool,
    closed: BTreeSet<u64>,
}

impl Default for MemoryJournal {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryJournal {
    /// An empty journal.
    pub fn new() -> Self {
        Self { store: Arc::new(Mutex::new(Store { epoch: 1, ..Store::default() })), epoch: 1 }
    }

    /// Opens what this journal keeps once more, under a new epoch: from now on `self` may only read.
    #[must_use]
    pub fn reopen(&self) -> Self {
        let mut store = self.lock();
        store.epoch = store.epoch.saturating_add(1);
        Self { store: Arc::clone(&self.store), epoch: store.epoch }
    }

    /// Makes the next write fail that has no fault before it in the queue.
    pub fn fail_next(&self, fault: Fault) {
        self.lock().faults.push_back(fault);
    }

    /// Makes every call fail until it is told to answer again.
    pub fn set_answering(&self, answering: bool) {
        self.lock().silent = !answering;
    }

    fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The store, if it answers.
    fn reach(&self) -> Result<MutexGuard<'_, Store>, JournalError> {
        let store = self.lock();
        if store.closed.contains(&self.epoch) {
            return Err(JournalError::Store("the journal is closed".to_owned()));
        }
        if store.silent {
            return Err(JournalError::Store("no answer".to_owned()));
        }
        Ok(store)
    }

    /// Does one write: all of it or nothing, under the faults that are set.
    fn write<T>(&self, change: impl FnOnce(&mut Store) -> Result<T, JournalError>) -> Result<T, JournalError> {
        let mut store = self.reach()?;
        let fault = store.faults.pop_front();
        if fault == Some(Fault::BeforeKept) {
            return Err(JournalError::Store("the write failed".to_owned()));
        }
        if store.epoch != self.epoch {
            return Err(JournalError::Superseded { ours: self.epoch, found: store.epoch });
        }
        let answer = change(&mut store)?;
        if fault == Some(Fault::AfterKept) {
            return Err(JournalError::Store("the answer was lost".to_owned()));
        }
        Ok(answer)
    }
}

impl Store {
    /// Makes `rules` the ones that the rollout holds, unless another holds one of them.
    fn hold(&mut self, rollout: &RolloutName, rules: &[Arn]) -> Result<(), JournalError> {
        let rules: BTreeSet<&Arn> = rules.iter().collect();
        for rule in &rules {
            if let Some(owner) = self.owners.get(*rule).filter(|owner| *owner != rollout) {
                return Err(JournalError::RuleTaken { rule: (*rule).clone(), owner: owner.clone() });
            }
        }
        self.owners.retain(|_, owner| owner != rollout);
        self.owners.extend(rules.into_iter().map(|rule| (rule.clone(), rollout.clone())));
        Ok(())
    }
}

#[async_trait]
impl Journal for MemoryJournal {
    async fn create(
        &self,
        rollout: &RolloutName,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        let numbered = codec::number(rollout, 0, events)?;
        let recorded: Vec<Recorded> = numbered.into_iter().map(|event| event.recorded).collect();
        self.write(|store| {
            if store.rollouts.contains_key(rollout) {
                return Err(JournalError::Exists(rollout.clone()));
            }
            store.hold(rollout, rules)?;
            store.rollouts.insert(rollout.clone(), recorded.clone());
            Ok(())
        })?;
        Ok(recorded)
    }

    async fn append(
        &self,
        rollout: &RolloutName,
        after_seq: u64,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError> {
        let numbered = codec::number(rollout, after_seq, events)?;
        let recorded: Vec<Recorded> = numbered.into_iter().map(|event| event.recorded).collect();
        self.write(|store| {
            let kept = store.rollouts.get(rollout).ok_or_else(|| JournalError::NotFound(rollout.clone()))?;
            let found = kept.last().map_or(0, |event| event.seq);
            if found != after_seq {
                return Err(JournalError::Conflict { rollout: rollout.clone(), expected: after_seq, found });
            }
            store.hold(rollout, rules)?;
            if let Some(kept) = store.rollouts.get_mut(rollout) {
                kept.extend(recorded.iter().cloned());
            }
            Ok(())
        })?;
        Ok(recorded)
    }

    async fn load(&self, rollout: &RolloutName, after_seq: u64, limit: u32) -> Result<Vec<Recorded>, JournalError> {
        let store = self.reach()?;
        let kept = store.rollouts.get(rollout).ok_or_else(|| JournalError::NotFound(rollout.clone()))?;
        let from = usize::try_from(after_seq).unwrap_or(usize::MAX);
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(kept.iter().skip(from).take(limit).cloned().collect())
    }

    async fn list(&self) -> Result<Vec<RolloutName>, JournalError> {
        Ok(self.reach()?.rollouts.keys().cloned().collect())
    }

    async fn delete(&self, rollout: &RolloutName) -> Result<(), JournalError> {
        self.write(|store| {
            store.rollouts.remove(rollout).ok_or_else(|| JournalError::NotFound(rollout.clone()))?;
            store.owners.retain(|_, owner| owner != rollout);
            Ok(())
        })
    }

    async fn freeze(&self) -> Result<Option<Freeze>, JournalError> {
        Ok(self.reach()?.freeze.clone())
    }

    async fn set_freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError> {
        let freeze = freeze.map(|freeze| Freeze { at: codec::to_microsecond(freeze.at), ..freeze });
        self.write(|store| {
            store.freeze = freeze;
            Ok(())
        })
    }

    async fn ping(&self) -> Result<(), JournalError> {
        let found = self.reach()?.epoch;
        if found == self.epoch { Ok(()) } else { Err(JournalError::Superseded { ours: self.epoch, found }) }
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    async fn close(&self) {
        self.lock().closed.insert(self.epoch);
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::event::Event;

    fn cleared() -> Vec<NewEvent> {
        vec![NewEvent { at: Timestamp::UNIX_EPOCH, actor: "greenshift".to_owned(), event: Event::DriftCleared }]
    }

    #[tokio::test]
    async fn a_fault_hits_one_write_before_or_after_it_is_kept() {
        let (journal, web) = (MemoryJournal::new(), RolloutName::parse("web").unwrap());
        journal.create(&web, &[], cleared()).await.unwrap();
        journal.fail_next(Fault::BeforeKept);
        journal.fail_next(Fault::AfterKept);
        for kept in [1, 2] {
            assert!(matches!(journal.append(&web, 1, &[], cleared()).await, Err(JournalError::Store(_))));
            assert_eq!(journal.load(&web, 0, 9).await.unwrap().len(), kept);
        }
        assert!(matches!(
            journal.append(&web, 1, &[], cleared()).await,
            Err(JournalError::Conflict { expected: 1, found: 2, .. })
        ));
        journal.append(&web, 2, &[], cleared()).await.unwrap();
    }

    #[tokio::test]
    async fn a_store_that_does_not_answer_loses_nothing() {
        let (journal, web) = (MemoryJournal::new(), RolloutName::parse("web").unwrap());
        journal.create(&web, &[], cleared()).await.unwrap();
        journal.set_answering(false);
        assert!(matches!(journal.ping().await, Err(JournalError::Store(_))));
        assert!(matches!(journal.load(&web, 0, 9).await, Err(JournalError::Store(_))));
        assert!(matches!(journal.append(&web, 1, &[], cleared()).await, Err(JournalError::Store(_))));
        journal.set_answering(true);
        assert_eq!(journal.load(&web, 0, 9).await.unwrap().len(), 1);
    }
}
