//! Owns `rehearse SCENARIO`: reads the scenario, does it, and shows its card.

use std::{
    fs,
    io::Write,
    sync::{Arc, atomic::AtomicBool},
};

use halfopen_lab::{
    card::{self, Card},
    rehearsal,
    scenario::{self, Scenario},
    timeline,
};
use serde::Serialize;

use super::{failed, options, privileged, progress, warp};
use crate::{
    args::{ClockKey, Rehearse},
    exit::{Exit, Failure},
    render::json,
};

/// Does one scenario.
///
/// # Errors
/// [`Failure`] where there is no such scenario, or it cannot be done.
pub(super) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let scenario = read(arguments)?;
    if arguments.dry_run {
        out.write_all(timeline::script(&scenario).as_bytes())?;
        return Ok(Exit::Fine);
    }
    if arguments.clock == ClockKey::Warp {
        return warp::run(arguments, &scenario, out);
    }
    privileged()?;
    progress(&format!(
        "{} may take {} at the most; Ctrl-C ends it and clears everything away",
        scenario.name,
        halfopen_core::Span(scenario.stop.limit)
    ));
    let interrupted = Arc::new(AtomicBool::new(false));
    let card = rehearsal::run(&scenario, &options(arguments, &interrupted)?).map_err(failed)?;
    if let Some(path) = &arguments.html {
        write_page(path, std::slice::from_ref(&card))?;
    }
    if arguments.face.json {
        json::write_document(out, &Document::of(std::slice::from_ref(&card)))?;
    } else {
        out.write_all(card::text(&card).as_bytes())?;
    }
    out.flush()?;
    Ok(if card.is_met() { Exit::Fine } else { Exit::Problem })
}

/// The scenario that is meant, with everything that the command line says of it.
pub(super) fn read(arguments: &Rehearse) -> Result<Scenario, Failure> {
    let what = arguments.what.as_str();
    let read = match scenario::builtin(what, &arguments.set) {
        Some(read) => read,
        None => {
            let text = fs::read_to_string(what).map_err(|cause| no_such(what, &cause))?;
            Scenario::read(what, &text, &arguments.set)
        }
    };
    let mut scenario = read.map_err(|error| Failure::Usage(error.to_string()))?;
    for (party, command) in
        [(&mut scenario.server, &arguments.server), (&mut scenario.client, &arguments.client)]
    {
        if command.is_some() {
            party.command.clone_from(command);
            // What tells that one program is ready tells nothing of another.
            party.ready = None;
        }
    }
    expect(&mut scenario, arguments)?;
    Ok(scenario)
}

/// What the command line says of readiness and expectations.
pub(super) fn expect(scenario: &mut Scenario, arguments: &Rehearse) -> Result<(), Failure> {
    if let Some(ready) = &arguments.server_ready {
        let ready = ready.parse().map_err(|what| {
            Failure::Usage(format!("--server-ready: {what}; write tcp:PORT or line:TEXT"))
        })?;
        scenario.server.ready = Some(ready);
    }
    if let Some(limit) = arguments.expect_detect_within {
        scenario.expect.client_within = Some(limit.0);
        scenario.expect.server_within = Some(limit.0);
        // Who is to learn in time has to be watched for so long.
        scenario.stop.limit = scenario.stop.limit.max(limit.0 + limit.0 / 4);
    }
    scenario.expect.no_loss |= arguments.expect_no_loss;
    Ok(())
}

fn no_such(what: &str, cause: &std::io::Error) -> Failure {
    Failure::Usage(if what.ends_with(".toml") || what.contains('/') {
        format!("cannot read the scenario {what}: {cause}; name a file that can be read")
    } else {
        format!(
            "there is no scenario `{what}`: `halfopen rehearse list` names those that are built in"
        )
    })
}

/// Writes cards as one HTML file.
///
/// # Errors
/// [`Failure::System`] where the file cannot be written.
pub(super) fn write_page(path: &std::path::Path, cards: &[Card]) -> Result<(), Failure> {
    fs::write(path, card::html(cards))
        .map_err(|cause| Failure::System(format!("cannot write {}: {cause}", path.display())))
}

/// The document of `rehearse --json`.
#[derive(Debug, Serialize)]
pub(super) struct Document<'a> {
    schema: &'static str,
    cards: &'a [Card],
    /// Of `rehearse all`, what could not be done.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_done: Vec<NotDone<'a>>,
}

/// A scenario of `rehearse all` that could not be done.
#[derive(Debug, Serialize)]
pub(super) struct NotDone<'a> {
    pub(super) scenario: &'a str,
    pub(super) why: String,
}

impl<'a> Document<'a> {
    pub(super) const fn of(cards: &'a [Card]) -> Self {
        Self::of_all(cards, Vec::new())
    }

    pub(super) const fn of_all(cards: &'a [Card], not_done: Vec<NotDone<'a>>) -> Self {
        Self { schema: "halfopen.rehearse/1", cards, not_done }
    }
}
