//! Owns the verb `rehearse`: breaks connections in a lab of its own, and shows what came of it.

mod all;
mod book;
mod catalogue;
mod clock;
mod detection;
mod doctor;
mod flags;
mod scenario;
mod warp;

use std::{
    io::{self, Write},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use halfopen_lab::{
    book::BookError,
    card::Judgement,
    clock::Clock,
    pair::{self, Role},
    rehearsal::{Options, RehearsalError},
    requirements, rootless,
};

use crate::{
    args::{ClockKey, Rehearse},
    exit::{Exit, Failure},
    signals,
};

/// Does what is asked for.
///
/// # Errors
/// [`Failure`] where it cannot be set up or its answer cannot be written.
pub(crate) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    flags::check(arguments)?;
    match arguments.what.as_str() {
        "list" => catalogue::list(out),
        "explain" => catalogue::explain(arguments, out),
        "doctor" => doctor::run(out),
        "book" => privileged().and_then(|()| book::run(arguments, out)),
        "detection" => privileged().and_then(|()| detection::run(arguments, out)),
        "all" => all::run(arguments, out),
        _ => scenario::run(arguments, out),
    }
}

/// Is one of the built-in pair, until it ends.
///
/// # Errors
/// [`Failure::Usage`] for words that the lab did not write, else what the system refused.
pub(crate) fn pair(words: &[String]) -> Result<Exit, Failure> {
    let role = Role::from_words(words).ok_or_else(|| {
        Failure::Usage("rehearse-pair is for the lab alone; use `halfopen rehearse`".to_owned())
    })?;
    match pair::run(&role, &mut io::stdout()) {
        Ok(0) => Ok(Exit::Fine),
        Ok(_) => Ok(Exit::Problem),
        Err(cause) => Err(Failure::System(format!("cannot be one of the pair: {cause}"))),
    }
}

/// Sees to it that a lab can be built, if need be by starting this program again.
fn privileged() -> Result<(), Failure> {
    match requirements::check() {
        Ok(()) => Ok(()),
        Err(requirements::Missing::Privilege { .. }) => {
            // Comes back only with a reason why not.
            let Err(missing) = rootless::enter();
            Err(lacks(&BookError::Missing(missing)))
        }
        Err(missing) => Err(lacks(&BookError::Missing(missing))),
    }
}

/// How rehearsals are done: with this program as the built-in pair, and an ear for interruptions.
fn options<'a>(
    arguments: &Rehearse,
    interrupted: &'a Arc<AtomicBool>,
) -> Result<Options<'a>, Failure> {
    let refused = |why: io::Error| Failure::System(format!("cannot rehearse: {why}"));
    let program = std::env::current_exe().map_err(refused)?;
    let signals = signals::listen(false)?;
    let flag = Arc::clone(interrupted);
    let listen = move || {
        if signals.recv().is_ok() {
            flag.store(true, Ordering::Relaxed);
        }
    };
    thread::Builder::new().name("interruption".to_owned()).spawn(listen).map_err(refused)?;
    Ok(Options {
        pair: vec![program.to_string_lossy().into_owned(), "rehearse-pair".to_owned()],
        capture: arguments.capture.clone(),
        clock: match arguments.clock {
            ClockKey::Auto | ClockKey::Real | ClockKey::Warp => Clock::Real,
            ClockKey::Rescale => Clock::Rescale,
        },
        choice: None,
        clock_because: None,
        seed: arguments.seed.unwrap_or(0),
        interrupted,
    })
}

/// What a script is told: nothing that could not be judged is a success.
const fn exit(judgement: Judgement) -> Exit {
    match judgement {
        Judgement::Good => Exit::Fine,
        Judgement::TooLate => Exit::TryAgain,
        Judgement::Bad => Exit::Problem,
    }
}

/// Says on standard error what takes its time, so that nobody believes it hangs.
fn progress(what: &str) {
    eprintln!("halfopen: {what}");
}

fn failed(error: RehearsalError) -> Failure {
    match error {
        RehearsalError::Missing(missing) => lacks(&BookError::Missing(missing)),
        error => Failure::System(format!("cannot rehearse: failed to {error}")),
    }
}

/// Missing privilege is for the user to lend, everything else is the system's.
fn lacks(error: &BookError) -> Failure {
    let sentence = format!("cannot rehearse: {error}");
    match error {
        BookError::Missing(
            requirements::Missing::Privilege { .. }
            | requirements::Missing::UserNamespaces { .. }
            | requirements::Missing::SubordinateNumbers { .. },
        ) => Failure::Privilege(sentence),
        _ => Failure::System(sentence),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_told_of_a_success_only_where_everything_could_be_judged() {
        let codes = [Judgement::Good, Judgement::TooLate, Judgement::Bad].map(exit);
        assert_eq!(codes, [Exit::Fine, Exit::TryAgain, Exit::Problem]);
    }
}
