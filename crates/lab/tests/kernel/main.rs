//! The lab against the real kernel. Goal: hosts, cables, faults and measurements are what they say.
//! Method: every test builds its own lab in namespaces of its own; needs root.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, also in what tests share")]

mod book;
mod boxes;
mod cable;
mod capture;
mod faults;
mod filters;
mod ipv6;
mod leftovers;
mod power;
mod trial;

pub(crate) use halfopen_lab::requires_lab;
