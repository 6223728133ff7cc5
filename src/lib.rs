//! greenshift
