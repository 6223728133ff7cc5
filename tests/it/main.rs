//! The integration tests, one binary.

mod documents;
