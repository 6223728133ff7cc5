//! Names: of rollouts, and of the things in AWS that a route names.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A rollout's name: a DNS label, so that it fits a URL, a metric label and a file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RolloutName(String);

/// Why a text is no rollout name; `Display` says what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a rollout name: use 1 to 63 of a-z, 0-9 and `-`, beginning and ending with a letter or digit")]
pub struct BadName(pub String);

impl RolloutName {
    /// Longest name: that of a DNS label (RFC 1123).
    pub const LENGTH_MAX: usize = 63;

    /// Reads a name; refuses what is not a DNS label.
    pub fn parse(text: &str) -> Result<Self, BadName> {
        let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        let edge = |c: Option<char>| c.is_some_and(|c| c != '-' && inner(c));
        let whole = (1..=Self::LENGTH_MAX).contains(&text.len()) && text.chars().all(inner);
        if whole && edge(text.chars().next()) && edge(text.chars().last()) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadName(text.to_owned()))
        }
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RolloutName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl TryFrom<String> for RolloutName {
    type Error = BadName;
    fn try_from(text: String) -> Result<Self, BadName> {
        Self::parse(&text)
    }
}

impl From<RolloutName> for String {
    fn from(name: RolloutName) -> Self {
        name.0
    }
}

/// An Amazon Resource Name, kept as written: greenshift compares and sends ARNs, and reads only their tails.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Arn(String);

impl Arn {
    /// Wraps a text; whether it is an ARN of the right kind is checked where documents enter (`config`).
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The ARN as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The resource part: all behind the fifth colon, as `targetgroup/blue/0123` or `listener/app/web/0123/4567`.
    pub fn resource(&self) -> &str {
        self.0.splitn(6, ':').nth(5).unwrap_or("")
    }

    /// The region part, as `eu-west-1`.
    pub fn region(&self) -> &str {
        self.0.split(':').nth(3).unwrap_or("")
    }

    /// The account part: twelve digits.
    pub fn account(&self) -> &str {
        self.0.split(':').nth(4).unwrap_or("")
    }

    /// Whether it names a listener rule (as against a listener, whose default action is meant).
    pub fn is_listener_rule(&self) -> bool {
        self.resource().starts_with("listener-rule/")
    }
}

impl fmt::Display for Arn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The two fleets. Fixed for the whole of a rollout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The fleet that traffic leaves.
    Blue,
    /// The fleet that traffic moves to.
    Green,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Blue => "blue",
            Self::Green => "green",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        for good in ["a", "payments-hsm", "a1", "0", &"x".repeat(63)] {
            assert!(RolloutName::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "a-", "A", "a_b", "a.b", "ä", &"x".repeat(64)] {
            assert!(RolloutName::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_arn_gives_its_parts() {
        let arn = Arn::new("arn:aws:elasticloadbalancing:eu-west-1:123456789012:targetgroup/blue/0011223344556677");
        assert_eq!(arn.region(), "eu-west-1");
        assert_eq!(arn.account(), "123456789012");
        assert_eq!(arn.resource(), "targetgroup/blue/0011223344556677");
        assert_eq!(Arn::new("nonsense").resource(), "");
    }
}
