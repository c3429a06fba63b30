//! Owns the table: times, ratios and memory, for people and for docs/benchmarks.md.

use crate::{
    contest::{Measured, SS_INFO, SS_OWNERS},
    timing::Timing,
};

/// The measured entries as a table in Markdown. Ratios are of time passed and, behind a slash, of
/// processors' time, which a busy machine disturbs less.
pub(crate) fn table(results: &[Measured], sockets: usize) -> String {
    if results.is_empty() {
        return String::new();
    }
    let timing = |name: &str| results.iter().find(|one| one.name == name).map(|one| one.timing);
    let (owners, info) = (timing(SS_OWNERS), timing(SS_INFO));
    let mut lines = vec![
        format!(
            "| {sockets} sockets | time | processors | `{SS_OWNERS}` takes | `{SS_INFO}` takes | \
             peak memory |"
        ),
        "|---|--:|--:|--:|--:|--:|".to_owned(),
    ];
    for Measured { name, timing, peak } in results {
        let per_socket = |peak| peak / u64::try_from(sockets).unwrap_or(u64::MAX).max(1);
        lines.push(format!(
            "| {name} | {:.2} s | {:.2} s | {} | {} | {} |",
            timing.took.as_secs_f64(),
            timing.cpu.as_secs_f64(),
            times(owners, *timing),
            times(info, *timing),
            peak.map_or_else(String::new, |peak| format!("{} B/socket", per_socket(peak))),
        ));
    }
    lines.join("\n")
}

/// How many times as long `base` takes.
fn times(base: Option<Timing>, timing: Timing) -> String {
    base.map_or_else(String::new, |base| {
        let took = base.took.as_secs_f64() / timing.took.as_secs_f64();
        let cpu = base.cpu.as_secs_f64() / timing.cpu.as_secs_f64();
        format!("{took:.1} / {cpu:.1} times")
    })
}
