//! What pairs cost: memory and descriptors of the real program.

use std::{fs, net::TcpStream};

use super::{eventually, killed::Running};

/// As many as fit into a second of a busy machine, and far more than what else there is.
const PAIRS: usize = 2_000;

/// Of its own memory alone: pages of its code are shared with the relays of other tests.
fn kib(pid: u32) -> usize {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = rollup.lines().find(|line| line.starts_with("Pss_Anon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn descriptors(pid: u32) -> usize {
    fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count()
}

#[test]
fn an_idle_pair_costs_half_a_kib_and_two_descriptors_and_nothing_once_it_has_ended() {
    let limit = rustix::process::Rlimit { current: Some(20_000), maximum: Some(20_000) };
    // Both ends of every pair are this process's.
    let _ = rustix::process::setrlimit(rustix::process::Resource::Nofile, limit);
    let relay = Running::start(&["--workers", "1"]);
    let pid = relay.pid();
    let open = descriptors(pid);
    // The first ones make it touch the memory of its code.
    let warm: Vec<_> = (0..50).map(|_| relay.pair()).collect();
    drop(warm);
    eventually("they have ended", || descriptors(pid) == open);
    let memory = kib(pid);
    let pairs: Vec<(TcpStream, TcpStream)> = (0..PAIRS).map(|_| relay.pair()).collect();
    let (more, opened) = (kib(pid) - memory, descriptors(pid) - open);
    assert_eq!(opened, 2 * PAIRS);
    assert!(more * 2 <= PAIRS, "{more} KiB for {PAIRS} pairs");
    drop(pairs);
    eventually("all have ended", || descriptors(pid) == open);
    eprintln!("{PAIRS} idle pairs: {more} KiB");
}
