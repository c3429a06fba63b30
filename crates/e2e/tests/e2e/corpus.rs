//! Goal: input that was ever worth keeping is read for ever. Method: every file of `fuzz/corpus` goes
//! to the function that the fuzz target of the same name calls; a broken promise panics.

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
};

use halfopen_cli::fuzzing as cli;
use halfopen_lab::fuzzing as lab;
use halfopen_sys::fuzzing as sys;

type Target = (&'static str, fn(&[u8]));

/// Every target of `fuzz/Cargo.toml`.
const TARGETS: [Target; 12] = [
    ("bpf", sys::bpf),
    ("connection_id", cli::connection_id),
    ("ctnetlink", sys::ctnetlink),
    ("duration", cli::duration),
    ("frame", lab::frame),
    ("netlink", sys::netlink),
    ("picture", cli::picture),
    ("proc", sys::proc),
    ("selectors", cli::selectors),
    ("sock_diag", sys::sock_diag),
    ("tcp_info", sys::tcp_info),
    ("wire", lab::wire),
];

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz")
}

/// The names in a directory, in order.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory)
        .unwrap_or_else(|error| panic!("{} is not to be read: {error}", directory.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort_unstable();
    names
}

#[test]
fn every_kept_input_is_read_without_a_broken_promise() {
    for (target, read) in TARGETS {
        let directory = fuzz().join("corpus").join(target);
        let files = names(&directory);
        assert!(!files.is_empty(), "{} is empty", directory.display());
        for file in files {
            let bytes = fs::read(directory.join(&file)).unwrap();
            let outcome = catch_unwind(AssertUnwindSafe(|| read(&bytes)));
            assert!(outcome.is_ok(), "{target} panics at fuzz/corpus/{target}/{file}");
        }
    }
}

#[test]
fn every_fuzz_target_has_inputs_that_are_replayed_here() {
    let targets: Vec<_> = TARGETS.iter().map(|(target, _)| (*target).to_owned()).collect();
    assert_eq!(names(&fuzz().join("corpus")), targets);
    let sources: Vec<_> = targets.iter().map(|target| format!("{target}.rs")).collect();
    assert_eq!(names(&fuzz().join("targets")), sources);
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for target in &targets {
        assert!(manifest.contains(&format!("name = \"{target}\"")), "{target} is not built");
    }
}
