//! A journal against a model of it, for any sequence of calls.

use greenshift::domain::ids::RolloutName;
use greenshift::journal::JournalError;
use proptest::prelude::*;

use super::{Store, all, name, rule, sequence, several, texts};

/// One thing done to a journal, over three rollouts and three rules.
#[derive(Debug, Clone)]
enum Deed {
    Create { rollout: usize, rules: Vec<u32>, count: usize },
    Append { rollout: usize, off: i64, rules: Vec<u32>, count: usize },
    Delete { rollout: usize },
    Restart,
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let rules = || proptest::collection::vec(0_u32..3, 0..3);
    let deed = prop_oneof![
        3 => (0..3_usize, rules(), 0..3_usize)
            .prop_map(|(rollout, rules, count)| Deed::Create { rollout, rules, count }),
        8 => (0..3_usize, prop_oneof![6 => Just(0_i64), 1 => -2..3_i64], rules(), 0..4_usize)
            .prop_map(|(rollout, off, rules, count)| Deed::Append { rollout, off, rules, count }),
        1 => (0..3_usize).prop_map(|rollout| Deed::Delete { rollout }),
        1 => Just(Deed::Restart),
    ];
    proptest::collection::vec(deed, 1..25)
}

/// What a journal must be equal to: texts and rules by rollout.
#[derive(Debug, Default)]
struct Model([Option<(Vec<String>, Vec<u32>)>; 3]);

impl Model {
    fn is_taken(&self, rollout: usize, rules: &[u32]) -> bool {
        let others = self.0.iter().enumerate().filter(|(other, _)| *other != rollout);
        others.filter_map(|(_, kept)| kept.as_ref()).any(|(_, held)| held.iter().any(|rule| rules.contains(rule)))
    }

    /// Does the deed; says what kind of answer is due.
    fn apply(&mut self, deed: &Deed, text: &str) -> &'static str {
        let new = |count: usize| (0..count).map(|number| format!("{text} {number}"));
        match deed {
            Deed::Create { rollout, rules, count } => {
                if self.0[*rollout].is_some() {
                    return "exists";
                }
                if self.is_taken(*rollout, rules) {
                    return "rule taken";
                }
                self.0[*rollout] = Some((new(*count).collect(), rules.clone()));
                "ok"
            }
            Deed::Append { rollout, off, rules, count } => {
                let taken = self.is_taken(*rollout, rules);
                let Some((texts, held)) = &mut self.0[*rollout] else { return "not found" };
                if after(texts.len(), *off) != texts.len() as u64 {
                    return "conflict";
                }
                if taken {
                    return "rule taken";
                }
                texts.extend(new(*count));
                held.clone_from(rules);
                "ok"
            }
            Deed::Delete { rollout } => self.0[*rollout].take().map_or("not found", |_| "ok"),
            Deed::Restart => "ok",
        }
    }
}

fn after(len: usize, off: i64) -> u64 {
    (len as u64).saturating_add_signed(off)
}

const NAMES: [&str; 3] = ["a", "a-b", "b"];

async fn perform(store: &mut impl Store, deed: &Deed, text: &str, len: usize) -> &'static str {
    let journal = store.journal();
    let arns = |rules: &[u32]| rules.iter().copied().map(rule).collect::<Vec<_>>();
    let result = match deed {
        Deed::Create { rollout, rules, count } => {
            journal.create(&name(NAMES[*rollout]), &arns(rules), several(text, *count)).await.map(drop)
        }
        Deed::Append { rollout, off, rules, count } => {
            let events = several(text, *count);
            journal.append(&name(NAMES[*rollout]), after(len, *off), &arns(rules), events).await.map(drop)
        }
        Deed::Delete { rollout } => journal.delete(&name(NAMES[*rollout])).await,
        Deed::Restart => {
            drop(journal);
            store.restart().await;
            Ok(())
        }
    };
    match result {
        Ok(()) => "ok",
        Err(JournalError::Exists(_)) => "exists",
        Err(JournalError::NotFound(_)) => "not found",
        Err(JournalError::Conflict { .. }) => "conflict",
        Err(JournalError::RuleTaken { .. }) => "rule taken",
        Err(other) => panic!("{other}"),
    }
}

/// Any sequence of calls gives what the model gives, answers and contents.
pub(super) async fn any_history_equals_the_model<S: Store>(store: S) {
    drop(store);
    let runtime = tokio::runtime::Handle::current();
    let cases = ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() };
    let run = move || {
        proptest!(cases, |(deeds in deeds())| {
            runtime.block_on(async {
                let (mut store, mut model) = (S::new().await, Model::default());
                for (number, deed) in deeds.iter().enumerate() {
                    let text = format!("deed {number}");
                    let len = match deed {
                        Deed::Append { rollout, .. } => model.0[*rollout].as_ref().map_or(0, |(texts, _)| texts.len()),
                        Deed::Create { .. } | Deed::Delete { .. } | Deed::Restart => 0,
                    };
                    assert_eq!(perform(&mut store, deed, &text, len).await, model.apply(deed, &text), "{deed:?}");
                }
                let journal = store.journal();
                let expected = NAMES.iter().zip(&model.0).filter_map(|(name, kept)| kept.as_ref().map(|_| *name));
                let listed = journal.list().await.unwrap();
                assert_eq!(listed.iter().map(RolloutName::as_str).collect::<Vec<_>>(), expected.collect::<Vec<_>>());
                for (rollout, kept) in NAMES.iter().zip(&model.0) {
                    let Some((expected, _)) = kept else { continue };
                    let loaded = all(&*journal, &name(rollout)).await;
                    assert_eq!(texts(&loaded), *expected);
                    assert_eq!(sequence(&loaded), (1..=expected.len() as u64).collect::<Vec<_>>());
                }
            });
        });
    };
    tokio::task::spawn_blocking(run).await.unwrap();
}
