//! Nothing: the tests of this package start the program `halfopen` and look at what it says.
//! Read: `tests/e2e/main.rs`.
