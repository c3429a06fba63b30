//! Owns `rehearse all`: the whole catalogue, and its table.

use std::{
    io::Write,
    sync::{Arc, atomic::AtomicBool},
};

use halfopen_lab::{
    card::Card,
    matrix::{self, Outcome},
    rehearsal::RehearsalError,
    scenario::Scenario,
};

use super::{failed, options, privileged, progress, scenario};
use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
    render::json,
};

/// Does the whole matrix: with given programs every fault once, else in every state of the pair.
///
/// # Errors
/// [`Failure`] where it cannot be set up. A scenario that cannot be done is part of the answer.
pub(super) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let scenarios = scenarios(arguments)?;
    if arguments.dry_run {
        for one in &scenarios {
            writeln!(out, "{}", halfopen_lab::timeline::script(one))?;
        }
        return Ok(Exit::Fine);
    }
    privileged()?;
    progress(&format!("{} scenarios with timers of seconds; a minute or two", scenarios.len()));
    let interrupted = Arc::new(AtomicBool::new(false));
    let mut options = options(arguments, &interrupted)?;
    // One file for forty cables would hold nothing of use.
    options.capture = None;
    let outcomes = matrix::run(&scenarios, &options, &|_| {});
    if let Some(error) = interruption(&outcomes) {
        return Err(error);
    }
    let cards: Vec<Card> =
        outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok().cloned()).collect();
    if let Some(path) = &arguments.html {
        scenario::write_page(path, &cards)?;
    }
    if arguments.face.json {
        json::write_document(out, &scenario::Document::of(&cards))?;
    } else {
        out.write_all(matrix::table(&outcomes).as_bytes())?;
    }
    out.flush()?;
    Ok(if outcomes.iter().all(Outcome::is_good) { Exit::Fine } else { Exit::Problem })
}

fn interruption(outcomes: &[Outcome]) -> Option<Failure> {
    let was = |outcome: &Outcome| matches!(outcome.result, Err(RehearsalError::Interrupted));
    outcomes.iter().any(was).then(|| failed(RehearsalError::Interrupted))
}

fn scenarios(arguments: &Rehearse) -> Result<Vec<Scenario>, Failure> {
    let mut all = matrix::scenarios();
    match (&arguments.server, &arguments.client) {
        (None, None) => {}
        (Some(_), Some(_)) => {
            // What programs do is theirs to say, so one state is as good as another.
            let mut last = None;
            all.retain(|one| {
                let fault = one.steps.first().map(|step| step.fault.name());
                std::mem::replace(&mut last, fault) != fault
            });
        }
        _ => {
            return Err(Failure::Usage(
                "`rehearse all` needs both --server and --client, or neither".to_owned(),
            ));
        }
    }
    for one in &mut all {
        one.server.command.clone_from(&arguments.server);
        one.client.command.clone_from(&arguments.client);
        if let Some(limit) = arguments.expect_detect_within {
            one.expect.client_within = Some(limit.0);
            one.expect.server_within = Some(limit.0);
        }
    }
    Ok(all)
}
