//! Owns a look at the relay's processes: descriptors, memory, connections. Read: proc(5), proc_net(5).

use std::{fs, path::PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::soak::Holdings;

/// How many descriptors the relay's processes hold; `None` where none of them can be seen.
pub(crate) fn of_relay(pid: u32) -> Option<usize> {
    relay(pid).into_iter().filter_map(of_one).reduce(|sum, one| sum + one)
}

/// All that the relay's processes hold; `None` where none of them can be seen.
pub(crate) fn held_by_relay(pid: u32) -> Option<Holdings> {
    let memory_kib = relay(pid).into_iter().filter_map(memory_kib).sum();
    Some(Holdings { descriptors: of_relay(pid)?, memory_kib, connections: connections(pid)? })
}

/// Memory in KiB, each shared page divided among its sharers.
fn memory_kib(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("Pss:"))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

/// Sockets in the process's network namespace that are neither listening nor in TIME-WAIT, which are
/// what a connection still costs.
fn connections(pid: u32) -> Option<usize> {
    let table = |name: &str| fs::read_to_string(format!("/proc/{pid}/net/{name}"));
    // A kernel without IPv6 has no such table.
    let text = table("tcp").ok()? + &table("tcp6").unwrap_or_default();
    let state = |line: &str| line.split_whitespace().nth(3).map(str::to_owned);
    let is_connection = |state: &String| !matches!(state.as_str(), "0A" | "06" | "st");
    Some(text.lines().filter_map(state).filter(is_connection).count())
}

/// Kills all of the relay's processes.
pub(crate) fn kill_relay(pid: u32) {
    for pid in relay(pid).into_iter().filter_map(|pid| Pid::from_raw(i32::try_from(pid).ok()?)) {
        // It may be gone, which is as good.
        let _ = kill_process(pid, Signal::KILL);
    }
}

/// The relay's processes, given its first: those of its host in a lab, which it may have left behind
/// without a parent; elsewhere its descendants.
fn relay(pid: u32) -> Vec<u32> {
    let (own, its) = (namespace(std::process::id()), namespace(pid));
    if its.is_none() || own == its {
        return tree(pid);
    }
    let Ok(entries) = fs::read_dir("/proc") else { return tree(pid) };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|pid| namespace(*pid) == its && !is_first_of_host(*pid))
        .collect()
}

fn namespace(pid: u32) -> Option<PathBuf> {
    fs::read_link(format!("/proc/{pid}/ns/pid")).ok()
}

/// The lab's own process on the host, which is number 1 there.
fn is_first_of_host(pid: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
    numbers.and_then(|numbers| numbers.split_whitespace().next_back()) == Some("1")
}

fn of_one(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// The process and its descendants, parents first.
fn tree(pid: u32) -> Vec<u32> {
    let mut tree = vec![pid];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(children(parent));
        next += 1;
    }
    tree
}

/// The children of all threads, as the kernel lists them (CONFIG_PROC_CHILDREN).
fn children(pid: u32) -> Vec<u32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else { return Vec::new() };
    threads
        .filter_map(|thread| fs::read_to_string(thread.ok()?.path().join("children")).ok())
        .flat_map(|text| {
            text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_counted_with_its_children() {
        let own = of_one(std::process::id()).unwrap();
        let mut child =
            std::process::Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        let counted = of_relay(std::process::id()).unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        assert!(counted > own, "{counted} with a child, {own} without");
    }
}
