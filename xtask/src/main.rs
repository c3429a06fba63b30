//! The project's own chores, run as `cargo xtask CHORE`.
//! Owns the names of the chores. Read: HACKING.md.

mod old_kernel;
mod tidy;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(),
        ["old-kernel", arguments @ ..] => old_kernel::run(arguments),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy          check the style that compilers do not check"
            );
            eprintln!(
                "       cargo xtask old-kernel    check the program on an older kernel, emulated"
            );
            ExitCode::from(2)
        }
    }
}
