//! Owns what a relay costs: processors' time, memory and descriptors of its processes. Read: proc(5).

use std::{fs, time::Duration};

/// USER_HZ, which is the same on every architecture that Rust knows of.
const TICKS_PER_SECOND: u64 = 100;

/// How long processors have worked for the process and its children (fields 14 and 15 of proc_pid_stat(5)).
pub(crate) fn cpu(pid: u32) -> Duration {
    let ticks = |pid: u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
        fields.skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum::<u64>()
    };
    let ticks: u64 = family(pid).into_iter().map(ticks).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// Memory of the process and its children in KiB, each shared page divided among its sharers (Pss of
/// proc_pid_smaps(5)).
pub(crate) fn memory_kib(pid: u32) -> u64 {
    let pss = |pid: u32| {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("Pss:"));
        line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok()).unwrap_or(0)
    };
    family(pid).into_iter().map(pss).sum()
}

/// How many descriptors the process and its children hold.
pub(crate) fn descriptors(pid: u32) -> usize {
    let count = |pid: u32| fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    family(pid).into_iter().map(count).sum()
}

/// The process and its children; none of the relays here has grandchildren.
fn family(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let children = fs::read_to_string(path).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|pid| pid.parse().ok());
    std::iter::once(pid).chain(children).collect()
}
