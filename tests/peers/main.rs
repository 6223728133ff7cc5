//! greenshift and its AWS stand-in against programs that others wrote.
//!
//! `tests/peers/setup.sh` installs them; a test whose peer is missing fails and says so.

#![expect(clippy::unwrap_used, clippy::unwrap_in_result, clippy::panic, clippy::indexing_slicing, reason = "test code")]
#![expect(dead_code, unused_imports, reason = "these tests need less of the stand-in than others do")]

mod aws_cli;
#[path = "../aws_stand_in/mod.rs"]
mod aws_stand_in;
mod greenshift;
mod microburst;
mod moto;
mod program;
mod rollout_on_moto;
mod router_on_moto;
mod sdk_on_moto;
mod stand_in_by_cli;
mod undo_in_a_shell;
