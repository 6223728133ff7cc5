//! greenshift
/// The statistics that decide whether green serves its users as well as blue does.
pub mod judge;
