//! Owns `rehearse all`: the whole catalogue, and its table.

use std::{
    io::{self, IsTerminal as _, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use halfopen_lab::{
    card::{Card, Judgement},
    matrix::{self, Entry, Outcome},
    rehearsal::RehearsalError,
    timeline,
};

use super::{exit, failed, options, privileged, progress, scenario};
use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
    render::json,
};

/// Does the whole matrix: with given programs every fault once, else in every state of the pair.
///
/// # Errors
/// [`Failure`] where it cannot be set up, or was interrupted: what was done by then is written all the
/// same. A scenario that cannot be done is part of the answer.
pub(super) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let entries = entries(arguments)?;
    if arguments.dry_run {
        for one in &entries {
            writeln!(out, "{}", timeline::script(&one.scenario))?;
        }
        return Ok(Exit::Fine);
    }
    privileged()?;
    progress(&format!("{} scenarios with timers of seconds; some minutes", entries.len()));
    let interrupted = Arc::new(AtomicBool::new(false));
    let done = AtomicUsize::new(0);
    let mut outcomes =
        matrix::run(&entries, &options(arguments, &interrupted)?, &|outcome: &Outcome| {
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            tell(done, entries.len(), &outcome.entry.scenario.name);
        });
    clear();
    if outcomes.iter().all(|outcome| matches!(outcome.result, Err(RehearsalError::Unseen { .. })))
        && let Some(Err(error)) = outcomes.pop().map(|outcome| outcome.result)
    {
        return Err(failed(error));
    }
    let all = outcomes.len();
    outcomes.retain(|outcome| !matches!(outcome.result, Err(RehearsalError::Interrupted)));
    let was_interrupted = outcomes.len() < all;
    write(arguments, &outcomes, out)?;
    if was_interrupted {
        return Err(failed(RehearsalError::Interrupted));
    }
    let worst = outcomes.iter().map(Outcome::judgement).max();
    Ok(exit(worst.unwrap_or(Judgement::Good)))
}

fn write(arguments: &Rehearse, outcomes: &[Outcome], out: &mut impl Write) -> Result<(), Failure> {
    let cards: Vec<Card> =
        outcomes.iter().filter_map(|outcome| outcome.result.as_ref().ok().cloned()).collect();
    if arguments.face.json {
        let not_done = outcomes.iter().filter_map(|outcome| {
            let why = outcome.result.as_ref().err()?.to_string();
            Some(scenario::NotDone { scenario: &outcome.entry.scenario.name, why })
        });
        json::write_document(out, &scenario::Document::of_all(&cards, not_done.collect()))?;
    } else {
        out.write_all(matrix::table(outcomes).as_bytes())?;
        if arguments.server.is_some() {
            out.write_all(SHORTENED.as_bytes())?;
        }
    }
    out.flush()?;
    // After what was measured: that must not be lost with a file that cannot be written.
    if let Some(path) = &arguments.html {
        scenario::write_page(path, &cards)?;
    }
    Ok(())
}

/// What is not as it would be outside, said where programs of others may be judged by it.
const SHORTENED: &str = "Both hosts have tcp_retries2 = 3, tcp_syn_retries = 2, tcp_synack_retries = 1 and \
     tcp_orphan_retries = 2;\nwith the kernel's defaults, what is written is given up after 15 minutes. \
     Keepalive is the programs' own.\n";

/// How far it has come, where somebody watches: a log needs no line every second.
fn tell(done: usize, all: usize, name: &str) {
    if io::stderr().is_terminal() {
        eprint!("\rhalfopen: {done} of {all} done, the last was {name}\x1b[K");
    }
}

fn clear() {
    if io::stderr().is_terminal() {
        eprint!("\r\x1b[K");
    }
}

fn entries(arguments: &Rehearse) -> Result<Vec<Entry>, Failure> {
    let set = &arguments.settings();
    let mut entries = match (&arguments.server, &arguments.client) {
        (None, None) => matrix::of_pair(set),
        (Some(server), Some(client)) => matrix::of_programs(server, client, set),
        _ => {
            let why = "`rehearse all` needs both --server and --client, or neither";
            return Err(Failure::Usage(why.to_owned()));
        }
    }
    .map_err(|error| Failure::Usage(error.to_string()))?;
    for Entry { scenario, .. } in &mut entries {
        scenario::expect(scenario, arguments)?;
    }
    Ok(entries)
}
