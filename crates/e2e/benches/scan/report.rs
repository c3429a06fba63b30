//! Owns the table: times, ratios and memory, for people and for docs/benchmarks.md.

use std::fs;

use crate::contest::{Measured, SS_INFO, SS_OWNERS};

/// The machine, in one line.
pub(crate) fn machine() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!(
        "machine: {}, {cores} cores, Linux {}",
        model.map_or("unknown", |(_, name)| name),
        read("/proc/sys/kernel/osrelease").trim()
    )
}

/// The measured entries as a table in Markdown.
pub(crate) fn table(results: &[Measured], sockets: usize) -> String {
    if results.is_empty() {
        return String::new();
    }
    let took = |name: &str| results.iter().find(|one| one.name == name).map(|one| one.timing.took);
    let (owners, info) = (took(SS_OWNERS), took(SS_INFO));
    let mut lines = vec![
        format!(
            "| {sockets} sockets | time | processors | than `{SS_OWNERS}` | than `{SS_INFO}` | peak memory |"
        ),
        "|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for Measured { name, timing } in results {
        let ratio = |base: Option<std::time::Duration>| {
            base.map_or_else(String::new, |base| {
                format!("{:.1} x faster", base.as_secs_f64() / timing.took.as_secs_f64())
            })
        };
        lines.push(format!(
            "| {name} | {:.2} s | {:.2} s | {} | {} | {} B/socket |",
            timing.took.as_secs_f64(),
            timing.cpu.as_secs_f64(),
            ratio(owners),
            ratio(info),
            timing.peak / u64::try_from(sockets).unwrap_or(u64::MAX).max(1),
        ));
    }
    lines.join("\n")
}
