//! Proofs of the judge: vectors, guarantees by simulation, equality with an obvious implementation, totality.

mod forecast;
mod vectors;
mod world;
