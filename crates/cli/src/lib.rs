//! The command `halfopen`: for every TCP connection of this host, is the peer still there, how long
//! until the owner would learn that it is gone, and what can be done.
//!
//! `args` has every flag; a verb is a module (`ls`, `why`, `prove`, `keep`, `reap`, `rehearse`); `look` gets a picture of
//! the host, `select` chooses, `order` sorts, `render` draws. A library only so that tests and the
//! generators of documentation can see the definition of the command line.
//!
//! # What this crate does not do
//! It judges nothing (`halfopen-core` does) and asks the kernel nothing itself (`halfopen-sys` does).

#![forbid(unsafe_code)]

pub mod args;
mod audit;
mod connections;
mod counted;
pub mod exit;
#[cfg(test)]
mod fixtures;
#[doc(hidden)]
pub mod fuzzing;
mod keep;
mod long_look;
mod look;
mod ls;
mod order;
mod picture;
mod prove;
mod reap;
mod rehearse;
mod relay;
mod relay_check;
mod render;
pub mod select;
mod signals;
mod simulate_policy;
pub mod span;
mod story;
mod terminal;
mod toml_file;
mod watch;
mod why;

use std::{
    io::{self, BufWriter, Write as _},
    process::ExitCode,
};

use clap::Parser as _;

use crate::{
    args::{Arguments, Verb},
    exit::{Exit, Failure},
    render::counted,
};

/// Reads the command line, does what it says, and tells how to exit.
pub fn main() -> ExitCode {
    exit::report_bugs();
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help that nobody reads to the end (`| head`) is no failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Fine }.into();
        }
    };
    tell_restored(&halfopen_sys::restore());
    let mut out = BufWriter::new(io::stdout());
    // What is still in the buffer when it is dropped would be lost without a word.
    let done = run(&arguments, &mut out).and_then(|exit| Ok(out.flush().map(|()| exit)?));
    let exit = done.unwrap_or_else(|failure| {
        let exit = failure.exit();
        if exit != Exit::Fine {
            // Nowhere is left to say that standard error cannot be written.
            let _ = writeln!(io::stderr(), "halfopen: {failure}");
        }
        exit
    });
    exit.into()
}

/// A probe that was killed may have left options changed, which every run puts back and says.
fn tell_restored(restored: &halfopen_sys::Restored) {
    let mut stderr = io::stderr();
    // What was done stays done where it cannot be said.
    if restored.restored > 0 {
        let _ = writeln!(
            stderr,
            "halfopen: put back the socket options of {}, which an interrupted probe had left changed",
            counted(restored.restored, "connection", "connections")
        );
    }
    if let Some(first) = restored.failed.first() {
        let _ = writeln!(
            stderr,
            "halfopen: cannot put back the socket options of {}, which an interrupted probe had left \
             changed; the first: {first}",
            counted(restored.failed.len(), "connection", "connections")
        );
    }
}

fn run(arguments: &Arguments, out: &mut impl io::Write) -> Result<Exit, Failure> {
    match &arguments.verb {
        None => ls::run(&arguments.ls, out),
        Some(Verb::Ls(ls)) => ls::run(ls, out),
        Some(Verb::Why(why)) => why::run(why, out),
        Some(Verb::Prove(prove)) => prove::run(prove, out),
        Some(Verb::Keep(keep)) => keep::run(keep, out),
        Some(Verb::Reap(reap)) => reap::run(reap, out),
        Some(Verb::Relay(relay)) => relay::run(relay, out),
        Some(Verb::RelayCheck(check)) => relay_check::run(check, out),
        Some(Verb::Rehearse(rehearse)) => rehearse::run(rehearse, out),
        Some(Verb::RehearsePair { words }) => rehearse::pair(words),
        Some(Verb::SimulatePolicy(simulate)) => simulate_policy::run(simulate, out),
    }
}
