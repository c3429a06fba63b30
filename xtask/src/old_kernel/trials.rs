//! Owns how trials that were held in the machine are read and judged. Pure.
//! Read: crates/lab/examples/trials.rs.

use std::fmt::Write as _;

use serde_json::Value;

use halfopen_lab::warp::Record;

/// The trials that a machine has to hold at the least: fewer means that it lost some on the way.
const AT_LEAST: usize = 5;

/// One trial, as the machine told it.
#[derive(Debug)]
pub(super) struct Trial {
    told: Value,
}

impl Trial {
    fn name(&self) -> &str {
        self.told.get("case").and_then(Value::as_str).unwrap_or("a trial without a name")
    }

    fn is_hit(&self) -> bool {
        self.told.get("hit") == Some(&Value::Bool(true))
    }

    fn seconds(&self, pointer: &str) -> Option<f64> {
        self.told.pointer(pointer).and_then(Value::as_f64).map(|ms| ms / 1000.0)
    }

    fn predicted(&self) -> String {
        match (self.seconds("/predicted/min_ms"), self.seconds("/predicted/max_ms")) {
            (Some(min), Some(max)) => format!("{min:.3} .. {max:.3}"),
            _ if self.told.pointer("/predicted/never").is_some() => "never".to_owned(),
            _ => self.told.get("predicted").map_or_else(|| "-".to_owned(), Value::to_string),
        }
    }

    fn measured(&self) -> String {
        match (self.seconds("/measured_ms"), self.seconds("/watched_ms")) {
            _ if self.told.get("failed_to").is_some() => "-".to_owned(),
            (Some(seconds), _) => format!("{seconds:.3}"),
            (None, Some(watched)) => format!("none in {watched:.0}"),
            _ => "-".to_owned(),
        }
    }
}

/// The trials in the record, in their order. A line that is no JSON is no trial.
pub(super) fn read(record: &Record) -> Vec<Trial> {
    let lines = record.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
    lines.map(|told| Trial { told }).collect()
}

/// Predicted beside measured, a line each.
pub(super) fn table(trials: &[Trial]) -> String {
    let width = trials.iter().map(|trial| trial.name().len()).max().unwrap_or_default();
    let mut text = format!("{:<width$} {:>23}  {:>13}\n", "case", "predicted s", "measured s");
    for trial in trials {
        let verdict = if trial.is_hit() { "hit" } else { "MISS" };
        let (predicted, measured) = (trial.predicted(), trial.measured());
        // Writing into a String cannot fail.
        let _ =
            writeln!(text, "{:<width$} {predicted:>23}  {measured:>13}  {verdict}", trial.name());
    }
    let hits = trials.iter().filter(|trial| trial.is_hit()).count();
    text + &format!("{hits} of {} as predicted", trials.len())
}

/// What is wrong with a record of trials.
pub(super) fn faults(record: &Record, trials: &[Trial]) -> Vec<String> {
    let Record { name, stderr, code, .. } = record;
    let mut faults = Vec::new();
    if *code != Some(0) && trials.iter().all(Trial::is_hit) {
        faults.push(format!("{name}: ended with {code:?}: {stderr}"));
    }
    if trials.len() < AT_LEAST {
        faults.push(format!("{name}: {} were held, expected at least {AT_LEAST}", trials.len()));
    }
    let missed = trials.iter().filter(|trial| !trial.is_hit());
    faults.extend(missed.map(|trial| format!("{name}: {}: {}", trial.name(), trial.told)));
    faults
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(lines: &[&str], code: i32) -> Record {
        let stdout = lines.join("\n");
        Record { name: "trials".to_owned(), stdout, stderr: "why".to_owned(), code: Some(code) }
    }

    const HIT: &str = r#"{"case":"idle","watched_ms":9000,"hit":true,"predicted":{"min_ms":5032,"max_ms":5124},"measured_ms":5069,"errno":110}"#;
    const NEVER: &str = r#"{"case":"off","watched_ms":10000,"hit":true,"predicted":{"never":true},"measured_ms":null}"#;
    const MISS: &str = r#"{"case":"busy","watched_ms":9000,"hit":false,"predicted":{"min_ms":3112,"max_ms":3232},"measured_ms":6830,"errno":110}"#;
    const FAILED: &str = r#"{"case":"orphan","watched_ms":9000,"hit":false,"failed_to":"build"}"#;

    fn faults_of(lines: &[&str], code: i32) -> usize {
        let record = record(lines, code);
        faults(&record, &read(&record)).len()
    }

    #[test]
    fn hits_alone_are_no_fault() {
        assert_eq!(faults_of(&[HIT, NEVER, HIT, HIT, HIT], 0), 0);
    }

    #[test]
    fn misses_failures_too_few_trials_and_a_bad_end_are_faults() {
        assert_eq!(faults_of(&[HIT, HIT, HIT, MISS, FAILED], 1), 2);
        assert_eq!(faults_of(&[HIT, HIT, HIT, HIT], 0), 1);
        assert_eq!(faults_of(&[HIT, HIT, HIT, HIT, HIT], 101), 1);
        assert_eq!(faults_of(&["a panic"], 101), 2);
    }

    #[test]
    fn the_table_shows_what_was_predicted_beside_what_was_measured() {
        let table = table(&read(&record(&[HIT, NEVER, MISS, FAILED], 1)));
        let rows: Vec<Vec<&str>> =
            table.lines().map(|line| line.split_whitespace().collect()).collect();
        assert_eq!(rows[1], ["idle", "5.032", "..", "5.124", "5.069", "hit"]);
        assert_eq!(rows[2], ["off", "never", "none", "in", "10", "hit"]);
        assert_eq!(rows[3], ["busy", "3.112", "..", "3.232", "6.830", "MISS"]);
        assert_eq!(rows[4], ["orphan", "-", "-", "MISS"]);
        assert_eq!(rows[5], ["2", "of", "4", "as", "predicted"]);
    }
}
