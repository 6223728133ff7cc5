//! Proofs of the judge: vectors, guarantees by simulation, equality with an obvious implementation, totality.
#![expect(clippy::cast_precision_loss, reason = "counts of a simulation are far below 2^52")]
#![expect(clippy::indexing_slicing, reason = "a wrong index fails the test")]

mod forecast;
mod obvious;
mod side_checks;
mod vectors;
mod world;
