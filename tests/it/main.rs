//! The integration tests, one binary.

mod documents;
mod documents_round_trip;
mod documents_schema;
mod documents_settings;
