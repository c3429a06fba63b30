//! Owns the verb `rehearse`: runs an experiment of `halfopen-lab` and shows what came of it.

mod book;
mod detection;

use std::io::Write;

use halfopen_lab::{book::BookError, requirements, rootless};

use crate::{
    args::{Experiment, Rehearse},
    exit::{Exit, Failure},
};

/// Runs one experiment.
///
/// # Errors
/// [`Failure`] where the experiment cannot be set up or its answer cannot be written.
pub(crate) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    match requirements::check() {
        Ok(()) => {}
        Err(requirements::Missing::Privilege { .. }) => {
            // Comes back only with a reason why not.
            let Err(missing) = rootless::enter();
            return Err(lacks(&BookError::Missing(missing)));
        }
        Err(missing) => return Err(lacks(&BookError::Missing(missing))),
    }
    match arguments.experiment {
        Experiment::Book => book::run(arguments, out),
        Experiment::Detection => detection::run(arguments, out),
    }
}

/// Says on standard error what takes its time, so that nobody believes it hangs.
fn progress(what: &str) {
    eprintln!("halfopen: {what}");
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
