//! How long `keep --apply` and `keep --undo` take on 100,000 connections: the whole command, from
//! its start to its end, look, plan, record and audit included. Needs the release build with BPF:
//! `cargo build --release --package halfopen-cli --features bpf`, then `cargo bench --bench keep`.
//!
//! So many are refused unless the host's backlog is raised; that is done here, and put back.
#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on has failed, and says where")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use halfopen_e2e::crowd;
use halfopen_lab::Host;

/// Both ends of half as many.
const SOCKETS: usize = 100_000;
const HOLDERS: usize = 10;
const REPETITIONS: usize = 5;

fn main() {
    let program = program();
    let _backlog = Backlog::raised();
    let host = Host::boot("bench").unwrap();
    let _holders = crowd::gather(&host, SOCKETS / 2, HOLDERS).unwrap();
    let netns = host.pid().unwrap().to_string();
    let directory = env::temp_dir().join(format!("halfopen-bench-{}", std::process::id()));
    fs::create_dir_all(&directory).unwrap();
    let (mut applied, mut undone) = (Vec::new(), Vec::new());
    for _ in 0..REPETITIONS {
        let files = [directory.join("audit"), directory.join("record")];
        let apply =
            ["--detect-within", "60s", "--all", "--loopback", "--watch-for", "0s", "--apply"];
        applied.push(time(&program, &netns, &files, &apply));
        undone.push(time(&program, &netns, &files, &["--undo"]));
        files.iter().for_each(|file| fs::remove_file(file).unwrap());
    }
    fs::remove_dir(directory).unwrap();
    println!("keep --apply, {SOCKETS} connections: {}", told(applied));
    println!("keep --undo,  {SOCKETS} connections: {}", told(undone));
}

/// The release build, wherever the target directory is.
fn program() -> PathBuf {
    let beside = env::current_exe().unwrap();
    let program = beside.parent().unwrap().parent().unwrap().join("halfopen");
    assert!(program.exists(), "{} is not built", program.display());
    program
}

fn time(program: &Path, netns: &str, files: &[PathBuf; 2], what: &[&str]) -> Duration {
    let [audit, record] = files;
    let began = Instant::now();
    let status = Command::new(program)
        .args(["keep", "--netns", netns, "--audit"])
        .arg(audit)
        .arg("--record")
        .arg(record)
        .args(what)
        .stdout(Stdio::null())
        .status()
        .unwrap();
    let took = began.elapsed();
    assert!(status.success(), "{status}");
    took
}

fn told(mut all: Vec<Duration>) -> String {
    all.sort();
    let (least, most) = (all.first().unwrap(), all.last().unwrap());
    format!(
        "median {:?} (of {REPETITIONS}: {least:?} to {most:?})",
        all.get(all.len() / 2).unwrap()
    )
}

/// `net.core.netdev_max_backlog`, raised for as long as this lives.
struct Backlog(String);

impl Backlog {
    const PATH: &str = "/proc/sys/net/core/netdev_max_backlog";

    fn raised() -> Self {
        let before = fs::read_to_string(Self::PATH).unwrap();
        fs::write(Self::PATH, "1000000").unwrap();
        Self(before)
    }
}

impl Drop for Backlog {
    fn drop(&mut self) {
        fs::write(Self::PATH, &self.0).unwrap();
    }
}
