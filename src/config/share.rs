//! Shares as people write them: `0.1%`.

/// Reads a percentage with its sign into a share (0 to 1). The sign is asked for: without it nobody can tell whether
/// `0.5` means half or half a percent.
pub(crate) fn parse(text: &str) -> Result<f64, String> {
    let bad = || format!("`{text}` is not a percentage: write it with its sign, as `5%` or `0.1%`");
    let number = text.trim().strip_suffix('%').ok_or_else(bad)?.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |part: &str| !part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) {
        return Err(bad());
    }
    // Moving the point in the text keeps 0.1% the same number as 0.001.
    format!("{number}e-2").parse().map_err(|_not_read: std::num::ParseFloatError| bad())
}

/// The same text for the same share: what [`parse`] reads back to exactly this number.
pub(crate) fn written(share: f64) -> String {
    let digits = share.to_string();
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let padded = format!("{fraction:0<2}");
    let (percents, rest) = padded.split_at_checked(2).unwrap_or((&padded, ""));
    let whole = format!("{whole}{percents}");
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if rest.is_empty() { format!("{whole}%") } else { format!("{whole}.{rest}%") }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_read_as_people_write_them() {
        for (text, share, shown) in [
            ("5%", 0.05, "5%"),
            ("0.1%", 0.001, "0.1%"),
            ("100 %", 1.0, "100%"),
            ("0%", 0.0, "0%"),
            ("12.50%", 0.125, "12.5%"),
        ] {
            assert_eq!(parse(text), Ok(share), "{text}");
            assert_eq!(written(share), shown);
        }
        for text in ["5", "0.05", "%", "-1%", "1e3%", ".5%", "5.%", "five%", "inf%"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back_as_the_same_number(share in 0.0_f64..=1.0) {
            // Finer than any share in use: twenty digits are the reader's limit.
            let share = (share * 1e15).round() / 1e15;
            prop_assert_eq!(parse(&written(share)), Ok(share));
        }
    }
}
