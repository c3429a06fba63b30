//! The project's own chores, run as `cargo xtask CHORE`.
//! Owns the names of the chores. Read: HACKING.md.

mod tidy;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(),
        _ => {
            eprintln!("usage: cargo xtask tidy    check the style that compilers do not check");
            ExitCode::from(2)
        }
    }
}
