//! Joins what many rollouts ask at about the same time into one question.
//!
//! Every rollout has a worker of its own that asks for its own route. A [`Batcher`] in front of the real provider waits a
//! moment for others to ask too, and asks once for all of them: that is how one `GetMetricData` serves many rollouts.
//!
//! What one caller does harms no other: a caller that is dropped or gives up is left out or has its answer thrown away;
//! routes of different accounts or regions are asked apart, so that a region that hangs delays its own rollouts only; a
//! question about alarms that is refused as a whole is asked again for each caller alone; and a provider that panics costs
//! one batch.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{Id, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::{MetricProvider, Query};
use crate::domain::observation::{AlarmSeen, AlarmState, MetricsSeen, Seen, Trouble, TroubleKind};

/// How long and how much a batcher gathers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchLimits {
    /// How long the first question of a batch waits for others.
    pub window: Duration,
    /// Queries and alarm names that close a batch before the window is over.
    pub size: usize,
    /// Questions that may wait in the channel, and as many in piles; more are answered at once with "too many".
    pub queue: usize,
    /// Questions to the provider under way at once for one account and region; what comes meanwhile is joined.
    pub under_way: usize,
}

impl Default for BatchLimits {
    /// 20 ms is far below a tick and far above the time that workers woken by the same tick need to ask.
    fn default() -> Self {
        Self { window: Duration::from_millis(20), size: 500, queue: 4096, under_way: 2 }
    }
}

/// The asking end. Clones ask the same batcher.
#[derive(Debug, Clone)]
pub struct Batcher {
    questions: mpsc::Sender<Question>,
}

/// The working end: runs until every [`Batcher`] is dropped.
pub struct BatchRunner {
    provider: Arc<dyn MetricProvider>,
    limits: BatchLimits,
    questions: mpsc::Receiver<Question>,
}

impl fmt::Debug for BatchRunner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BatchRunner").field("limits", &self.limits).finish_non_exhaustive()
    }
}

#[derive(Debug)]
enum Question {
    Metrics(Asker<Vec<Query>, Vec<Seen<MetricsSeen>>>),
    Alarms(Asker<Vec<String>, Seen<Vec<AlarmSeen>>>),
}

/// What one caller asked, and where it waits.
#[derive(Debug)]
struct Asker<Q, A> {
    asked: Q,
    reply: oneshot::Sender<A>,
}

impl<Q, A> Asker<Q, A> {
    /// Answers; a caller that has gone away does not mind.
    fn answer(self, answer: A) {
        drop(self.reply.send(answer));
    }
}

impl Question {
    fn size(&self) -> usize {
        match self {
            Self::Metrics(asker) => asker.asked.len(),
            Self::Alarms(asker) => asker.asked.len(),
        }
    }

    fn is_abandoned(&self) -> bool {
        match self {
            Self::Metrics(asker) => asker.reply.is_closed(),
            Self::Alarms(asker) => asker.reply.is_closed(),
        }
    }
}

impl Batcher {
    /// A batcher in front of a provider. Nothing is answered until [`BatchRunner::run`] runs.
    pub fn new(provider: Arc<dyn MetricProvider>, limits: BatchLimits) -> (Self, BatchRunner) {
        let (sender, questions) = mpsc::channel(limits.queue.max(1));
        (Self { questions: sender }, BatchRunner { provider, limits, questions })
    }

    async fn ask<Q, A>(&self, asked: Q, wrap: fn(Asker<Q, A>) -> Question) -> Result<A, Trouble> {
        let (reply, answer) = oneshot::channel();
        let transient = |message: &str| Trouble { kind: TroubleKind::Transient, message: message.to_owned() };
        self.questions.try_send(wrap(Asker { asked, reply })).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                transient("too many readings of metrics wait already; tried again later")
            }
            mpsc::error::TrySendError::Closed(_) => transient("metrics are read no more: the controller shuts down"),
        })?;
        answer.await.map_err(|_dropped| transient("the reading of metrics was broken off; tried again later"))
    }
}

#[async_trait]
impl MetricProvider for Batcher {
    async fn fetch(&self, queries: &[Query]) -> Vec<Seen<MetricsSeen>> {
        if queries.is_empty() {
            return Vec::new();
        }
        self.ask(queries.to_vec(), Question::Metrics)
            .await
            .unwrap_or_else(|trouble| vec![Seen::Unreadable(trouble); queries.len()])
    }

    async fn alarms(&self, names: &[String]) -> Seen<Vec<AlarmSeen>> {
        if names.is_empty() {
            return Seen::Read(Vec::new());
        }
        self.ask(names.to_vec(), Question::Alarms).await.unwrap_or_else(Seen::Unreadable)
    }
}

impl BatchRunner {
    /// Gathers and asks until every [`Batcher`] is dropped, then finishes what is left. Dropping it breaks off what is under
    /// way: callers are told so.
    pub async fn run(self) {
        let Self { provider, limits, mut questions } = self;
        let mut desk =
            Desk { provider, limits, piles: BTreeMap::new(), under_way: JoinSet::new(), places: BTreeMap::new() };
        let mut open = true;
        while open || desk.is_busy() {
            let due = desk.due();
            tokio::select! {
                question = questions.recv(), if open && desk.waiting() < limits.queue.max(1) => match question {
                    Some(question) => desk.put(question),
                    None => open = false,
                },
                Some(ended) = desk.under_way.join_next_with_id() => desk.ended(ended.map_or_else(|e| e.id(), |(id, ())| id)),
                () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
            }
            desk.launch(!open);
        }
    }
}

/// What is asked about together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    /// Metrics of an account and region.
    Metrics(String, String),
    /// Alarms.
    Alarms,
}

impl Place {
    /// By a caller's first route; callers ask for one route, as a rule.
    fn of(question: &Question) -> Self {
        match question {
            Question::Alarms(_) => Self::Alarms,
            Question::Metrics(asker) => {
                let rule = asker.asked.first().and_then(|query| query.route.rules().first());
                rule.map_or_else(
                    || Self::Metrics(String::new(), String::new()),
                    |rule| Self::Metrics(rule.account().to_owned(), rule.region().to_owned()),
                )
            }
        }
    }
}

/// Questions about one place.
#[derive(Default)]
struct Pile {
    waiting: Vec<Question>,
    /// When the first of those that wait has waited long enough.
    due: Option<Instant>,
    under_way: usize,
}

/// All that a runner has before it.
struct Desk {
    provider: Arc<dyn MetricProvider>,
    limits: BatchLimits,
    piles: BTreeMap<Place, Pile>,
    under_way: JoinSet<()>,
    places: BTreeMap<Id, Place>,
}

impl Desk {
    fn put(&mut self, question: Question) {
        let window = self.limits.window;
        let pile = self.piles.entry(Place::of(&question)).or_default();
        pile.due.get_or_insert_with(|| Instant::now() + window);
        pile.waiting.push(question);
    }

    /// Questions that wait.
    fn waiting(&self) -> usize {
        self.piles.values().map(|pile| pile.waiting.len()).sum()
    }

    fn is_busy(&self) -> bool {
        !self.under_way.is_empty() || self.waiting() > 0
    }

    /// Whether a pile may be asked about once more.
    fn is_free(&self, pile: &Pile) -> bool {
        pile.under_way < self.limits.under_way.max(1)
    }

    /// When something is to be launched next, apart from what waits for others to end.
    fn due(&self) -> Option<Instant> {
        self.piles.values().filter(|pile| self.is_free(pile)).filter_map(|pile| pile.due).min()
    }

    /// A question to the provider has ended, perhaps in a panic: that has dropped its callers' replies, which tells them.
    fn ended(&mut self, id: Id) {
        let Some(place) = self.places.remove(&id) else { return };
        if let Some(pile) = self.piles.get_mut(&place) {
            pile.under_way = pile.under_way.saturating_sub(1);
        }
    }

    /// Asks about every place whose time has come.
    fn launch(&mut self, hurry: bool) {
        let now = Instant::now();
        let (most, size) = (self.limits.under_way.max(1), self.limits.size);
        for (place, pile) in &mut self.piles {
            let full = pile.waiting.iter().map(Question::size).sum::<usize>() >= size;
            let ripe = hurry || full || pile.due.is_some_and(|due| due <= now);
            if pile.waiting.is_empty() || !ripe || pile.under_way >= most {
                continue;
            }
            pile.due = None;
            let mut batch = std::mem::take(&mut pile.waiting);
            batch.retain(|question| !question.is_abandoned());
            if batch.is_empty() {
                continue;
            }
            pile.under_way += 1;
            let provider = Arc::clone(&self.provider);
            let task = self.under_way.spawn(async move { put_to(provider.as_ref(), batch).await });
            self.places.insert(task.id(), place.clone());
        }
        self.piles.retain(|_place, pile| pile.under_way > 0 || !pile.waiting.is_empty());
    }
}

/// Puts questions about one place to the provider as one.
async fn put_to(provider: &dyn MetricProvider, batch: Vec<Question>) {
    let (mut of_metrics, mut of_alarms) = (Vec::new(), Vec::new());
    for question in batch {
        match question {
            Question::Metrics(asker) => of_metrics.push(asker),
            Question::Alarms(asker) => of_alarms.push(asker),
        }
    }
    if !of_metrics.is_empty() {
        metrics(provider, of_metrics).await;
    }
    if !of_alarms.is_empty() {
        alarms(provider, of_alarms).await;
    }
}

async fn metrics(provider: &dyn MetricProvider, askers: Vec<Asker<Vec<Query>, Vec<Seen<MetricsSeen>>>>) {
    let all: Vec<Query> = askers.iter().flat_map(|asker| asker.asked.iter().cloned()).collect();
    let mut answers = provider.fetch(&all).await.into_iter();
    for asker in askers {
        let mut own: Vec<_> = answers.by_ref().take(asker.asked.len()).collect();
        own.resize_with(asker.asked.len(), || {
            Seen::Unreadable(Trouble {
                kind: TroubleKind::Transient,
                message: "the source of metrics answered fewer queries than it was asked".to_owned(),
            })
        });
        asker.answer(own);
    }
}

async fn alarms(provider: &dyn MetricProvider, askers: Vec<Asker<Vec<String>, Seen<Vec<AlarmSeen>>>>) {
    let names: BTreeSet<String> = askers.iter().flat_map(|asker| asker.asked.iter().cloned()).collect();
    let names: Vec<String> = names.into_iter().collect();
    let answer = provider.alarms(&names).await;
    let alone = askers.len() < 2;
    match answer {
        Seen::Read(alarms) => {
            let states: BTreeMap<String, AlarmState> =
                alarms.into_iter().map(|alarm| (alarm.name, alarm.state)).collect();
            for asker in askers {
                let seen = |name: &String| AlarmSeen {
                    name: name.clone(),
                    state: states.get(name).copied().unwrap_or(AlarmState::Missing),
                };
                let own = asker.asked.iter().map(seen).collect();
                asker.answer(Seen::Read(own));
            }
        }
        // Perhaps one caller's name spoils it for all.
        Seen::Unreadable(Trouble { kind: TroubleKind::Refused, message: _ }) if !alone => {
            for asker in askers {
                let own = provider.alarms(&asker.asked).await;
                asker.answer(own);
            }
        }
        Seen::Unreadable(trouble) => {
            for asker in askers {
                asker.answer(Seen::Unreadable(trouble.clone()));
            }
        }
        Seen::NotAsked => {
            for asker in askers {
                asker.answer(Seen::NotAsked);
            }
        }
    }
}
