//! A reading in words that an operator understands.

use std::fmt;

use super::counts::Counts;
use super::forecast::{Forecast, Outlook, Undecidable};
use super::reading::{Reading, Reason, Window};
use super::settings::Settings;

/// Variance over that of independent requests from which on an operator is told of bursts.
const BURSTY: f64 = 1.5;

/// How to speak of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wording {
    /// What bad requests did: "failed", "were answered with 4xx", "took longer than 420 ms".
    pub bad: String,
}

impl Wording {
    /// For a check of errors.
    pub fn errors() -> Self {
        Self { bad: "failed".to_owned() }
    }

    /// For a check of answers with 4xx.
    pub fn client_errors() -> Self {
        Self { bad: "were answered with 4xx".to_owned() }
    }

    /// For a check of requests slower than a threshold.
    pub fn slow(threshold_ms: f64) -> Self {
        Self { bad: format!("took longer than {}", milliseconds(threshold_ms)) }
    }
}

/// A verdict in sentences: what, then the numbers behind it, then what is still needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// One sentence: what the judge says and why.
    pub headline: String,
    /// The numbers: rates, margin, evidence against its threshold, what is still needed.
    pub details: Vec<String>,
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.headline)?;
        self.details.iter().try_for_each(|detail| write!(f, " {detail}"))
    }
}

/// Puts a reading into words; with a forecast also how long the proof will still take.
pub fn explain(settings: &Settings, reading: &Reading, wording: &Wording, forecast: Option<&Forecast>) -> Explanation {
    let mut details = vec![rates(reading.spoken_of(), wording), margin(settings, reading)];
    details.push(evidence(reading));
    if reading.blue_dispersion >= BURSTY {
        details.push(format!(
            "Blue's come in bursts: they vary {:.1} times as much as independent ones would, so each counts less.",
            reading.blue_dispersion
        ));
    }
    if let Some(forecast) = forecast {
        details.push(needed(&forecast.proof));
    }
    Explanation { headline: headline(reading), details }
}

fn headline(r: &Reading) -> String {
    let usual = r.usual_ratio.map_or_else(String::new, |p| format!(" (usually {})", percent(p)));
    match r.reason {
        Reason::Silent => {
            format!("Roll back: green should have had about {:.0} requests by now and had none.", r.missing)
        }
        Reason::Concurrent => "Roll back: green is worse than blue in the same periods.".to_owned(),
        Reason::TwoKey => {
            format!("Roll back: green is worse than blue used to be{usual}, and than blue in the same periods.")
        }
        Reason::Historical => {
            format!("Roll back: green is worse than blue used to be{usual}; blue has too little traffic to compare.")
        }
        Reason::Ceiling => "Roll back: green is over the ceiling that was set for it.".to_owned(),
        Reason::CommonCause => {
            format!("Hold: both sides are worse than blue used to be{usual}; the cause seems to be common.")
        }
        Reason::Suspect => {
            format!(
                "Hold: green is worse than blue used to be{usual}; the comparison with blue now does not confirm it yet."
            )
        }
        Reason::Proven => "Advance: green is proven good enough for the next step.".to_owned(),
        Reason::Undecided => "Go on: green is neither proven good nor bad yet.".to_owned(),
    }
}

fn rates(window: &Window, wording: &Wording) -> String {
    let side = |counts: Counts| match counts.ratio() {
        Some(ratio) => format!("{} of {} ({})", number(counts.bad), number(counts.requests), percent(ratio)),
        None => "no requests".to_owned(),
    };
    format!(
        "Of the requests in the last {}, {} {} on green and {} on blue.",
        duration(window.seconds),
        side(window.green),
        wording.bad,
        side(window.blue)
    )
}

fn margin(s: &Settings, r: &Reading) -> String {
    let absolute = if s.delta > 0.0 { format!(" plus {}", percent(s.delta)) } else { String::new() };
    let sick = if r.blue_is_sick() { ", wider because blue itself is worse than usual" } else { "" };
    let ceiling = s.ceiling.map_or_else(String::new, |c| format!(" The ceiling is {}.", percent(c)));
    format!("Accepted is up to {:.2} times blue's rate{absolute}{sick}.{ceiling}", r.margin)
}

fn evidence(r: &Reading) -> String {
    let against = r.log_e_concurrent.max(r.log_e_ceiling);
    let asked = odds(r.thresholds.rollback);
    let history = match r.reason {
        Reason::TwoKey | Reason::Historical | Reason::CommonCause | Reason::Suspect => {
            format!(" {} by blue's past,", odds(r.log_e_history))
        }
        Reason::Silent | Reason::Concurrent | Reason::Ceiling | Reason::Proven | Reason::Undecided => String::new(),
    };
    format!(
        "Evidence against green: {} by the same periods,{history} asked for {asked}; for green: {}, asked for {}.",
        odds(against),
        odds(r.log_e_proof),
        odds(r.thresholds.proof)
    )
}

/// What an outlook means for the proof.
fn needed(outlook: &Outlook) -> String {
    match *outlook {
        Outlook::Decided => "The proof for the next step is complete.".to_owned(),
        Outlook::NothingToProve => "There is no next step to prove.".to_owned(),
        Outlook::Expected { seconds, cautious_seconds, green_requests } => format!(
            "At this traffic the proof needs about {} more requests to green: {}, in nine cases of ten under {}.",
            number(green_requests),
            duration(seconds),
            duration(cautious_seconds)
        ),
        Outlook::Undecidable { why, after_s } => {
            let time = after_s.map_or_else(String::new, |s| format!(" (it would take about {})", duration(s)));
            let because = match why {
                Undecidable::NoBlueTraffic => "blue has no traffic to compare with",
                Undecidable::NoGreenTraffic => "green has no traffic",
                Undecidable::NoGrowth => "the noise outweighs the margin",
                Undecidable::TooLong => "there are too few requests or errors",
            };
            format!("Not decidable at this traffic: {because}{time}.")
        }
    }
}

/// A likelihood as "20 to 1", or what it cannot be.
fn odds(log: f64) -> String {
    if log < 0.0 {
        "none".to_owned()
    } else if log > 1e6_f64.ln() {
        "over a million to 1".to_owned()
    } else if log < 10.0_f64.ln() {
        format!("{:.1} to 1", log.exp())
    } else {
        format!("{} to 1", number(log.exp().round()))
    }
}

fn percent(ratio: f64) -> String {
    let percent = ratio * 100.0;
    if percent == 0.0 || percent >= 10.0 {
        format!("{percent:.0} %")
    } else if percent >= 1.0 {
        format!("{percent:.1} %")
    } else if percent >= 0.01 {
        format!("{percent:.2} %")
    } else {
        format!("{percent:.4} %")
    }
}

/// A count with thousands grouped; one decimal when it was interpolated.
fn number(value: f64) -> String {
    if value < 1e3 && (value - value.round()).abs() > 0.05 {
        return format!("{value:.1}");
    }
    let digits = format!("{:.0}", value.max(0.0));
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && digits.len().saturating_sub(place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn duration(seconds: f64) -> String {
    let minutes = (seconds / 60.0).round();
    if seconds < 120.0 {
        format!("{seconds:.0} s")
    } else if minutes < 120.0 {
        format!("{minutes:.0} min")
    } else if minutes < 48.0 * 60.0 {
        format!("{:.0} h {:.0} min", (minutes / 60.0).floor(), minutes % 60.0)
    } else {
        format!("{:.1} days", minutes / 1440.0)
    }
}

fn milliseconds(value: f64) -> String {
    if value >= 10_000.0 { format!("{:.1} s", value / 1000.0) } else { format!("{value:.0} ms") }
}
