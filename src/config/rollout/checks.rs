//! The questions that a document asks of the metrics.

use crate::config::problem::Findings;
use crate::config::reader::{At, Fields, Later, listed};
use crate::config::share;
use crate::domain::ids::RolloutName;
use crate::domain::plan::{Check, Question, Tolerance};

/// Checks share one risk: each one more makes every other slower to decide.
const CHECKS_MAX: usize = 20;
/// `DescribeAlarms` takes at most a hundred names in one call.
const ALARMS_MAX: usize = 100;
/// Longest name of a CloudWatch alarm.
const ALARM_NAME_MAX: usize = 255;
/// A green that may be a hundred times worse is not being judged.
const RATIO_MAX: f64 = 100.0;
/// A raise that may hurt more than one request in ten unnoticed is not being proven.
const EFFECT_MAX: f64 = 0.1;
/// Above one half a coin would judge better.
const RISK_MAX: f64 = 0.5;

const KINDS: &[&str] = &["errors", "client_errors", "latency", "alarms"];
const LATER: &[Later] = &[("query", "use `errors`, `client_errors`, `latency` or `alarms`")];

/// Checks with unique names, never none.
pub(super) fn checks(at: &At<'_>, out: &mut Findings) -> Option<Vec<Check>> {
    let items = at.list("`checks`", CHECKS_MAX, out)?;
    if items.is_empty() {
        at.error(out, "`checks` is empty", Some("leave it out for errors, client_errors and latency"));
        return None;
    }
    let mut checks: Vec<Check> = Vec::new();
    for item in &items {
        let Some(check) = check(item, out) else { continue };
        if checks.iter().any(|known| known.name == check.name) {
            let what = format!("two checks are called `{}`", check.name);
            item.error(out, what, Some("give this one a `name` of its own"));
        }
        checks.push(check);
    }
    (checks.len() == items.len()).then_some(checks)
}

fn check(at: &At<'_>, out: &mut Findings) -> Option<Check> {
    if at.is_scalar() {
        let what = "a check is a mapping from what it asks to how";
        at.error(out, what, Some("write `- errors: {}` for a check with its defaults"));
        return None;
    }
    let known: Vec<&str> = std::iter::once("name").chain(KINDS.iter().copied()).collect();
    let fields = at.fields("a check", &known, LATER, out)?;
    let asked: Vec<&str> = fields.names().filter(|name| KINDS.contains(name)).collect();
    let name_at = fields.get("name");
    let name = name_at.map(|at| name(at, out));
    let &[kind] = asked.as_slice() else {
        if asked.len() > 1 {
            let what = format!("one check asks {}", listed(&asked, "and"));
            at.error(out, what, Some("write one check for each"));
        } else if !fields.was_refused() {
            at.error(out, "this check asks nothing", Some(format!("add {}", listed(KINDS, "or"))));
        }
        return None;
    };
    let question = question(kind, &fields, out)?;
    let name = name.unwrap_or_else(|| Some(kind.to_owned()))?;
    Some(Check { name, question })
}

/// As a DNS label, with `_` too: it becomes a metric label and part of a URL.
fn name(at: &At<'_>, out: &mut Findings) -> Option<String> {
    let text = at.text("a check's name", out)?;
    let label = RolloutName::parse(&text.replace('_', "-"));
    if label.is_err() {
        let help = "use 1 to 63 of a-z, 0-9, `-` and `_`, beginning and ending with a letter or digit";
        at.error(out, format!("`{text}` is not a name for a check"), Some(help));
    }
    label.ok().map(|_| text.to_owned())
}

fn question(kind: &str, fields: &Fields<'_>, out: &mut Findings) -> Option<Question> {
    let at = fields.get(kind)?;
    let none: &[Later] = &[];
    let percentile: &[Later] =
        &[("percentile", "remove it: green is compared above blue's own p95, p99 and three times p99")];
    match kind {
        "errors" => tolerance(at, kind, Tolerance::ERRORS, none, out).map(Question::Errors),
        "client_errors" => tolerance(at, kind, Tolerance::CLIENT_ERRORS, none, out).map(Question::ClientErrors),
        "latency" => tolerance(at, kind, Tolerance::LATENCY, percentile, out).map(Question::Latency),
        _ => alarms(at, out).map(|names| Question::Alarms { names }),
    }
}

fn tolerance(at: &At<'_>, kind: &str, standard: Tolerance, later: &[Later], out: &mut Findings) -> Option<Tolerance> {
    if at.is_empty() {
        at.error(out, format!("`{kind}` is empty"), Some(format!("write `{kind}: {{}}` for its defaults")));
        return None;
    }
    let fields = at.fields(&format!("`{kind}`"), &["margin", "ceiling", "risk", "effect"], later, out)?;
    let above_none = |share: f64| share > 0.0 && share <= 1.0;
    let ceiling =
        fields.get("ceiling").map(|at| share_in(at, "`ceiling`", above_none, "above 0% and at most 100%", out));
    let fits = |share: f64| share > 0.0 && share <= RISK_MAX;
    let risk = fields.get("risk").map(|at| share_in(at, "`risk`", fits, "above 0% and at most 50%", out));
    let small = |share: f64| share > 0.0 && share <= EFFECT_MAX;
    let effect = fields.get("effect").map(|at| share_in(at, "`effect`", small, "above 0% and at most 10%", out));
    let margin = fields.get("margin").map(|at| margin(at, standard, out));
    let (ratio, extra) = margin.unwrap_or(Some((standard.ratio, standard.extra)))?;
    let ceiling = ceiling.map_or(Some(standard.ceiling), |read| read.map(Some))?;
    let risk = risk.unwrap_or(Some(standard.risk))?;
    let effect = effect.unwrap_or(Some(standard.effect))?;
    Some(Tolerance { ratio, extra, ceiling, risk, effect })
}

fn margin(at: &At<'_>, standard: Tolerance, out: &mut Findings) -> Option<(f64, f64)> {
    if at.is_scalar() {
        let help =
            "write `margin: {ratio: 1.1}` for a tenth more than blue, `{extra: 0.1%}` for one in a thousand more";
        at.error(out, "a margin is a mapping", Some(help));
        return None;
    }
    let fields = at.fields("a margin", &["ratio", "extra"], &[], out)?;
    let ratio = fields.get("ratio").map(|at| ratio(at, out));
    let fits = |share: f64| (0.0..1.0).contains(&share);
    let extra = fields.get("extra").map(|at| share_in(at, "`extra`", fits, "at least 0% and below 100%", out));
    Some((ratio.unwrap_or(Some(standard.ratio))?, extra.unwrap_or(Some(standard.extra))?))
}

fn ratio(at: &At<'_>, out: &mut Findings) -> Option<f64> {
    let kind = format!("a number from 1 to {RATIO_MAX}");
    at.parse("`ratio`", &kind, out, |text| {
        let number = text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse().ok()).flatten();
        number
            .filter(|ratio| (1.0..=RATIO_MAX).contains(ratio))
            .ok_or_else(|| format!("`ratio` is {kind}: 1.1 lets green be a tenth worse than blue; this is `{text}`"))
    })
}

fn share_in(at: &At<'_>, what: &str, fits: impl Fn(f64) -> bool, range: &str, out: &mut Findings) -> Option<f64> {
    at.parse(what, "a percentage such as `5%`", out, |text| {
        let share = share::parse(text)?;
        if fits(share) { Ok(share) } else { Err(format!("{what} must be {range}, and this is {text}")) }
    })
}

fn alarms(at: &At<'_>, out: &mut Findings) -> Option<Vec<String>> {
    let items = at.list("`alarms`", ALARMS_MAX, out)?;
    if items.is_empty() {
        at.error(out, "`alarms` names no alarm", Some("name CloudWatch alarms, or remove the check"));
        return None;
    }
    let mut names: Vec<String> = Vec::new();
    for item in &items {
        let Some(name) = item.text("an alarm's name", out) else { continue };
        let length = name.chars().count();
        if !(1..=ALARM_NAME_MAX).contains(&length) || name.contains(char::is_control) {
            let what = format!("an alarm's name has 1 to {ALARM_NAME_MAX} characters");
            item.error(out, what, None::<String>);
        } else if names.iter().any(|known| known == name) {
            item.error(out, format!("the alarm `{name}` is named twice"), Some("remove one of the two"));
        }
        names.push(name.to_owned());
    }
    (names.len() == items.len()).then_some(names)
}
