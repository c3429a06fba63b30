//! Owns the verb `relay-check`: which relay, which cases, and the score card.
//! What the cases do is in `halfopen-conformance`.

mod card;

use std::{
    io::{self, Write},
    net::ToSocketAddrs,
    time::Duration,
};

use halfopen_conformance::{Case, Limits, Mark, Outcome, Place, StageError, cases, soak, suite};
use halfopen_lab::{requirements, rootless};

use crate::{
    args::{CheckPlace, RelayCheck},
    exit::{Exit, Failure},
    render::json,
};

/// Plays the cases and shows what came of them.
///
/// # Errors
/// [`Failure`] where nothing could be played, or the answer cannot be written.
pub(crate) fn run(arguments: &RelayCheck, out: &mut impl Write) -> Result<Exit, Failure> {
    let chosen = chosen(&arguments.only)?;
    if arguments.list {
        if arguments.json {
            json::write_document(out, &card::List::of(&chosen))?;
        } else {
            card::list(out, &chosen)?;
        }
        return Ok(out.flush().map(|()| Exit::Fine)?);
    }
    let place = place(&arguments.place)?;
    if let (Some(span), Place::Lab { command }) = (arguments.soak, &place) {
        return soak(arguments, span.0, command, out);
    }
    let limits = Limits {
        slow: arguments.slow.0,
        notice: arguments.notice_within.0,
        crowd: arguments.crowd,
        ..Limits::default()
    };
    let mut left = chosen.len();
    let outcomes = suite::play(&chosen, &place, limits, |case, outcome| {
        left -= 1;
        progress(case, outcome, left);
    })
    .map_err(|error| failure(&error))?;
    if arguments.json {
        json::write_document(out, &card::Document::of(&place, limits, &outcomes))?;
    } else {
        card::write(out, &outcomes)?;
    }
    out.flush()?;
    let failed = outcomes.iter().any(|(_, outcome)| outcome.mark == Mark::Failed);
    Ok(if failed { Exit::Problem } else { Exit::Fine })
}

/// Soaks the relay and shows what came of it.
fn soak(
    arguments: &RelayCheck,
    span: Duration,
    command: &str,
    out: &mut impl Write,
) -> Result<Exit, Failure> {
    let RelayCheck { seed, workers, notice_within, .. } = *arguments;
    let plan = soak::Plan { span, seed, workers, notice: notice_within.0 };
    let report = soak::run(command, plan).map_err(|error| failure(&error))?;
    write!(out, "seed {seed}\n{report}")?;
    out.flush()?;
    Ok(if report.is_good() { Exit::Fine } else { Exit::Problem })
}

/// The cases whose names contain one of these texts.
fn chosen(only: &[String]) -> Result<Vec<Case>, Failure> {
    let mut chosen = cases::all();
    if let Some(unknown) =
        only.iter().find(|text| !chosen.iter().any(|case| case.name.contains(*text)))
    {
        let sentence = format!("no case is called `{unknown}`: `relay-check --list` has them all");
        return Err(Failure::Usage(sentence));
    }
    chosen.retain(|case| only.is_empty() || only.iter().any(|text| case.name.contains(text)));
    Ok(chosen)
}

/// Where the cases are to be played; in a lab, once this process may build one.
fn place(arguments: &CheckPlace) -> Result<Place, Failure> {
    let CheckPlace { through, upstream_port, pid, lab, relay, direct } = arguments;
    let place = match (through, relay) {
        (Some(through), _) => {
            let unclear = |why: &dyn std::fmt::Display| {
                Failure::Usage(format!("cannot find the relay `{through}`: {why}; write HOST:PORT"))
            };
            let mut found = through.to_socket_addrs().map_err(|error| unclear(&error))?;
            let relay = found.next().ok_or_else(|| unclear(&"the name has no address"))?;
            Place::Running { relay, upstream_port: *upstream_port, pid: *pid }
        }
        (None, Some(command)) => Place::Lab { command: command.clone() },
        (None, None) if *direct => Place::Direct { in_lab: *lab },
        (None, None) => {
            return Err(Failure::Usage(
                "which relay? write --through HOST:PORT, or --lab --relay CMD, or --direct"
                    .to_owned(),
            ));
        }
    };
    if *lab {
        may_build_a_lab()?;
    }
    Ok(place)
}

fn may_build_a_lab() -> Result<(), Failure> {
    let missing = match requirements::check() {
        Ok(()) => return Ok(()),
        Err(requirements::Missing::Privilege { .. }) => {
            // Comes back only with a reason why not.
            let Err(missing) = rootless::enter();
            missing
        }
        Err(missing) => missing,
    };
    let sentence = format!("cannot build the lab: {missing}");
    Err(match missing {
        requirements::Missing::Program { .. } => Failure::System(sentence),
        _ => Failure::Privilege(sentence),
    })
}

/// Says on standard error what is done, so that nobody believes it hangs.
fn progress(case: &Case, outcome: &Outcome, left: usize) {
    // Nowhere is left to say that standard error cannot be written.
    let _ =
        writeln!(io::stderr(), "halfopen: {}: {}, {left} to go", case.name, outcome.mark.word());
}

fn failure(error: &StageError) -> Failure {
    Failure::System(format!("cannot check the relay: {error}"))
}
