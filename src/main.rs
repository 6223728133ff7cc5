//! greenshift: the program.

use std::process::ExitCode;

fn main() -> ExitCode {
    greenshift::cli::main()
}
