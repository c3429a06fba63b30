//! The lab against the real kernel. Goal: hosts, cables, faults and measurements are what they say.
//! Method: every test builds its own lab in namespaces of its own; needs root.

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking, also in what tests share")]

mod book;
mod boxes;
mod cable;
mod capture;
mod faults;
mod filters;
mod leftovers;
mod power;
mod trial;

/// Ends a test early, and says so, where the machine lacks what a lab needs; under CI that is a failure.
macro_rules! requires_lab {
    ($($program:literal from $package:literal),*) => {
        let lacks = [
            halfopen_lab::requirements::check().err(),
            $(halfopen_lab::requirements::find($program, $package).err(),)*
        ];
        if let Some(missing) = lacks.into_iter().flatten().next() {
            assert!(std::env::var_os("CI").is_none(), "failed to {missing}");
            eprintln!("skipped: needs to {missing}");
            return;
        }
    };
}
pub(crate) use requires_lab;
