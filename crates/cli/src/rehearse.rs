//! Owns the verb `rehearse`: runs an experiment of `halfopen-lab` and shows what came of it.

use std::io::Write;

use crate::{
    args::Rehearse,
    exit::{Exit, Failure},
};

/// Runs one experiment.
///
/// # Errors
/// [`Failure`] where the experiment cannot be set up or its answer cannot be written.
pub(crate) fn run(arguments: &Rehearse, out: &mut impl Write) -> Result<Exit, Failure> {
    let _ = out;
    Err(Failure::System(format!("experiment {:?} is not part of this build", arguments.experiment)))
}
