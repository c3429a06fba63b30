//! Owns `rehearse book`: the book's experiment with halfopen looking inside at every step. What it
//! shows of the client host is what `halfopen ls` and `halfopen why` would say there.

use std::{io::Write, time::Duration};

use halfopen_core::{Diagnosis, Proof, Span, Thresholds, VerdictKind};
use halfopen_lab::{
    Lab,
    book::{self, BookError, Options, Stage, Step},
    wait,
};
use halfopen_sys::{Counters, Netns, Scope};
use serde::Serialize;

use super::{detection, lacks, progress};
use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
    render::{json, learns, wrapped},
    terminal::Terminal,
};

/// A second: the experiment's hosts are idle for longer than that, and nobody has to wait a minute
/// to see a connection go from alive to quiet.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// Far longer than a connection takes to become quiet.
const PATIENCE: Duration = Duration::from_secs(10);

/// Conducts the experiment and tells it.
///
/// # Errors
/// [`Failure`] where it cannot be conducted, or the answer cannot be written.
pub(super) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    progress("two hosts, a cable, telnet and rpcbind: the book's experiment takes a few seconds");
    let mut looks = Vec::new();
    let options = Options { capture: arguments.capture.clone() };
    let report = book::run(&options, &mut |step, lab| looks.push(look(step, lab)))
        .map_err(|error| lacks(&error))?;
    let looks = looks.into_iter().collect::<Result<Vec<_>, _>>()?;
    let story = Story::of(&looks, &report)?;
    let outcomes = if arguments.only_story { Vec::new() } else { detection::outcomes() };
    if arguments.face.json {
        json::write_document(out, &story.document(&looks, &report, &outcomes))?;
    } else {
        story.write(out, &looks, &report)?;
        if !outcomes.is_empty() {
            writeln!(out, "\nPredicted and measured, on this kernel, with the cable cut:\n")?;
            out.write_all(halfopen_lab::trial::table(&outcomes).as_bytes())?;
        }
    }
    out.flush()?;
    let as_predicted = outcomes.iter().all(|outcome| outcome.is_hit());
    Ok(if story.is_the_books() && as_predicted { Exit::Fine } else { Exit::Problem })
}

/// What was seen of the client host at one step.
struct Seen {
    step: Step,
    /// The client's connection; `None`: there is none any more.
    connection: Option<Diagnosis>,
    counters: Counters,
}

/// Looks at the client host as `halfopen ls` does. Before the cable is back it waits until the
/// connection has become quiet, which is what this experiment is about.
fn look(step: &Step, lab: &Lab) -> Result<Seen, Failure> {
    let refused = |why: String| Failure::System(format!("cannot look at the client host: {why}"));
    let client = lab.client().map_err(|error| refused(error.to_string()))?;
    let pid = client.pid().map_err(|error| refused(error.to_string()))?;
    let mut connection = connection_of(pid).map_err(refused)?;
    if step.stage == Stage::CableBack {
        let quiet = wait::until(PATIENCE, || match connection_of(pid) {
            Ok(Some(one)) if one.verdict.kind() == VerdictKind::Alive => None,
            settled => Some(settled),
        });
        connection = quiet.transpose().map_err(refused)?.unwrap_or(connection);
    }
    let counters = Netns::of_process(pid)
        .and_then(|netns| netns.enter(halfopen_sys::counters))
        .map_err(|error| refused(error.to_string()))?
        .map_err(|error| refused(error.to_string()))?;
    Ok(Seen { step: step.clone(), connection, counters })
}

fn connection_of(pid: u32) -> Result<Option<Diagnosis>, String> {
    let thresholds = Thresholds { alive_within: ALIVE_WITHIN, ..Thresholds::default() };
    let survey =
        halfopen_sys::survey(&Scope::Named(pid.to_string())).map_err(|error| error.to_string())?;
    let mut connections = survey.observations.into_iter();
    Ok(connections.next().map(|seen| Diagnosis::of(seen, &thresholds)))
}

/// What follows from the steps.
struct Story {
    /// The last look at the connection, judged with the reset that then came.
    end: Diagnosis,
    /// By how much the client host's count of reset connections rose.
    resets: Option<u64>,
}

impl Story {
    fn of(looks: &[Seen], report: &book::Report) -> Result<Self, Failure> {
        let unseen = || {
            let instead = "no connection was seen on the client host".to_owned();
            lacks(&BookError::Unseen { what: "the client's connection", instead })
        };
        let last =
            looks.iter().rev().find_map(|seen| seen.connection.clone()).ok_or_else(unseen)?;
        let mut observation = last.observation;
        observation.proof = Some(Proof::Reset { ago: report.reset_after });
        let thresholds = Thresholds { alive_within: ALIVE_WITHIN, ..Thresholds::default() };
        let count = |seen: Option<&Seen>| seen.and_then(|seen| seen.counters.established_resets);
        let resets = count(looks.last())
            .zip(count(looks.first()))
            .map(|(after, before)| after.saturating_sub(before));
        Ok(Self { end: Diagnosis::of(observation, &thresholds), resets })
    }

    /// Alive, then quiet, then gone by a reset that the kernel has counted.
    fn is_the_books(&self) -> bool {
        self.end.verdict.kind() == VerdictKind::HalfOpen && self.resets == Some(1)
    }

    fn write(
        &self,
        out: &mut impl Write,
        looks: &[Seen],
        report: &book::Report,
    ) -> Result<(), Failure> {
        let width = Terminal::of_stdout().width;
        writeln!(out, "TCP/IP Illustrated, volume 1, 13.6.3, with the kernel of this host\n")?;
        for seen in looks {
            let at = format!("{:>7.3} s  ", seen.step.at.as_secs_f64());
            write!(out, "{}", wrapped(&at, &seen.step.what, width))?;
            write!(out, "{}", wrapped("           ls: ", &self.row(seen), width))?;
        }
        writeln!(out, "\nThe cable's own record:\n\n{}", report.ladder)?;
        let said = report.telnet_said.as_deref().unwrap_or("nothing");
        let end = format!(
            "The RST came {} us after the line, and telnet said \"{said}\". The verdict is now {}: \
             {}. Until that line nothing on the client host could have told: without it the \
             connection would have looked well for ever.",
            report.reset_after.as_micros(),
            self.end.verdict.kind(),
            self.end.verdict.headline(),
        );
        write!(out, "{}", wrapped("", &end, width))?;
        if let Some(path) = &report.capture {
            writeln!(out, "Every frame is in {}.", path.display())?;
        }
        Ok(())
    }

    /// What `ls` and the first line of `why` say at one step.
    fn row(&self, seen: &Seen) -> String {
        let Some(one) = &seen.connection else {
            let counted = self.resets.map_or_else(
                || "and this kernel does not count resets".to_owned(),
                |resets| format!("EstabResets rose by {resets}"),
            );
            return format!("gone by reset ({counted})");
        };
        let heard = one
            .observation
            .sample
            .last_heard()
            .map_or_else(|| "never heard".to_owned(), |ago| format!("heard {} ago", Span(ago)));
        let learns = learns(&one.learns);
        let (kind, why) = (one.verdict.kind(), one.verdict.headline());
        format!("{kind}, {heard}, learns {learns}; why: {why}")
    }

    fn document<'a>(
        &'a self,
        looks: &'a [Seen],
        report: &book::Report,
        outcomes: &'a [halfopen_lab::trial::Outcome],
    ) -> Document<'a> {
        Document {
            schema: "halfopen.rehearse/1",
            experiment: "book",
            steps: looks.iter().map(StepItem::of).collect(),
            ladder: report.ladder.clone(),
            silenced: report.silenced,
            reset_after_us: report.reset_after.as_micros(),
            telnet_exit: report.telnet_exit,
            telnet_said: report.telnet_said.clone(),
            established_resets: self.resets,
            end: json::Connection::of(&self.end),
            detection: outcomes.iter().map(detection::Item::of).collect(),
        }
    }
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    experiment: &'static str,
    steps: Vec<StepItem<'a>>,
    ladder: String,
    silenced: usize,
    reset_after_us: u128,
    telnet_exit: Option<i32>,
    telnet_said: Option<String>,
    established_resets: Option<u64>,
    end: json::Connection<'a>,
    detection: Vec<detection::Item<'a>>,
}

#[derive(Debug, Serialize)]
struct StepItem<'a> {
    step: &'static str,
    at_ms: u128,
    what: String,
    connection: Option<json::Connection<'a>>,
    established_resets: Option<u64>,
}

impl<'a> StepItem<'a> {
    fn of(seen: &'a Seen) -> Self {
        Self {
            step: seen.step.stage.word(),
            at_ms: seen.step.at.as_millis(),
            what: seen.step.what.clone(),
            connection: seen.connection.as_ref().map(json::Connection::of),
            established_resets: seen.counters.established_resets,
        }
    }
}
