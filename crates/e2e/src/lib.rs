//! What tests and benchmarks of this package share. The tests start the program `halfopen` and look
//! at what it says. Read: `tests/e2e/main.rs`.

pub mod crowd;
pub mod machine;
