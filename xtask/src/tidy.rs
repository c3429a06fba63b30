//! The style as a test: what neither the compiler nor clippy checks.
//! Owns the list of checks and how findings are printed. Each check is one file below `tidy/`, a
//! pure function from the project's files to findings, tested on made-up files.
//! Must not    change anything.
//! Read        HACKING.md, "Style".

mod arrows;
mod dependencies;
mod examples;
mod finding;
mod headers;
mod leftovers;
mod length;
mod links;
mod manifest;
mod names;
mod provenance;
mod rules;
mod source;
mod tree;
mod unsafety;
mod verdicts;
mod waiting;

use std::{env, path::Path, process::ExitCode};

use finding::Finding;
use tree::Tree;

/// Every check, in the order in which their findings are printed.
const CHECKS: [fn(&Tree) -> Vec<Finding>; 13] = [
    arrows::check,
    unsafety::check,
    rules::check,
    verdicts::check,
    headers::check,
    length::check,
    names::check,
    waiting::check,
    leftovers::check,
    provenance::check,
    dependencies::check,
    links::check,
    examples::check,
];

/// Checks the project that this chore belongs to, and prints what is not as it should be.
pub(crate) fn run() -> ExitCode {
    // Cargo says at run time where this crate is; what it said at build time is another clone's
    // path if two clones share a target directory.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let Some(root) = Path::new(&here).parent() else {
        eprintln!("tidy: the project's root was not found above {}", Path::new(&here).display());
        return ExitCode::FAILURE;
    };
    let tree = match Tree::read(root) {
        Ok(tree) => tree,
        Err(error) => {
            eprintln!("tidy: {error}");
            return ExitCode::FAILURE;
        }
    };
    let findings: Vec<Finding> = CHECKS.iter().flat_map(|check| check(&tree)).collect();
    for finding in &findings {
        println!("{finding}\n");
    }
    let files = tree.len();
    match findings.len() {
        0 => {
            println!("tidy: {files} files, nothing to find fault with");
            ExitCode::SUCCESS
        }
        1 => {
            println!("tidy: 1 finding in {files} files");
            ExitCode::FAILURE
        }
        count => {
            println!("tidy: {count} findings in {files} files");
            ExitCode::FAILURE
        }
    }
}
