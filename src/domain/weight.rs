//! Green's share of a route, in tenths of a percent.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The share of a route's requests that green is to get: 0 to 100 %, in tenths of a percent. Blue gets the rest, so
/// the two always sum to 100 % (invariant I1 holds by construction).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Weight(u16);

/// Why a text or number is no weight.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadWeight {
    /// Not a number with an optional `%`.
    #[error("`{0}` is not a weight: write a percentage such as `10`, `10%` or `0.5%`")]
    NotANumber(String),
    /// Finer than a load balancer can hold.
    #[error("`{0}` is finer than a tenth of a percent: an ALB holds weights 0 to 999, so 0.1% is the finest")]
    TooFine(String),
    /// Outside 0 to 100 %.
    #[error("`{0}` is outside 0% to 100%")]
    OutOfRange(String),
}

impl Weight {
    /// Nothing for green: all requests go to blue.
    pub const ZERO: Self = Self(0);
    /// Everything for green.
    pub const FULL: Self = Self(1000);

    /// From tenths of a percent; `None` above 1000.
    pub const fn from_tenths(tenths: u16) -> Option<Self> {
        if tenths <= 1000 { Some(Self(tenths)) } else { None }
    }

    /// From whole percents; `None` above 100.
    pub const fn from_percent(percent: u16) -> Option<Self> {
        if percent <= 100 { Self::from_tenths(percent.saturating_mul(10)) } else { None }
    }

    /// The share that two written weights give green, to the nearest tenth of a percent; `None` when both are 0.
    ///
    /// Load balancers hold at most 999, so a share of exactly 0 % or 100 % is never the result of rounding.
    pub fn of_written(blue: u32, green: u32) -> Option<Self> {
        let (blue, green) = (u64::from(blue), u64::from(green));
        let sum = blue.saturating_add(green);
        let doubled = green.saturating_mul(2000).saturating_add(sum);
        let rounded = doubled.checked_div(sum.saturating_mul(2))?;
        let inner = if green == 0 {
            0
        } else if blue == 0 {
            1000
        } else {
            rounded.clamp(1, 999)
        };
        u16::try_from(inner).ok().and_then(Self::from_tenths)
    }

    /// Tenths of a percent, 0 to 1000.
    pub const fn tenths(self) -> u16 {
        self.0
    }

    /// The share as a number from 0 to 1.
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / 1000.0
    }

    /// The pair (blue, green) as it is written to a load balancer: sums to 100 for whole percents, else to 1000.
    pub const fn written(self) -> (u32, u32) {
        let tenths = self.0 as u32;
        if tenths.is_multiple_of(10) {
            let green = tenths / 10;
            (100_u32.saturating_sub(green), green)
        } else {
            (1000_u32.saturating_sub(tenths), tenths)
        }
    }

    /// Reads `10`, `10%`, `0.5%`.
    pub fn parse(text: &str) -> Result<Self, BadWeight> {
        let number = text.trim();
        let number = number.strip_suffix('%').unwrap_or(number).trim_end();
        let not_a_number = || BadWeight::NotANumber(text.to_owned());
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let digits = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
        if !digits(whole) || (number.contains('.') && !digits(fraction)) {
            return Err(not_a_number());
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > 1 {
            return Err(BadWeight::TooFine(text.to_owned()));
        }
        let out_of_range = || BadWeight::OutOfRange(text.to_owned());
        let whole: u16 = whole.parse().map_err(|_too_big: std::num::ParseIntError| out_of_range())?;
        let tenth: u16 = fraction.parse().unwrap_or(0);
        let tenths = whole.checked_mul(10).and_then(|t| t.checked_add(tenth));
        tenths.and_then(Self::from_tenths).ok_or_else(out_of_range)
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, tenth) = (self.0 / 10, self.0 % 10);
        if tenth == 0 { f.pad(&format!("{whole}%")) } else { f.pad(&format!("{whole}.{tenth}%")) }
    }
}

impl TryFrom<String> for Weight {
    type Error = BadWeight;
    fn try_from(text: String) -> Result<Self, BadWeight> {
        Self::parse(&text)
    }
}

impl From<Weight> for String {
    fn from(weight: Weight) -> Self {
        weight.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn weights_read_as_people_write_them() {
        for (text, tenths) in [("10", 100), ("10%", 100), (" 0.5% ", 5), ("100%", 1000), ("0", 0), ("99.90 %", 999)] {
            assert_eq!(Weight::parse(text).map(Weight::tenths), Ok(tenths), "{text}");
        }
        for text in ["", "%", "ten", "-1", "1.", ".5", "1e1", "10%%"] {
            assert!(matches!(Weight::parse(text), Err(BadWeight::NotANumber(_))), "{text}");
        }
        assert!(matches!(Weight::parse("0.05%"), Err(BadWeight::TooFine(_))));
        for text in ["100.1", "101", "99999999"] {
            assert!(matches!(Weight::parse(text), Err(BadWeight::OutOfRange(_))), "{text}");
        }
    }

    #[test]
    fn shares_are_compared_not_integers() {
        assert_eq!(Weight::of_written(90, 10), Weight::from_percent(10));
        assert_eq!(Weight::of_written(9, 1), Weight::from_percent(10));
        assert_eq!(Weight::of_written(900, 100), Weight::from_percent(10));
        assert_eq!(Weight::of_written(0, 0), None);
        assert_eq!(Weight::of_written(999, 1), Weight::from_tenths(1));
        assert_eq!(Weight::of_written(1, 999), Weight::from_tenths(999));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_share(tenths in 0_u16..=1000) {
            let weight = Weight::from_tenths(tenths).unwrap();
            let (blue, green) = weight.written();
            prop_assert!(blue + green == 100 || blue + green == 1000);
            prop_assert!(blue <= 999 && green <= 999);
            prop_assert_eq!(Weight::of_written(blue, green), Some(weight));
            prop_assert_eq!(Weight::parse(&weight.to_string()), Ok(weight));
        }

        #[test]
        fn only_a_written_zero_is_a_zero(blue in 0_u32..=999, green in 1_u32..=999) {
            let share = Weight::of_written(blue, green).unwrap();
            prop_assert_ne!(share, Weight::ZERO);
            prop_assert_eq!(share == Weight::FULL, blue == 0);
        }
    }
}
