//! The project's own chores, run as `cargo xtask CHORE`.
//! Owns the names of the chores. Read: HACKING.md.

mod accuracy;
mod api;
mod bpf;
mod conformance;
mod detector;
mod old_kernel;
mod rehearsals;
mod soak;
mod tidy;

use std::{env, process::ExitCode};

fn main() -> ExitCode {
    let words: Vec<String> = env::args().skip(1).collect();
    match words.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["tidy"] => tidy::run(),
        ["accuracy", options @ ..] => accuracy::run(options),
        ["old-kernel", arguments @ ..] => old_kernel::run(arguments),
        ["api"] => api::run(false),
        ["api", "--check"] => api::run(true),
        ["detector"] => detector::run(),
        ["soak", options @ ..] => soak::run(options),
        ["conformance", words @ ..] => conformance::run(words),
        ["rehearsals", names @ ..] => rehearsals::run(names),
        ["bpf"] => bpf::run(bpf::Task::Compile),
        ["bpf", "--check"] => bpf::run(bpf::Task::Check),
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

const USAGE: &str = "\
usage: cargo xtask tidy                            check the style that compilers do not check
       cargo xtask accuracy [--cases N] [--seed S] [--only NUMBER]
                                                   predict, break and measure N random connections (root)
       cargo xtask api [--check]                   list the public items of the library, or compare the list
       cargo xtask detector                        how good the failure detector of the library is
       cargo xtask soak [--clients N] [--days N] [--seed S] [--plant-saturdays]
                                                   simulated weeks of the library's heartbeats and reconnects
       cargo xtask bpf [--check]                   compile the BPF programs, or compare with what is committed
       cargo xtask conformance [--page | PEER...]
                                                   check relays case by case, and write docs/conformance.md (root)
       cargo xtask rehearsals [NAME...]            write the report cards of docs/rehearsals anew (root)
       cargo xtask old-kernel [--package NAME | --deb FILE]
                                                   check the program on an older kernel, emulated";
