//! From metric periods to verdicts: what is closed, what may still change, and what each check says of it.
//!
//! Bad news may be early, good news must be settled (rule 5). So the evidence of closed periods is kept, and the periods
//! that may still be corrected are judged again from there whenever they are asked about: once over the settled ones,
//! whose last word may promote, and on over the unsettled ones, any of which may roll back.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::check::{self, CheckJudge, Finding, Terms};
use super::event::Verdict;
use super::observation::{LatencySeen, MetricsSeen, Period};
use super::plan::{Plan, Question};
use super::time::{Span, after};
use crate::judge::Conclusion;
use crate::judge::share::ShareEvidence;

/// How long after its end a period may still be corrected. CloudWatch publishes no bound; corrections within minutes
/// are common, later ones were not found described.
pub const OPEN_FOR: Span = Span::from_mins(10);

/// How much of blue's past is read before the first shift: three half-lives of the judge's reference.
pub const HISTORY: Span = Span::from_hours(3);

/// Fewest periods of history that are asked for, whatever their length, and most.
pub const HISTORY_PERIODS_MAX: u32 = 720;

/// A period that may still be corrected.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OpenPeriod {
    /// What it said when it was last read.
    pub period: Period,
    /// Whether it was read at least twice without a change in between.
    pub alike: bool,
}

/// Green's weight was seen on every rule from this moment on.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Mark {
    /// When it was confirmed.
    pub at: Timestamp,
    /// Green's share, 0 to 1.
    pub now: f64,
    /// The share that proof would lead to.
    pub next: Option<f64>,
}

/// What an attempt has learned from its metrics.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AnalysisState {
    /// Every period that begins before it is part of the closed evidence or is missing for ever.
    pub closed_until: Option<Timestamp>,
    /// Periods that may still be corrected, by their beginning.
    pub open: BTreeMap<Timestamp, OpenPeriod>,
    /// Weight changes that no closed period has followed yet, oldest first.
    pub marks: Vec<Mark>,
    /// Evidence of the closed periods about green's share of the requests.
    pub share: ShareEvidence,
    /// Evidence of the closed periods, by check.
    pub judges: BTreeMap<String, CheckJudge>,
    /// When this attempt first gave green traffic: what ended before is history, of blue alone.
    pub first_write: Option<Timestamp>,
    /// End of the newest period with a request on either side.
    pub newest: Option<Timestamp>,
    /// End of the newest period with a request on green.
    pub newest_green: Option<Timestamp>,
    /// Whether clients keep their fleet by cookie.
    pub sticky: bool,
    /// Usual 5XX answers of the load balancer itself in a period: a mean over closed periods with a half-life of an
    /// hour; `None` before the first.
    pub balancer_usual: Option<f64>,
}

/// Half-life of the usual number of the load balancer's own errors.
const BALANCER_HALF_LIFE_S: f64 = 3600.0;

/// Fewest errors of the load balancer itself that count as a rise: fewer may be one client's bad luck.
const BALANCER_RISE_MIN: f64 = 10.0;

/// What one check says now.
#[derive(Debug, Clone, PartialEq)]
pub struct CheckAssessment {
    /// The verdict.
    pub verdict: Verdict,
    /// The judge's reason, from its fixed list.
    pub reason: &'static str,
    /// What it is based on; `None` while no period has said anything.
    pub finding: Option<Finding>,
    /// The terms it was judged by.
    pub terms: Option<Terms>,
    /// Its evidence with the periods that may still be corrected: what a forecast starts from.
    pub judge: CheckJudge,
}

/// What all checks say now.
pub type Assessment = BTreeMap<String, CheckAssessment>;

impl AnalysisState {
    /// Which of the seen periods are new or changed, and which were read again alike. Closed ones are past changing.
    pub fn news(&self, seen: &MetricsSeen, interval: Span, now: Timestamp) -> (Vec<Period>, Vec<Timestamp>) {
        let (mut periods, mut unchanged) = (Vec::new(), Vec::new());
        for period in seen.periods.iter().map(sound) {
            let closed = self.closed_until.is_some_and(|until| period.start < until);
            let end = after(period.start, interval);
            if closed || end > now {
                continue;
            }
            match self.open.get(&period.start) {
                Some(known) if known.period == period => {
                    if !known.alike && !seen.partial {
                        unchanged.push(period.start);
                    }
                }
                // Of an answer that is not whole only bad news is taken: it may not make a known period look better,
                // nor stand as the last word on one that is past correcting.
                Some(known) if seen.partial && !is_worse(&period, &known.period) => {}
                None if seen.partial && after(end, OPEN_FOR) <= now => {}
                Some(_) | None => periods.push(period),
            }
        }
        (periods, unchanged)
    }

    /// Takes periods in, and closes those that are past correcting at `at`.
    pub fn take(&mut self, plan: &Plan, periods: &[Period], unchanged: &[Timestamp], at: Timestamp) {
        for period in periods {
            let served = period.blue.requests > 0 || period.green.requests > 0;
            let end = after(period.start, plan.analysis.interval);
            if served && self.newest.is_none_or(|newest| newest < end) {
                self.newest = Some(end);
            }
            if period.green.requests > 0 && self.newest_green.is_none_or(|newest| newest < end) {
                self.newest_green = Some(end);
            }
            self.open.insert(period.start, OpenPeriod { period: period.clone(), alike: false });
        }
        for start in unchanged {
            if let Some(known) = self.open.get_mut(start) {
                known.alike = true;
            }
        }
        self.close(plan, at);
    }

    fn close(&mut self, plan: &Plan, at: Timestamp) {
        let interval = plan.analysis.interval;
        let terms = terms(plan, self.sticky);
        while let Some(entry) = self.open.first_entry() {
            let end = after(*entry.key(), interval);
            if after(end, OPEN_FOR) > at {
                break;
            }
            let (start, known) = entry.remove_entry();
            let due = self.marks.iter().take_while(|mark| mark.at <= start).count();
            let marks: Vec<Mark> = self.marks.drain(..due).collect();
            let first_write = self.first_write;
            for (name, question) in questions(plan) {
                let Some(terms) = terms.get(name) else { continue };
                let Some(fresh) = CheckJudge::new(question) else { continue };
                let judge = self.judges.entry(name.to_owned()).or_insert(fresh);
                for mark in &marks {
                    judge.step(terms, mark.now, mark.next);
                }
                feed(judge, terms, &known.period, interval, first_write);
            }
            if first_write.is_some() {
                self.close_share(marks.iter().map(|mark| mark.now), &known.period, interval.as_secs_f64());
            }
            self.learn_balancer(&known.period, interval);
            self.closed_until = Some(end);
        }
    }

    fn learn_balancer(&mut self, period: &Period, interval: Span) {
        let seen = check::as_number(period.load_balancer_errors);
        let keep = (-interval.as_secs_f64() / BALANCER_HALF_LIFE_S).exp2();
        self.balancer_usual = Some(self.balancer_usual.map_or(seen, |usual| usual * keep + seen * (1.0 - keep)));
    }

    /// Whether the load balancer itself answered clearly more errors in the periods that began from `raise` on and before
    /// `until` than it usually does: more than twice as many, and by more than three standard deviations of a Poisson
    /// count. Returns (seen, usual) then.
    pub fn balancer_rise(&self, raise: Timestamp, until: Timestamp) -> Option<(f64, f64)> {
        let (mut seen, mut periods) = (0.0, 0.0);
        for known in self.open.values().filter(|known| known.period.start >= raise && known.period.start < until) {
            seen += check::as_number(known.period.load_balancer_errors);
            periods += 1.0;
        }
        let usual = self.balancer_usual? * periods;
        let rise = seen >= BALANCER_RISE_MIN && seen > 2.0 * usual && seen > usual + 3.0 * usual.sqrt();
        rise.then_some((seen, usual))
    }

    /// What every statistical check of the plan says at `now`.
    pub fn assess(&self, plan: &Plan, now: Timestamp) -> Assessment {
        let terms = terms(plan, self.sticky);
        questions(plan)
            .filter_map(|(name, question)| {
                let terms = terms.get(name)?;
                let judge = match self.judges.get(name) {
                    Some(judge) => judge.clone(),
                    None => CheckJudge::new(question)?,
                };
                Some((name.to_owned(), self.assess_one(plan, judge, terms, now)))
            })
            .collect()
    }

    fn assess_one(&self, plan: &Plan, mut judge: CheckJudge, terms: &Terms, now: Timestamp) -> CheckAssessment {
        let Analyzed { settled, failing, latest } = self.run(plan, &mut judge, terms, now);
        let conclusion = |finding: &Finding| finding.reading.conclusion;
        // The unsettled rest may only make it worse: a rollback at once, a hold for as long as it looks like one.
        let unsettled_hold = latest.filter(|finding| conclusion(finding) == Conclusion::Hold);
        let Some(finding) = failing.or(unsettled_hold).or(settled) else {
            return CheckAssessment {
                verdict: Verdict::Inconclusive,
                reason: "no_period_yet",
                finding: None,
                terms: Some(terms.clone()),
                judge,
            };
        };
        CheckAssessment {
            verdict: check::verdict(conclusion(&finding)),
            reason: check::reason(finding.reading.reason),
            finding: Some(finding),
            terms: Some(terms.clone()),
            judge,
        }
    }

    fn run(&self, plan: &Plan, judge: &mut CheckJudge, terms: &Terms, now: Timestamp) -> Analyzed {
        let interval = plan.analysis.interval;
        let mut found = Analyzed { settled: None, failing: None, latest: None };
        let mut marks = self.marks.iter().peekable();
        let mut in_order = true;
        for (start, known) in &self.open {
            while let Some(mark) = marks.next_if(|mark| mark.at <= *start) {
                judge.step(terms, mark.now, mark.next);
                found.settled = None;
            }
            // Evidence is a sequence: behind the first unsettled period nothing is settled.
            let old_enough = after(after(*start, interval), plan.analysis.settle) <= now;
            in_order = in_order && known.alike && old_enough;
            let Some(finding) = feed(judge, terms, &known.period, interval, self.first_write) else { continue };
            if finding.reading.conclusion == Conclusion::Rollback {
                found.failing = Some(finding.clone());
            }
            if in_order {
                found.settled = Some(finding.clone());
            }
            found.latest = Some(finding);
        }
        // A mark behind the last period: the weight is new, nothing speaks for it yet.
        for mark in marks {
            judge.step(terms, mark.now, mark.next);
            found.settled = None;
        }
        found
    }

    /// Green's share of the requests of the periods since the weight was confirmed (of those still open); `None`
    /// without requests.
    pub fn share_seen(&self, since: Timestamp) -> Option<f64> {
        let (mut blue, mut green) = (0.0, 0.0);
        for known in self.open.values().filter(|known| known.period.start >= since) {
            blue += check::as_number(known.period.blue.requests);
            green += check::as_number(known.period.green.requests);
        }
        let all = blue + green;
        (all > 0.0).then(|| green / all)
    }
}

/// A period without what no journal can hold and no comparison can use: response times that are no numbers.
fn sound(period: &Period) -> Period {
    let numbers = |seen: &LatencySeen| [seen.p50, seen.p90, seen.p99].iter().all(|s| s.is_finite() && *s >= 0.0);
    let mut period = period.clone();
    period.blue.latency = period.blue.latency.filter(numbers);
    period.green.latency = period.green.latency.filter(numbers);
    period
}

/// Whether `now` tells of more bad requests of green than `before`.
fn is_worse(now: &Period, before: &Period) -> bool {
    now.green.errors > before.green.errors || now.green.client_errors > before.green.client_errors
}

struct Analyzed {
    /// The last word of the settled periods since the last weight change.
    settled: Option<Finding>,
    /// The latest period at which the judge asked for a rollback.
    failing: Option<Finding>,
    /// The last word of all.
    latest: Option<Finding>,
}

/// Gives one period to a judge: as history of blue before the attempt's first write, else as a comparison.
fn feed(
    judge: &mut CheckJudge,
    terms: &Terms,
    period: &Period,
    interval: Span,
    first_write: Option<Timestamp>,
) -> Option<Finding> {
    let before = first_write.is_none_or(|write| after(period.start, interval) <= write);
    if before {
        judge.history(terms, period);
        None
    } else {
        judge.update(terms, period)
    }
}

fn questions(plan: &Plan) -> impl Iterator<Item = (&str, &Question)> {
    plan.analysis.checks.iter().map(|check| (check.name.as_str(), &check.question))
}

/// The terms of every statistical check; the risk is shared among them.
pub fn terms(plan: &Plan, sticky: bool) -> BTreeMap<&str, Terms> {
    let tolerances: Vec<_> = questions(plan)
        .filter_map(|(name, question)| match question {
            Question::Errors(t) | Question::ClientErrors(t) | Question::Latency(t) => Some((name, t)),
            Question::Alarms { .. } => None,
        })
        .collect();
    let checks = u32::try_from(tolerances.len()).unwrap_or(u32::MAX);
    let period_s = plan.analysis.interval.as_secs_f64();
    tolerances.into_iter().map(|(name, t)| (name, Terms::new(t, checks, period_s, sticky))).collect()
}
