//! Whole numbers for shares: which weights to write when other target groups stand in the same action.
//!
//! A load balancer holds weights 0 to 999. Blue and green divide what they have together; every other group keeps its
//! share of all requests, as nearly as whole numbers allow.

use crate::domain::weight::Weight;

/// Largest weight that an ALB holds.
pub(super) const WEIGHT_MAX: u32 = 999;

/// The weights to write.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Shares {
    /// Blue's.
    pub(super) blue: u32,
    /// Green's.
    pub(super) green: u32,
    /// Those of the other groups, in their order.
    pub(super) others: Vec<u32>,
    /// How far the share of all requests of any other group is from what it was, at most (0 to 1).
    pub(super) error: f64,
}

/// Divides between blue and green by `weight`, where both together have `pair` now (at least 1) and the other groups
/// have `others`.
///
/// The result always reads back as exactly `weight` (to the tenth of a percent); among such results it has the smallest
/// error for the other groups, and among equals it leaves their numbers alone. A group that is off stays off, and one
/// that is on stays on.
pub(super) fn divide(weight: Weight, pair: u32, others: &[u32]) -> Shares {
    let (blue, green) = weight.written();
    if others.iter().all(|other| *other == 0) {
        return Shares { blue, green, others: others.to_vec(), error: 0.0 };
    }
    // Every total that two weights can have; few enough to look at all.
    let candidates = (1..=WEIGHT_MAX * 2).filter_map(|total| candidate(weight, pair.max(1), others, total));
    candidates.min_by(|a, b| a.rank.partial_cmp(&b.rank).unwrap_or(std::cmp::Ordering::Equal)).map_or_else(
        // Not reached: a total of 100 or 1000 can be divided by any weight.
        || Shares { blue, green, others: others.to_vec(), error: 1.0 },
        |best| best.shares,
    )
}

struct Candidate {
    shares: Shares,
    /// Smaller is better: error in billionths, whether the others' numbers change, whether whole percents would not
    /// divide evenly, size.
    rank: (u64, bool, bool, u32),
}

fn candidate(weight: Weight, pair: u32, others: &[u32], total: u32) -> Option<Candidate> {
    let green = (total * u32::from(weight.tenths()) + 500) / 1000;
    let blue = total.checked_sub(green)?;
    if blue > WEIGHT_MAX || green > WEIGHT_MAX || Weight::of_written(blue, green) != Some(weight) {
        return None;
    }
    let scaled = |other: &u32| match *other {
        0 => 0,
        on => ((on * total + pair / 2) / pair).clamp(1, WEIGHT_MAX),
    };
    let new: Vec<u32> = others.iter().map(scaled).collect();
    let (before, after) = (sum(pair, others), sum(total, &new));
    let error = others
        .iter()
        .zip(&new)
        .map(|(old, new)| (f64::from(*old) / before - f64::from(*new) / after).abs())
        .fold(0.0, f64::max);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1 billion")]
    let billionths = (error * 1e9).round() as u64;
    let rank = (billionths, new != others, !total.is_multiple_of(100), total);
    Some(Candidate { shares: Shares { blue, green, others: new, error }, rank })
}

fn sum(pair: u32, others: &[u32]) -> f64 {
    f64::from(pair) + others.iter().copied().map(f64::from).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn weights(tenths: u16, pair: u32, others: &[u32]) -> (u32, u32, Vec<u32>) {
        let shares = divide(Weight::from_tenths(tenths).unwrap(), pair, others);
        (shares.blue, shares.green, shares.others)
    }

    #[test]
    fn alone_they_sum_to_a_hundred_or_a_thousand() {
        assert_eq!(weights(100, 7, &[]), (90, 10, vec![]));
        assert_eq!(weights(5, 100, &[]), (995, 5, vec![]));
        assert_eq!(weights(0, 1, &[]), (100, 0, vec![]));
        assert_eq!(weights(1000, 1, &[0, 0]), (0, 100, vec![0, 0]), "groups that are off do not count");
    }

    #[test]
    fn others_keep_their_numbers_when_the_pair_can_divide_what_it_has() {
        assert_eq!(weights(250, 80, &[20]), (60, 20, vec![20]));
        assert_eq!(weights(0, 80, &[20]), (80, 0, vec![20]));
        assert_eq!(weights(1000, 80, &[20]), (0, 80, vec![20]));
    }

    #[test]
    fn others_are_scaled_when_the_pair_has_too_little_to_divide() {
        assert_eq!(weights(100, 1, &[1]), (90, 10, vec![100]));
        assert_eq!(weights(300, 2, &[1, 3]), (70, 30, vec![50, 150]));
    }

    #[test]
    fn a_pair_above_999_is_scaled_down_to_go_to_one_group() {
        let shares = divide(Weight::ZERO, 1500, &[500]);
        assert_eq!((shares.blue, shares.green, shares.others), (300, 0, vec![100]));
    }

    proptest! {
        #[test]
        fn it_reads_back_as_the_weight_that_was_asked(
            tenths in 0_u16..=1000, pair in 1_u32..=1998, others in proptest::collection::vec(0_u32..=999, 0..=3),
        ) {
            let weight = Weight::from_tenths(tenths).unwrap();
            let shares = divide(weight, pair, &others);
            prop_assert_eq!(Weight::of_written(shares.blue, shares.green), Some(weight));
            let all = shares.others.iter().chain([&shares.blue, &shares.green]);
            prop_assert!(all.clone().all(|w| *w <= WEIGHT_MAX));
            for (old, new) in others.iter().zip(&shares.others) {
                prop_assert_eq!(*old == 0, *new == 0, "on stays on and off stays off");
            }
        }

        #[test]
        fn others_hardly_notice(
            percent in 0_u16..=100, blue in 0_u32..=999, green in 0_u32..=999,
            others in proptest::collection::vec(0_u32..=999, 1..=3),
        ) {
            let pair = (blue + green).max(1);
            // The pair needs a total of 100 for some percents; where the others are at most nine times the pair, there
            // is room for that.
            prop_assume!(others.iter().all(|other| *other <= pair * 9));
            let shares = divide(Weight::from_percent(percent).unwrap(), pair, &others);
            prop_assert!(shares.error <= 0.006, "{:?}", shares);
        }

        #[test]
        fn many_steps_do_not_add_up_to_a_shift(percents in proptest::collection::vec(0_u16..=100, 1..30)) {
            let (mut pair, mut others) = (3, vec![2, 5]);
            for percent in percents {
                let shares = divide(Weight::from_percent(percent).unwrap(), pair, &others);
                (pair, others) = (shares.blue + shares.green, shares.others);
            }
            let total = f64::from(pair + others[0] + others[1]);
            prop_assert!((f64::from(others[0]) / total - 0.2).abs() < 1e-9, "{pair} {others:?}");
        }
    }
}
