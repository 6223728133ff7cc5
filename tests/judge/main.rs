//! Proofs of the judge: vectors, guarantees by simulation, equality with an obvious implementation, totality.
#![expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^52")]
#![expect(clippy::many_single_char_names, reason = "the names of the formulas")]
#![expect(clippy::indexing_slicing, reason = "a wrong index fails the test")]

mod forecast;
mod guarantee;
mod obvious;
mod side_checks;
mod totality;
mod vectors;
mod world;

use greenshift::judge::Counts;
use rand::Rng;

/// A side's counts in a period: about `mean` requests of which a share `ratio` is bad.
fn counts(rng: &mut impl Rng, mean: f64, ratio: f64) -> Counts {
    let requests = world::poisson(rng, mean);
    Counts::new(requests, world::binomial(rng, requests, ratio))
}
