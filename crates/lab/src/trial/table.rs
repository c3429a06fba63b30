//! Owns the table of trials: predicted beside measured. Pure: outcomes in, text out.

use std::fmt::Write;

use halfopen_core::detection::Learns;

use super::{Finding, Outcome, RESOLUTION};
use crate::errno;

/// One line a trial, and a footer with the count. At most 100 columns wide, but for the reasons of
/// what failed, which stand in lines of their own.
pub fn table(outcomes: &[Outcome]) -> String {
    let mut text = row(["case", "view", "predicted s", "measured s", "told", ""]);
    let mut failures = String::new();
    for outcome in outcomes {
        let case = &outcome.case;
        let watched = format!("none in {}", case.watch.as_secs());
        match &outcome.result {
            Ok(finding) => {
                let measured =
                    finding.ended.map_or(watched, |ended| seconds(ended.after.as_secs_f64()));
                let verdict = if finding.is_hit() { "hit" } else { "MISS" };
                let view = case.view.word();
                text += &row([
                    &case.name,
                    view,
                    &predicted(&finding.predicted),
                    &measured,
                    &told(finding),
                    verdict,
                ]);
            }
            Err(error) => {
                text += &row([&case.name, case.view.word(), "", "", "", "FAILED"]);
                // Writing into a String cannot fail.
                let _ = writeln!(failures, "failed to hold {}: failed to {error}", case.name);
            }
        }
    }
    let hits = outcomes.iter().filter(|outcome| outcome.is_hit()).count();
    let _ = writeln!(
        text,
        "\n{hits} of {} as predicted. The clock of the measurement is good for {} ms:\n\
         predicted intervals are widened by that.",
        outcomes.len(),
        RESOLUTION.as_millis()
    );
    text + &failures
}

fn row([case, view, predicted, measured, told, verdict]: [&str; 6]) -> String {
    let row =
        format!("{case:<40} {view:<4}  {predicted:>17}  {measured:>10}  {told:<12}  {verdict}");
    row.trim_end().to_owned() + "\n"
}

fn predicted(learns: &Learns) -> String {
    match learns {
        Learns::Never(_) => "never".to_owned(),
        Learns::Within(prediction) => format!(
            "{} .. {}",
            seconds(prediction.within.min().as_secs_f64()),
            seconds(prediction.within.max().as_secs_f64())
        ),
        Learns::Unknown(_) => "unknown".to_owned(),
        Learns::NotApplicable(_) => "does not apply".to_owned(),
    }
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.3}")
}

/// What the application was told, by the name of the errno where it is one of those that end connections.
fn told(finding: &Finding) -> String {
    let Some(number) = finding.ended.and_then(|ended| ended.errno) else {
        return "nothing".to_owned();
    };
    errno::name(number)
}

#[cfg(test)]
mod tests {
    use halfopen_core::detection::{AppTold, NeverBecause};
    use rustix::io::Errno;

    use super::{
        super::{
            Case, TrialError, cases,
            outcome::tests::{ended, within},
        },
        *,
    };

    fn outcome(case: Case, predicted: Learns, ended: Option<super::super::Ended>) -> Outcome {
        Outcome { case, result: Ok(Finding { predicted, ended }) }
    }

    #[test]
    fn hits_misses_and_failures_are_told_apart() {
        let mut names = cases().into_iter();
        let mut next = || names.next().unwrap();
        let never = || Learns::Never(NeverBecause::KeepaliveOff);
        let timed_out = || within(4960, 5420, AppTold::TimedOut);
        let outcomes = [
            outcome(next(), never(), None),
            outcome(next(), timed_out(), ended(5012, Some(Errno::TIMEDOUT))),
            outcome(next(), timed_out(), ended(7012, Some(Errno::HOSTUNREACH))),
            outcome(next(), timed_out(), None),
            Outcome {
                case: next(),
                result: Err(TrialError::NotReached {
                    wanted: "it is established",
                    instead: "SYN-SENT".to_owned(),
                }),
            },
            outcome(next(), within(3500, 3820, AppTold::Nothing), ended(3600, None)),
            outcome(next(), Learns::Unknown("why".into()), None),
        ];
        let table = table(&outcomes);
        let is_reason = |line: &&str| line.starts_with("failed to");
        let mut lines = table.lines().filter(|line| !is_reason(line));
        assert!(lines.all(|line| line.chars().count() <= 100), "{table}");
        insta::assert_snapshot!(table);
    }
}
