//! greenshift
fn main() {}
