//! Owns `rehearse SCENARIO`: reads the scenario, does it, and shows its card.

use std::{
    fs,
    io::Write,
    path::Path,
    slice,
    sync::{Arc, atomic::AtomicBool},
};

use halfopen_lab::{
    card::{self, Card},
    clock::{Choice, Clock},
    rehearsal::{self, Chooses, RehearsalError},
    scenario::{self, Scenario},
    timeline,
};
use serde::Serialize;

use super::{
    clock::{self, Plan},
    exit, failed, options, privileged, progress, warp,
};
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
    let mut scenario = read(arguments)?;
    let mut no_machine = clock::no_machine();
    let mut plan = clock::plan(arguments.clock, &scenario, no_machine.as_deref());
    if arguments.dry_run {
        out.write_all(timeline::script(&scenario).as_bytes())?;
        writeln!(out, "{:>22}  {}", "", plan.in_words(no_machine.as_deref()))?;
        return Ok(Exit::Fine);
    }
    loop {
        if plan.clock() == Clock::Warp {
            match warp::Warp::ready() {
                Ok(ready) => return ready.run(arguments, &scenario, &plan, out),
                // What was asked for is not replaced by something else.
                Err(why) if arguments.clock == ClockKey::Warp => return Err(why),
                Err(why) => no_machine = Some(why.to_string()),
            }
            plan = clock::plan(arguments.clock, &scenario, no_machine.as_deref());
            continue;
        }
        match here(arguments, &scenario, &plan, no_machine.as_deref()) {
            Ok(card) => return show(arguments, &card, out),
            Err(Undone::OtherClock(choice)) => {
                let clock = choice.clock.word();
                progress(&format!("{}: once more, by --clock {clock}", choice.why));
                scenario.stop.limit = choice.limit.unwrap_or(scenario.stop.limit);
                plan = Plan::Chosen(choice);
            }
            Err(Undone::Failed(failure)) => return Err(failure),
        }
    }
}

/// Why there is no card.
enum Undone {
    /// It is to be done by this clock.
    OtherClock(Choice),
    Failed(Failure),
}

/// Does one scenario in a lab on this host.
fn here(
    arguments: &Rehearse,
    scenario: &Scenario,
    plan: &Plan,
    no_machine: Option<&str>,
) -> Result<Card, Undone> {
    privileged().map_err(Undone::Failed)?;
    progress(&format!(
        "{} may take {} at the most; Ctrl-C ends it and clears everything away",
        scenario.name,
        halfopen_core::Span(scenario.stop.limit)
    ));
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut options = options(arguments, &interrupted).map_err(Undone::Failed)?;
    options.clock = plan.clock();
    // That nothing takes long is no news; that the machine for it is missing is.
    let is_news = |why: &String| {
        plan.clock() != Clock::Real || no_machine.is_some_and(|missing| why.contains(missing))
    };
    options.clock_because = plan.why().filter(is_news);
    if let Some(why) = &arguments.in_machine {
        options.clock = Clock::Warp;
        options.clock_because = Some(why.clone());
    }
    options.choice = (*plan == Plan::Open).then_some(Chooses { no_machine });
    rehearsal::run(scenario, &options).map_err(|error| match error {
        RehearsalError::OtherClock { choice } => Undone::OtherClock(choice),
        error => Undone::Failed(failed(error)),
    })
}

/// Shows a card, and writes the files that were asked for.
fn show(arguments: &Rehearse, card: &Card, out: &mut impl Write) -> Result<Exit, Failure> {
    if arguments.face.json {
        json::write_document(out, &Document::of(slice::from_ref(card)))?;
    } else {
        out.write_all(card::text(card).as_bytes())?;
    }
    out.flush()?;
    // After what was measured: that must not be lost with a file that cannot be written.
    if let Some(path) = &arguments.html {
        write_page(path, slice::from_ref(card))?;
    }
    if let Some(path) = &arguments.svg {
        let nothing =
            || Failure::System("cannot draw a picture: nothing passed the cable".to_owned());
        write_file(path, card.picture.as_ref().ok_or_else(nothing)?)?;
    }
    Ok(exit(card.as_expected()))
}

/// The scenario that is meant, with everything that the command line says of it.
pub(super) fn read(arguments: &Rehearse) -> Result<Scenario, Failure> {
    let what = arguments.what.as_str();
    let set = arguments.settings();
    let read = match scenario::builtin(what, &set) {
        Some(read) => read,
        None => {
            let text = fs::read_to_string(what).map_err(|cause| no_such(what, &cause))?;
            Scenario::read(what, &text, &set)
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
        // Longer than that tells nothing more of it.
        scenario.stop.is_given = true;
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
pub(super) fn write_page(path: &Path, cards: &[Card]) -> Result<(), Failure> {
    write_file(path, &card::html(cards))
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    fs::write(path, text)
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
