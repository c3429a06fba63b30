//! The project's own chores, run as `cargo xtask CHORE`.
//! Owns the names of the chores. Read: HACKING.md.

mod bpf;
mod tidy;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(),
        ["bpf"] => bpf::run(bpf::Task::Compile),
        ["bpf", "--check"] => bpf::run(bpf::Task::Check),
        _ => {
            eprintln!(
                "usage: cargo xtask tidy           check the style that compilers do not check\n       \
                 cargo xtask bpf [--check]  compile the BPF programs, or only compare with what is committed"
            );
            ExitCode::from(2)
        }
    }
}
