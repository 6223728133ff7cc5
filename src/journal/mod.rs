//! The journal of events: the port, and one module per store.

pub mod codec;
pub mod memory;
pub mod sqlite;

use async_trait::async_trait;

use crate::domain::event::{NewEvent, Recorded};
use crate::domain::freeze::Freeze;
use crate::domain::ids::{Arn, RolloutName};

/// What can go wrong with a journal.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Somebody else appended first: load again before deciding anything.
    #[error("the journal of `{rollout}` has moved on: expected to follow event {expected}, found {found}")]
    Conflict {
        /// The rollout.
        rollout: RolloutName,
        /// The sequence number that the writer knew.
        expected: u64,
        /// The sequence number that stands there.
        found: u64,
    },
    /// This process no longer owns the journal: another one has opened it since.
    #[error("another process has taken over the journal (epoch {found}, ours {ours})")]
    Superseded {
        /// The epoch of this process.
        ours: u64,
        /// The epoch in the journal.
        found: u64,
    },
    /// A rollout of this name exists.
    #[error("a rollout named `{0}` exists already")]
    Exists(RolloutName),
    /// A rule belongs to another active rollout.
    #[error("{rule} belongs to the active rollout `{owner}`")]
    RuleTaken {
        /// The rule or listener.
        rule: Arn,
        /// The rollout that owns it.
        owner: RolloutName,
    },
    /// No such rollout.
    #[error("no rollout is named `{0}`")]
    NotFound(RolloutName),
    /// An event would not read back as itself (a number that is not finite, say): nothing was kept. Trying again cannot
    /// help; it is a fault of the program.
    #[error("a `{kind}` event of `{rollout}` cannot be kept: {problem}")]
    Unwritable {
        /// The rollout.
        rollout: RolloutName,
        /// The event's type.
        kind: &'static str,
        /// What is wrong with it.
        problem: String,
    },
    /// What is stored cannot be understood: a newer version wrote it, or it is damaged. The text says where and what
    /// to do.
    #[error("the journal cannot be read: {0}")]
    Unreadable(String),
    /// The store cannot be used as it is; the text says what to do.
    #[error("{0}")]
    Unusable(String),
    /// The store did not answer, or refused for a reason that may pass.
    #[error("the journal's store failed: {0}")]
    Store(String),
}

/// Keeps events for ever, in order, and is never wrong about having kept them.
///
/// Times are kept to the microsecond, what is finer is cut off; what `create` and `append` return is what `load` will return.
/// A caller may drop any of these futures at any moment: a write is then kept whole or not at all, as if its answer had
/// been lost.
#[async_trait]
pub trait Journal: Send + Sync + 'static {
    /// Begins a rollout's journal with its first events, and takes its rules. When it returns, they are on disk. Fails
    /// with `Exists` or `RuleTaken` and then has changed nothing.
    async fn create(
        &self,
        rollout: &RolloutName,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError>;

    /// Appends events behind `after_seq`, all or none. When it returns, they are on disk. When it fails with `Conflict`,
    /// `Superseded`, `NotFound`, `RuleTaken` or `Unwritable`, nothing was changed; after any other error the caller
    /// cannot know and must load again. `rules` are the rules that the rollout holds from now on (none when it ended,
    /// all when a new attempt begins): taken or given back in the same transaction, `RuleTaken` if another active
    /// rollout holds one.
    async fn append(
        &self,
        rollout: &RolloutName,
        after_seq: u64,
        rules: &[Arn],
        events: Vec<NewEvent>,
    ) -> Result<Vec<Recorded>, JournalError>;

    /// All events of a rollout behind `after_seq`, oldest first, at most `limit`; none when there are no more. Checks
    /// that none is missing.
    async fn load(&self, rollout: &RolloutName, after_seq: u64, limit: u32) -> Result<Vec<Recorded>, JournalError>;

    /// The names of all rollouts, in order.
    async fn list(&self) -> Result<Vec<RolloutName>, JournalError>;

    /// Removes a rollout and its events for ever, and gives back its rules. The caller has made sure that it ended.
    async fn delete(&self, rollout: &RolloutName) -> Result<(), JournalError>;

    /// What was set last with `set_freeze`, by any process: `None` when all may move forward.
    async fn freeze(&self) -> Result<Option<Freeze>, JournalError>;

    /// Keeps that no rollout moves forward, in place of what was kept before, or `None`: that all may. When it returns,
    /// it is on disk. When it fails with `Superseded`, nothing was changed; after any other error the caller cannot know.
    async fn set_freeze(&self, freeze: Option<Freeze>) -> Result<(), JournalError>;

    /// A cheap question that shows whether the store answers and is still ours.
    async fn ping(&self) -> Result<(), JournalError>;

    /// The epoch under which this process writes: each opening of the store begins a higher one, and ends the right to
    /// write of all before it.
    fn epoch(&self) -> u64;

    /// Waits for writes under way, then lets go of the store: another process may open it. Later calls fail. Dropping
    /// the journal instead loses nothing either.
    async fn close(&self);
}
