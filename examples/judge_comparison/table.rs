//! Markdown.

/// One line of a table.
pub(crate) fn row(cells: &[String]) {
    println!("| {} |", cells.join(" | "));
}

/// Lines, and what ends a table.
pub(crate) fn rows<'a>(lines: impl IntoIterator<Item = &'a Vec<String>>) {
    for line in lines {
        row(line);
    }
    println!();
}

/// A number with two or three digits that matter; `never` when infinite.
pub(crate) fn number(value: f64) -> String {
    if value.is_nan() {
        "-".to_owned()
    } else if value.is_infinite() {
        "never".to_owned()
    } else if value >= 10.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// A share as percent, without trailing noise.
pub(crate) fn percent(share: f64) -> String {
    let text = format!("{:.3}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Geometric mean of the finite ratios, and how many are not finite.
pub(crate) fn mean_ratio(ratios: impl Iterator<Item = f64>) -> (f64, usize) {
    let (mut sum, mut count, mut never) = (0.0, 0_u32, 0);
    for ratio in ratios {
        if ratio.is_finite() && ratio > 0.0 {
            sum += ratio.ln();
            count += 1;
        } else {
            never += 1;
        }
    }
    (if count == 0 { f64::NAN } else { (sum / f64::from(count)).exp() }, never)
}
