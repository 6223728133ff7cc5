//! What happens in a world, and when.

use std::fmt;

use crate::domain::ids::Side;
use crate::domain::time::Span;
use crate::domain::weight::Weight;

/// One thing that happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cue {
    /// When.
    pub when: When,
    /// What.
    pub change: Change,
}

/// When something happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// So long after the rollout began.
    At(Span),
    /// So long after green first had at least this weight.
    AtWeight(Weight, Span),
}

/// What happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// This share of a side's requests fails from now on.
    Errors(Side, f64),
    /// Response times of a side are this many times the usual from now on.
    Slowness(Side, f64),
    /// So many targets of a side are healthy from now on.
    Healthy(Side, u32),
    /// The metric source stops answering, or answers again.
    MetricsAnswer(bool),
    /// Somebody else writes these weights (blue, green) to the first rule.
    ForeignWrite(u32, u32),
    /// Requests per second of the whole route from now on.
    Traffic(f64),
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |side: Side| match side {
            Side::Blue => "blue",
            Side::Green => "green",
        };
        match *self {
            Self::Errors(side, share) => {
                write!(f, "{} fails {:.1} % of its requests from now on", name(side), share * 100.0)
            }
            Self::Slowness(side, times) => write!(f, "{} takes {times:.0} times as long as usual", name(side)),
            Self::Healthy(side, targets) => write!(f, "{} has {targets} healthy targets now", name(side)),
            Self::MetricsAnswer(true) => f.write_str("the metric source answers again"),
            Self::MetricsAnswer(false) => f.write_str("the metric source stops answering"),
            Self::ForeignWrite(blue, green) => write!(f, "somebody else writes blue {blue}, green {green} to the rule"),
            Self::Traffic(rate) => write!(f, "the route has {rate:.0} requests per second now"),
        }
    }
}
