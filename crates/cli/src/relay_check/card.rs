//! Owns the score card of a relay, as text and as the schema `halfopen.relay-check/1`. Judges nothing.

use std::io::{self, Write};

use halfopen_conformance::{Case, Family, Limits, Mark, Outcome, Place};
use serde::Serialize;

/// The cases in words: what is done, what is due, and where that is written.
pub(super) fn list(out: &mut impl Write, cases: &[Case]) -> io::Result<()> {
    for case in cases {
        writeln!(out, "{} ({})", case.name, case.family.word())?;
        writeln!(out, "  done    {}", case.done)?;
        writeln!(out, "  due     {}", case.due)?;
        writeln!(out, "  source  {}", case.source)?;
    }
    writeln!(out, "{} cases", cases.len())
}

/// The score card: every case with what was seen, by family, and the sum.
pub(super) fn write(out: &mut impl Write, outcomes: &[(Case, Outcome)]) -> io::Result<()> {
    let width = outcomes.iter().map(|(case, _)| case.name.len()).max().unwrap_or(0);
    for family in Family::ALL {
        let mut of_family = outcomes.iter().filter(|(case, _)| case.family == family).peekable();
        if of_family.peek().is_some() {
            writeln!(out, "{}", family.word())?;
        }
        for (case, outcome) in of_family {
            let Outcome { mark, brief, said } = outcome;
            let seen = match mark {
                Mark::Failed => format!("{brief}: {said}"),
                Mark::Passed | Mark::NotRun => said.clone(),
            };
            writeln!(out, "  {:<4}  {:<width$}  {seen}", short(*mark), case.name)?;
        }
    }
    let [passed, failed, not_run] = sums(outcomes);
    writeln!(out, "{passed} passed, {failed} failed, {not_run} not run")
}

/// Not run is never to be taken for passed, so it has no word that looks like one.
const fn short(mark: Mark) -> &'static str {
    match mark {
        Mark::Passed => "pass",
        Mark::Failed => "FAIL",
        Mark::NotRun => "-",
    }
}

fn sums(outcomes: &[(Case, Outcome)]) -> [usize; 3] {
    [Mark::Passed, Mark::Failed, Mark::NotRun]
        .map(|mark| outcomes.iter().filter(|(_, outcome)| outcome.mark == mark).count())
}

const SCHEMA: &str = "halfopen.relay-check/1";

/// What `relay-check --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    relay: String,
    slow_ms: u128,
    notice_within_ms: u128,
    crowd: usize,
    passed: usize,
    failed: usize,
    not_run: usize,
    cases: Vec<Played<'a>>,
}

#[derive(Debug, Serialize)]
struct Played<'a> {
    name: &'static str,
    family: &'static str,
    mark: &'static str,
    brief: &'a str,
    said: &'a str,
}

impl<'a> Document<'a> {
    pub(super) fn of(place: &Place, limits: Limits, outcomes: &'a [(Case, Outcome)]) -> Self {
        let [passed, failed, not_run] = sums(outcomes);
        let played = |(case, outcome): &'a (Case, Outcome)| Played {
            name: case.name,
            family: case.family.word(),
            mark: outcome.mark.word(),
            brief: &outcome.brief,
            said: &outcome.said,
        };
        Self {
            schema: SCHEMA,
            relay: match place {
                Place::Running { relay, .. } => relay.to_string(),
                Place::Lab { command } => command.clone(),
                Place::Direct { .. } => "none".to_owned(),
            },
            slow_ms: limits.slow.as_millis(),
            notice_within_ms: limits.notice.as_millis(),
            crowd: limits.crowd,
            passed,
            failed,
            not_run,
            cases: outcomes.iter().map(played).collect(),
        }
    }
}

/// What `relay-check --list --json` prints.
#[derive(Debug, Serialize)]
pub(super) struct List {
    schema: &'static str,
    cases: Vec<Told>,
}

#[derive(Debug, Serialize)]
struct Told {
    name: &'static str,
    family: &'static str,
    done: &'static str,
    due: &'static str,
    source: &'static str,
}

impl List {
    pub(super) fn of(cases: &[Case]) -> Self {
        let told = |case: &Case| Told {
            name: case.name,
            family: case.family.word(),
            done: case.done,
            due: case.due,
            source: case.source,
        };
        Self { schema: SCHEMA, cases: cases.iter().map(told).collect() }
    }
}

#[cfg(test)]
mod tests {
    use halfopen_conformance::cases;

    use super::*;

    #[test]
    fn a_card_tells_what_failed_how_and_never_takes_not_run_for_passed() {
        let outcome = |mark, brief: &str, said: &str| Outcome {
            mark,
            brief: brief.to_owned(),
            said: said.to_owned(),
        };
        let [passed, failed, not_run] =
            ["half-close-client", "reset-idle-server", "vanish-idle-client"]
                .map(|name| cases::all().into_iter().find(|case| case.name == name).unwrap());
        let outcomes = [
            (passed, outcome(Mark::Passed, "ok", "FIN passed on at once")),
            (failed, outcome(Mark::Failed, "fin@0.0", "told by a clean FIN")),
            (not_run, outcome(Mark::NotRun, "not run", "needs the lab")),
        ];
        let mut text = Vec::new();
        write(&mut text, &outcomes).unwrap();
        insta::assert_snapshot!(String::from_utf8(text).unwrap(), @r"
        half-close
          pass  half-close-client   FIN passed on at once
        reset
          FAIL  reset-idle-server   fin@0.0: told by a clean FIN
        vanish
          -     vanish-idle-client  needs the lab
        1 passed, 1 failed, 1 not run
        ");
    }
}
