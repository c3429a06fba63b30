//! A lab leaves nothing: not after its end, not after a panic, not after SIGKILL.

use std::{
    collections::HashSet,
    fs,
    io::{BufRead, BufReader},
    panic::{AssertUnwindSafe, catch_unwind},
    process::{Command, Stdio},
};

use halfopen_core::NetnsId;
use halfopen_lab::{Lab, Topology, wait};

use crate::{
    cable::{SOON, connection},
    requires_lab,
};

/// The namespaces of a lab's hosts.
fn namespaces(lab: &Lab) -> HashSet<NetnsId> {
    lab.topology().hosts.iter().map(|plan| lab.host(&plan.name).unwrap().netns().unwrap()).collect()
}

/// Pids whose network namespace is one of `namespaces`.
fn inhabitants(namespaces: &HashSet<NetnsId>) -> Vec<u32> {
    let lives_there = |pid: &u32| {
        fs::read_link(format!("/proc/{pid}/ns/net"))
            .ok()
            .and_then(|link| link.to_str()?.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok())
            .is_some_and(|inode| namespaces.contains(&NetnsId(inode)))
    };
    let pids = fs::read_dir("/proc").unwrap();
    pids.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(lives_there)
        .collect()
}

/// Names of the interfaces in our own namespace.
fn interfaces() -> HashSet<String> {
    let table = fs::read_to_string("/proc/self/net/dev").unwrap();
    table.lines().filter_map(|line| Some(line.split_once(':')?.0.trim().to_owned())).collect()
}

/// Waits until `gone` holds; fails with `what` after five seconds.
fn eventually(what: &str, gone: impl Fn() -> bool) {
    assert!(wait::until(SOON, || gone().then_some(())).is_some(), "{what}");
}

#[test]
fn nothing_is_left_of_a_lab_that_was_dropped() {
    requires_lab!();
    let before = interfaces();
    let lab = Lab::build(Topology::routed()).unwrap();
    let program = lab.client().unwrap().spawn("sleep", &["600"]).unwrap();
    let (client, server) = connection(&lab);
    // Orphans on both hosts: the cable is cut, and their FINs are unanswered.
    lab.cable(0).unwrap().cut();
    drop((client, server));
    let namespaces = namespaces(&lab);
    eventually("the program runs", || inhabitants(&namespaces).len() >= 4);
    drop(lab);
    // The program's entry, a child of ours, ends of its own accord once the program has.
    eventually("something outlives its lab", || inhabitants(&namespaces).is_empty());
    assert_eq!(interfaces(), before);
    drop(program);
}

#[test]
fn nothing_is_left_of_a_lab_in_which_something_panicked() {
    requires_lab!();
    let mut seen = HashSet::new();
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        let lab = Lab::build(Topology::lan()).unwrap();
        let _program = lab.server().unwrap().spawn("sleep", &["600"]).unwrap();
        seen = namespaces(&lab);
        panic!("on purpose");
    }));
    assert!(panicked.is_err());
    assert!(!seen.is_empty());
    assert_eq!(inhabitants(&seen), []);
}

#[test]
fn nothing_is_left_of_a_lab_whose_process_was_killed() {
    requires_lab!();
    let mut victim = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "leftovers::a_lab_that_waits_to_be_killed", "--nocapture", "--ignored"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(victim.stdout.take().unwrap()).lines();
    let found = lines.find_map(|line| Some(line.unwrap().split_once("inodes ")?.1.to_owned()));
    let found = found.unwrap();
    let namespaces: HashSet<_> =
        found.split_whitespace().map(|inode| NetnsId(inode.parse().unwrap())).collect();
    assert!(inhabitants(&namespaces).len() >= 3);
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("a process of the lab outlives it", || inhabitants(&namespaces).is_empty());
}

/// No test: the process that the test above kills.
#[test]
#[ignore = "waits for its end by the test that starts it"]
fn a_lab_that_waits_to_be_killed() {
    requires_lab!();
    let lab = Lab::build(Topology::lan()).unwrap();
    let _program = lab.server().unwrap().spawn("sleep", &["600"]).unwrap();
    let inodes: Vec<_> = namespaces(&lab).iter().map(NetnsId::to_string).collect();
    println!("inodes {}", inodes.join(" "));
    // The killer holds the other end of the pipe; whoever runs this by hand ends it with Ctrl-D.
    std::io::stdin().lines().for_each(drop);
}
