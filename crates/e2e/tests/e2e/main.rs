//! The program `halfopen`, as a user starts it, against real kernels, programs and faults.
//! One binary, so that it links once; one module for each thing that a user wants to do.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot go on has failed, and says where"
)]

mod book;
mod corpus;
mod detection;
mod faults;
mod keep;
mod keep_crowd;
mod keep_future;
mod keep_programs;
mod keep_survive;
mod kills;
mod library;
mod library_examples;
mod listing;
mod matrix;
mod pages;
mod pair;
mod prove;
mod reap;
mod record;
mod rehearse;
mod relay;
mod relay_check;
mod story;
mod stress;
mod unprivileged;
mod uptime;
mod vanishing;

use std::{
    env,
    path::PathBuf,
    process::{Command, Output},
};

pub(crate) use halfopen_lab::requires_lab;
use serde_json::Value;

/// The program, built beside the tests. `make test` builds it; cargo does not do so by itself,
/// since it belongs to another package.
fn program() -> PathBuf {
    let beside = env::current_exe().unwrap();
    let program = beside.parent().unwrap().parent().unwrap().join("halfopen");
    assert!(program.exists(), "{} is not built: run `cargo build` first", program.display());
    program
}

fn halfopen(arguments: &[&str]) -> Output {
    Command::new(program()).args(arguments).env("NO_COLOR", "1").output().unwrap()
}

/// What the program wrote, and its exit code.
#[track_caller]
fn says(arguments: &[&str]) -> (String, i32) {
    let output = halfopen(arguments);
    let text = String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr);
    (text, output.status.code().unwrap())
}

/// The program was built with BPF and this machine allows it. Where it is not so, a test says that it
/// leaves something out; under CI that is a failure.
fn has_bpf() -> bool {
    let has_bpf = halfopen(&["ls", "--source", "bpf"]).status.success();
    if !has_bpf {
        assert!(env::var_os("CI").is_none(), "needs a build with BPF, and a kernel that allows it");
        eprintln!("skipped in part: needs a build with BPF, and a kernel that allows it");
    }
    has_bpf
}

/// The document that the program wrote.
#[track_caller]
fn json(arguments: &[&str]) -> Value {
    let output = halfopen(arguments);
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {errors}"))
}

/// The one connection in a document of `ls`.
#[track_caller]
fn only(document: &Value) -> &Value {
    let connections = document["connections"].as_array().unwrap();
    assert_eq!(connections.len(), 1, "{document:#}");
    &connections[0]
}
