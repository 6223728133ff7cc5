//! What a document moves: its name, its labels and the ALB rules, which must belong together.

use std::collections::BTreeMap;

use crate::config::problem::Findings;
use crate::config::reader::{At, Later};
use crate::domain::ids::{Arn, RolloutName};
use crate::domain::plan::{AlbRoute, Route};

/// An ALB has at most 100 rules besides the default ones unless AWS raises the quota.
const RULES_MAX: usize = 100;
const LABELS_MAX: usize = 32;
const LABEL_KEY_MAX: usize = 63;
const LABEL_VALUE_MAX: usize = 255;

pub(super) fn name(at: &At<'_>, out: &mut Findings) -> Option<RolloutName> {
    let text = at.text("`name`", out)?;
    RolloutName::parse(text).map_err(|error| at.error(out, error.to_string(), None::<String>)).ok()
}

pub(super) fn labels(at: &At<'_>, out: &mut Findings) -> BTreeMap<String, String> {
    let Some(entries) = at.entries("`labels`", out) else { return BTreeMap::new() };
    if entries.len() > LABELS_MAX {
        at.error(out, format!("{} labels; at most {LABELS_MAX} are allowed", entries.len()), None::<String>);
    }
    let mut labels = BTreeMap::new();
    for (key, field) in entries {
        let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '/');
        let begins = key.starts_with(|c: char| c.is_ascii_alphanumeric());
        if !begins || key.len() > LABEL_KEY_MAX || !key.chars().all(inner) {
            let help = format!(
                "use 1 to {LABEL_KEY_MAX} letters, digits, `.`, `_`, `-` and `/`, beginning with a letter or digit"
            );
            field.key_error(out, format!("`{key}` cannot be the key of a label"), help);
        }
        let Some(value) = field.value.text(&format!("the label `{key}`"), out) else { continue };
        if value.chars().count() > LABEL_VALUE_MAX || value.contains(char::is_control) {
            let what =
                format!("the label `{key}` is longer than {LABEL_VALUE_MAX} characters or has control characters");
            field.value.error(out, what, None::<String>);
        }
        labels.insert(key.to_owned(), value.to_owned());
    }
    labels
}

const LATER: &[Later] = &[
    ("route53", "use `alb`: weighted target groups of an Application Load Balancer"),
    ("application", "use `alb`: weighted target groups of an Application Load Balancer"),
];

pub(super) fn route(at: &At<'_>, out: &mut Findings) -> Option<Route> {
    let fields = at.fields("a route", &["alb"], LATER, out)?;
    let at = match fields.get("alb") {
        Some(at) => at,
        // A route that is not supported yet has been named already.
        None if fields.was_refused() => return None,
        None => fields.require("alb", "{rules: […], blue_target_group: …, green_target_group: …}", out)?,
    };
    let fields = at.fields("an ALB route", &["rules", "blue_target_group", "green_target_group"], &[], out)?;
    let rules = fields.require("rules", "[arn:aws:elasticloadbalancing:…:listener/app/…]", out);
    let rules = rules.and_then(|at| rule_list(at, out));
    let group = "arn:aws:elasticloadbalancing:…:targetgroup/…";
    let blue = fields.require("blue_target_group", group, out).and_then(|at| Named::read(at, Kind::Group, out));
    let green = fields.require("green_target_group", group, out).and_then(|at| Named::read(at, Kind::Group, out));
    let (mut rules, blue, green) = (rules?, blue?, green?);
    if blue.arn == green.arn {
        let help = "name the group that traffic is to move to";
        green.at.error(out, "blue and green are the same target group", Some(help));
    }
    let first = rules.first()?.clone();
    for other in [&blue, &green] {
        other.must_share_home(&first, out);
    }
    let arns = rules.drain(..).map(|rule| rule.arn).collect();
    Some(Route::Alb(AlbRoute { rules: arns, blue_target_group: blue.arn, green_target_group: green.arn }))
}

/// The rules, none twice and all on one load balancer.
fn rule_list<'n>(at: &At<'n>, out: &mut Findings) -> Option<Vec<Named<'n>>> {
    let items = at.list("`rules`", RULES_MAX, out)?;
    if items.is_empty() {
        at.error(out, "`rules` is empty", Some("name at least one listener or listener rule"));
        return None;
    }
    let count = items.len();
    let mut rules: Vec<Named<'_>> = Vec::new();
    for item in &items {
        let Some(rule) = Named::read(item, Kind::Rule, out) else { continue };
        if let Some(same) = rules.iter().find(|known| known.arn == rule.arn) {
            let what = format!("this rule is named twice; it is in line {} already", same.at.place().line);
            rule.at.error(out, what, Some("remove one of the two"));
        }
        if let Some(first) = rules.first()
            && rule.must_share_home(first, out)
            && rule.balancer() != first.balancer()
        {
            let (this, that) = (rule.balancer(), first.balancer());
            let what = format!("this rule belongs to the load balancer `{this}`, the first one to `{that}`");
            rule.at.error(out, what, Some("write one rollout for each load balancer"));
        }
        rules.push(rule);
    }
    (rules.len() == count).then_some(rules)
}

/// What an ARN must name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A listener of an ALB, or one of its rules.
    Rule,
    /// A target group.
    Group,
}

impl Kind {
    const fn wanted(self) -> &'static str {
        match self {
            Self::Rule => {
                "`arn:aws:elasticloadbalancing:REGION:ACCOUNT:listener/app/NAME/ID/ID` or `…:listener-rule/app/NAME/ID/ID/ID`"
            }
            Self::Group => "`arn:aws:elasticloadbalancing:REGION:ACCOUNT:targetgroup/NAME/ID`",
        }
    }
}

/// An ARN of the document with its place.
#[derive(Debug, Clone)]
struct Named<'n> {
    arn: Arn,
    at: At<'n>,
}

impl<'n> Named<'n> {
    fn read(at: &At<'n>, kind: Kind, out: &mut Findings) -> Option<Self> {
        let text = at.scalar(if kind == Kind::Rule { "a rule" } else { "a target group" }, "an ARN", out)?;
        let arn = Arn::new(text);
        match fault(&arn, kind) {
            None => Some(Self { arn, at: at.clone() }),
            Some(fault) => {
                at.error(out, fault, Some(format!("write {}", kind.wanted())));
                None
            }
        }
    }

    /// Partition, region and account.
    fn home(&self) -> (&str, &str, &str) {
        (self.arn.as_str().split(':').nth(1).unwrap_or_default(), self.arn.region(), self.arn.account())
    }

    /// Name and id of the load balancer that a listener or rule belongs to.
    fn balancer(&self) -> String {
        self.arn.resource().split('/').skip(2).take(2).collect::<Vec<_>>().join("/")
    }

    fn must_share_home(&self, first: &Self, out: &mut Findings) -> bool {
        let same = self.home() == first.home();
        if !same {
            let shown = |(_, region, account): (&str, &str, &str)| format!("{region} of account {account}");
            let what = format!("this is in {}, the first rule in {}", shown(self.home()), shown(first.home()));
            self.at.error(out, what, Some("rules and target groups must be in one region of one account"));
        }
        same
    }
}

/// What is wrong with an ARN, or nothing.
fn fault(arn: &Arn, kind: Kind) -> Option<String> {
    let text = arn.as_str();
    let mut head = text.split(':');
    let (scheme, partition, service) = (head.next(), head.next().unwrap_or_default(), head.next());
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if scheme != Some("arn") || !partition.starts_with("aws") || !plain(partition) {
        return Some(format!("`{text}` is not an ARN"));
    }
    if service != Some("elasticloadbalancing") {
        return Some(format!("`{text}` is not an ARN of Elastic Load Balancing"));
    }
    if !plain(arn.region()) {
        return Some(format!("`{text}` names no region"));
    }
    if arn.account().len() != 12 || !arn.account().bytes().all(|b| b.is_ascii_digit()) {
        return Some(format!("`{text}` names no account: twelve digits"));
    }
    let parts: Vec<&str> = arn.resource().split('/').collect();
    let whole = parts.iter().all(|part| plain(part));
    let good = match (kind, parts.as_slice()) {
        (Kind::Rule, ["listener" | "listener-rule", "net" | "gwy", ..]) => {
            return Some(format!("`{text}` is not on an Application Load Balancer: only those have weights"));
        }
        (Kind::Rule, ["loadbalancer", ..]) => {
            return Some(format!("`{text}` is a load balancer: name its listener or a listener rule"));
        }
        (Kind::Rule, ["listener", "app", _, _, _] | ["listener-rule", "app", _, _, _, _])
        | (Kind::Group, ["targetgroup", _, _]) => whole,
        (Kind::Rule | Kind::Group, _) => false,
    };
    (!good).then(|| match kind {
        Kind::Rule => format!("`{text}` is not a listener or listener rule"),
        Kind::Group => format!("`{text}` is not a target group"),
    })
}
