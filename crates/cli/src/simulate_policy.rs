//! Owns the verb `simulate-policy`: what a reconnect policy does to a fleet after an outage. Connects
//! nothing; the simulation is `halfopen_core::reconnect::fleet`'s. Read: docs/library/reconnect.md.

mod document;
mod picture;
mod plan;

use std::{fs, io};

use halfopen_core::reconnect::fleet::simulate;

use self::{document::Document, plan::Plan};
use crate::{
    args::SimulatePolicy,
    exit::{Exit, Failure},
};

/// Reads the file, simulates, and shows the course.
pub(crate) fn run(arguments: &SimulatePolicy, out: &mut impl io::Write) -> Result<Exit, Failure> {
    let path = arguments.file.display();
    let text = fs::read_to_string(&arguments.file)
        .map_err(|cause| Failure::Usage(format!("cannot read {path}: {cause}")))?;
    let fleet = Plan::read(&text).map_err(|cause| Failure::Usage(format!("{path}:{cause}")))?;
    let course = simulate(&fleet, arguments.seed);
    if arguments.face.json {
        let document = Document::of(&fleet, &course, arguments.seed);
        serde_json::to_writer(&mut *out, &document).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        write!(out, "{}", picture::draw(&fleet, &course))?;
    }
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests;
