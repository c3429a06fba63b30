//! The binary `halfopen`.
fn main() {}
