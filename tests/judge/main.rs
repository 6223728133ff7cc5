//! Proofs of the judge: vectors, guarantees by simulation, equality with an obvious implementation, totality.

mod forecast;
mod side_checks;
mod vectors;
mod world;
