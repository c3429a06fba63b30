//! Owns `cargo xtask detector`: the table of how good the failure detector is, and which detectors and
//! paths are in it. The measuring is `halfopen_core::heartbeat::quality`'s.

use std::{fmt::Write as _, num::NonZeroU32, process::ExitCode, time::Duration};

use halfopen_core::heartbeat::{
    Judgement, Policy,
    quality::{Path, quality},
};

/// Prints the table.
pub(crate) fn run() -> ExitCode {
    print!("{}", table());
    ExitCode::SUCCESS
}

const fn path(name: &'static str, delay_ms: u64, jitter_ms: u64, loss_percent: u8) -> Path {
    Path {
        name,
        delay: Duration::from_millis(delay_ms),
        jitter: Duration::from_millis(jitter_ms),
        loss_percent,
        outage_every: None,
        outage_for: Duration::ZERO,
    }
}

fn paths() -> [Path; 5] {
    let outages = |path, every_h: u64, for_s: u64| Path {
        outage_every: Some(Duration::from_secs(every_h * 3600)),
        outage_for: Duration::from_secs(for_s),
        ..path
    };
    [
        path("LAN: 1 ms, no loss", 1, 1, 0),
        path("internet: 40 ms, 1 % lost", 40, 10, 1),
        path("bad Wi-Fi: 20 ms, 20 % lost", 20, 30, 20),
        outages(path("mobile: 80 ms, 2 % lost, outages of 10 s", 80, 60, 2), 2, 10),
        outages(path("rerouting: 40 ms, outages of 60 s", 40, 10, 0), 24, 60),
    ]
}

fn detectors() -> Vec<(&'static str, Policy)> {
    let misses = |count: u32| Judgement::Misses(NonZeroU32::MIN.saturating_add(count - 1));
    let with = |judgement, answer_s| Policy {
        judgement,
        answer_within: Duration::from_secs(answer_s),
        ..Policy::default()
    };
    vec![
        ("1 miss, answers within 5 s", with(misses(1), 5)),
        ("1 miss, answers within 10 s", with(misses(1), 10)),
        ("3 misses, answers within 5 s", with(misses(3), 5)),
        ("3 misses, answers within 10 s", with(misses(3), 10)),
        ("phi 3, 5 s forgiven", with(Judgement::Phi { threshold: 3.0 }, 5)),
        ("phi 8, 5 s forgiven", with(Judgement::Phi { threshold: 8.0 }, 5)),
        ("phi 12, 20 s forgiven", with(Judgement::Phi { threshold: 12.0 }, 20)),
    ]
}

/// The table, every path with every detector.
fn table() -> String {
    let seconds = |span: Duration| format!("{:.1} s", span.as_secs_f64());
    let mut text = format!(
        "{:<30}  {:>8}  {:>14}  {:>15}\n",
        "DETECTOR, INTERVAL 30 s", "MISTAKES", "NOTICED, HALF", "NOTICED, 99 %"
    );
    for path in paths() {
        // Writing into a String cannot fail.
        let _ = writeln!(text, "{}", path.name);
        for (name, policy) in detectors() {
            let found = quality(policy, &path, ALIVE, DEATHS, SEED);
            let (half, most) = (seconds(found.median), seconds(found.most));
            let _ = writeln!(text, "  {name:<28}  {:>8}  {half:>14}  {most:>15}", found.mistakes);
        }
    }
    text
}

const ALIVE: Duration = Duration::from_secs(30 * 86_400);
const DEATHS: u32 = 1_000;
const SEED: u64 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    /// Run with HALFOPEN_WRITE_EXAMPLES=1 to write the file anew.
    #[test]
    fn the_table_of_the_documentation_is_what_is_printed() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/examples/detector.txt");
        let table = table();
        if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
            std::fs::write(path, &table).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), table);
    }
}
