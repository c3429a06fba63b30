//! Owns `rehearse detection`: what is predicted for real connections beside what the kernel does to them.

use std::io::Write;

use halfopen_lab::trial::{self, Finding, Outcome};
use serde::Serialize;

use super::progress;
use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
    render::json,
};

/// Runs every trial and shows the table.
///
/// # Errors
/// [`Failure`] if the answer cannot be written. A trial that could not be held is part of the answer.
pub(super) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let outcomes = outcomes();
    if arguments.face.json {
        let document = Document {
            schema: "halfopen.rehearse/1",
            experiment: "detection",
            detection: outcomes.iter().map(Item::of).collect(),
        };
        json::write_document(out, &document)?;
    } else {
        out.write_all(trial::table(&outcomes).as_bytes())?;
    }
    out.flush()?;
    Ok(if outcomes.iter().all(Outcome::is_hit) { Exit::Fine } else { Exit::Problem })
}

/// Holds the trials that every kernel has to pass.
pub(super) fn outcomes() -> Vec<Outcome> {
    let cases = trial::cases();
    let longest = cases.iter().map(|case| case.watch.as_secs()).max().unwrap_or(0);
    progress(&format!(
        "{} real connections, each to be broken and watched for {longest} s at the most",
        cases.len()
    ));
    trial::run(&cases)
}

#[derive(Debug, Serialize)]
struct Document<'a> {
    schema: &'static str,
    experiment: &'static str,
    detection: Vec<Item<'a>>,
}

/// One trial.
#[derive(Debug, Serialize)]
pub(super) struct Item<'a> {
    name: String,
    view: &'static str,
    predicted: Option<json::Field<'a, json::LearnsItem<'a>>>,
    measured_ms: Option<u128>,
    errno: Option<i32>,
    watched_ms: u128,
    hit: bool,
    failed: Option<String>,
}

impl<'a> Item<'a> {
    pub(super) fn of(outcome: &'a Outcome) -> Self {
        let finding = outcome.result.as_ref().ok();
        let ended = finding.and_then(|finding: &Finding| finding.ended);
        Self {
            name: outcome.case.name.clone(),
            view: outcome.case.view.word(),
            predicted: finding.map(|finding| json::learns_field(&finding.predicted)),
            measured_ms: ended.map(|ended| ended.after.as_millis()),
            errno: ended.and_then(|ended| ended.errno),
            watched_ms: outcome.case.watch.as_millis(),
            hit: outcome.is_hit(),
            failed: outcome.result.as_ref().err().map(ToString::to_string),
        }
    }
}
