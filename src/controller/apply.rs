//! Carrying commands out. Nothing is decided here: a failure is seen by the next look, and commands are made anew.

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::Shared;
use super::observe::Asked;
use super::worker::Message;
use crate::domain::command::{Command, SetWeight, Urgency, WriteOutcome, WriteReport};
use crate::domain::plan::Route;
use crate::domain::rollout::Rollout;

/// Longest time that a tick waits for its writes. What takes longer is given up and made anew: the next look tells
/// whether it arrived.
const WRITE_MAX: Duration = Duration::from_secs(8);

/// A write that was taken is not sent again for this long: until then the read-back may lag behind.
const RESEND_FORWARD: Duration = Duration::from_secs(5);
/// The same for the way back, where nothing may be left to chance.
const RESEND_BACK: Duration = Duration::from_secs(1);

/// Carries commands out, and remembers what became of the last writes.
#[derive(Debug, Default)]
pub(super) struct Applier {
    reports: Vec<WriteReport>,
    sent: Option<(SetWeight, Instant)>,
    wrote: bool,
}

impl Applier {
    /// What became of the last writes.
    pub(super) fn reports(&self) -> &[WriteReport] {
        &self.reports
    }

    /// Whether the last tick sent a write.
    pub(super) const fn wrote(&self) -> bool {
        self.wrote
    }

    /// Carries out the commands of one tick. A forward write is given up when a person asks something meanwhile.
    pub(super) async fn apply(
        &mut self,
        shared: &Shared,
        rollout: &Rollout,
        commands: Vec<Command>,
        inbox: &mut mpsc::Receiver<Message>,
        asked: &mut Asked,
    ) {
        self.wrote = false;
        if commands.is_empty() {
            self.sent = None;
            return;
        }
        let route = &rollout.spec.route;
        for command in commands {
            match command {
                Command::SetWeight(change) => self.set_weight(shared, route, change, inbox, asked).await,
                Command::Claim => mark(shared, rollout, true),
                Command::Release => mark(shared, rollout, false),
            }
        }
    }

    async fn set_weight(
        &mut self,
        shared: &Shared,
        route: &Route,
        change: SetWeight,
        inbox: &mut mpsc::Receiver<Message>,
        asked: &mut Asked,
    ) {
        let resend = match change.urgency {
            Urgency::Forward => RESEND_FORWARD,
            Urgency::Back => RESEND_BACK,
        };
        let just_sent = self.sent.as_ref().is_some_and(|(sent, at)| {
            sent.weight == change.weight && sent.stickiness == change.stickiness && at.elapsed() < resend
        });
        self.wrote = true;
        if just_sent {
            return;
        }
        self.reports = {
            let write = shared.ports.router.write(route, &change);
            tokio::pin!(write);
            let deadline = tokio::time::sleep(WRITE_MAX);
            tokio::pin!(deadline);
            loop {
                tokio::select! {
                    biased;
                    reports = &mut write => break reports,
                    () = &mut deadline => break Vec::new(),
                    Some(message) = inbox.recv() => if let Message::Ask(request, answer) = message {
                        asked.push((request, answer));
                        if change.urgency == Urgency::Forward {
                            break Vec::new();
                        }
                    },
                }
            }
        };
        let taken = !self.reports.is_empty() && self.reports.iter().all(was_taken);
        self.sent = taken.then(|| (change, Instant::now()));
    }
}

const fn was_taken(report: &WriteReport) -> bool {
    match report.outcome {
        WriteOutcome::Written | WriteOutcome::AlreadyThere | WriteOutcome::StickinessRefused(_) => true,
        WriteOutcome::Foreign { .. } | WriteOutcome::Failed(_) => false,
    }
}

/// Sets or takes away our mark, beside everything else: it may fail without harm.
fn mark(shared: &Shared, rollout: &Rollout, claim: bool) {
    if !shared.settings.claim_rules {
        return;
    }
    let (router, route) = (shared.ports.router.clone(), rollout.spec.route.clone());
    let (owner, name) = (shared.settings.owner.clone(), rollout.spec.name.clone());
    shared.tasks.spawn(async move {
        let work =
            async { if claim { router.claim(&route, &owner).await } else { router.release(&route, &owner).await } };
        match tokio::time::timeout(WRITE_MAX, work).await {
            Ok(Ok(())) => {}
            Ok(Err(trouble)) => {
                tracing::warn!(rollout = %name, claim, trouble = trouble.message, "owner tag not changed");
            }
            Err(_elapsed) => tracing::warn!(rollout = %name, claim, "owner tag not changed: no answer in time"),
        }
    });
}
