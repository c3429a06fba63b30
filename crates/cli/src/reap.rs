//! Owns the verb `reap`: ends connections that are proved dead, and says what it spares and why.
//! Without `--apply` it only shows. Who may be ended is decided in `halfopen_core::reaping`.

mod act;
mod trial;

use std::{io::Write, path::PathBuf};

use halfopen_core::{
    Diagnosis, Listener, VerdictKind,
    proving::{Method, Patience},
    reaping::{ApplicationSees, Because, Licence, Means, PeerSees, Sentence, Spared, sentence},
};

use crate::{
    args::{Probing, Reap, SortKey},
    audit::Audit,
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    prove::{self, Ran, nothing_selected},
    render::{json, write_reap},
    select::Selection,
    signals,
    terminal::Terminal,
};

/// What was decided, and done if it was to be done. Every face of the answer is drawn from it.
#[derive(Debug)]
pub(crate) struct Reaping {
    /// What was seen, with the connections that were meant.
    pub picture: Picture,
    /// One for each connection of the picture, in its order.
    pub fates: Vec<Fate>,
    /// How connections are ended.
    pub means: Means,
    /// The record, if something was to be done.
    pub audit: Option<PathBuf>,
    /// How patiently connections are tested, if they are.
    pub trial: Option<Patience>,
    /// A signal came while connections were tested, so nothing was ended.
    pub is_interrupted: bool,
}

/// What one connection meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may be ended; nobody asked to do it.
    WouldEnd(Ending),
    /// It would be tested in this way, and ended so if nothing comes back.
    WouldProve(Method, Ending),
    /// It was tested, and its peer answered with a reset, which has ended it.
    EndedByReset,
    /// It is spared, since it could not be tested, or not to the end, with the reason.
    Untested(String),
    /// It was ended.
    Ended(Ending),
    /// It is spared.
    Spared(Spared),
    /// It was to be ended, and at a second look it was no longer dead.
    SparedAtLast(Spared),
    /// It was to be ended, and was gone before.
    Gone,
    /// It was to be ended, and that failed, with the reason.
    Failed(String),
}

/// What allows the end of a connection, and what everybody sees of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ending {
    /// What allows it.
    pub because: Because,
    /// What the application sees.
    pub application: ApplicationSees,
    /// What the peer sees.
    pub peer: PeerSees,
}

/// Shows what may be ended, and ends it if told to.
///
/// # Errors
/// [`Failure`] where nothing is selected, the host cannot be looked at, the act cannot be recorded or
/// is refused for lack of privilege, or the answer cannot be written.
pub(crate) fn run(arguments: &Reap, out: &mut impl Write) -> Result<Exit, Failure> {
    let selection = Selection::new(&arguments.selectors);
    if !selection.narrows() && !arguments.all {
        return Err(Failure::Usage(
            "reap needs to be told which connections: give a selector such as --peer or --process, \
             or --all for every connection"
                .to_owned(),
        ));
    }
    // Before anything else: a record that cannot be written is known while nothing has happened.
    let audit = match arguments.acting.apply {
        true => Some(Audit::open(arguments.acting.audit.as_deref())?),
        false => None,
    };
    let look = Look::new(selection, &arguments.looking, &arguments.judging, SortKey::Worst);
    let judge = Judge {
        licence: Licence {
            half_closed_over: arguments.licence.half_closed_over.map(|given| given.0),
            unproved: arguments.licence.unproved,
        },
        means: if arguments.licence.gentle { Means::ShutDown } else { Means::Destroy },
        thresholds: look.thresholds,
    };
    let mut reaping = Reaping {
        audit: audit.as_ref().map(|audit| audit.path().to_owned()),
        ..decided(arguments, look, &judge)?
    };
    let mut failure = None;
    if let Some(audit) = &audit {
        failure = carry_out(&mut reaping, &judge, audit).err();
    }
    if arguments.face.json {
        json::ReapDocument::of(&reaping).write(out)?;
    } else {
        let terminal = Terminal::of_stdout();
        write_reap(out, &reaping, terminal.width, terminal.paint(arguments.face.color))?;
    }
    out.flush()?;
    match failure {
        Some(failure) => Err(failure),
        None if reaping.has_failed() => Ok(Exit::System),
        None if reaping.is_interrupted => Ok(Exit::Problem),
        None => Ok(Exit::Fine),
    }
}

/// Looks, and decides what becomes of each connection. Sends nothing.
fn decided(arguments: &Reap, look: Look, judge: &Judge) -> Result<Reaping, Failure> {
    let begun = |picture, fates, trial| Reaping {
        picture,
        fates,
        means: judge.means,
        audit: None,
        trial,
        is_interrupted: false,
    };
    let reaping = if arguments.licence.prove {
        let patience = prove::patience(&arguments.probing)?;
        let (mut picture, cases) = prove::look(look, prove::forced(&arguments.probing), patience)?;
        let (connections, fates) = cases.into_iter().map(|case| trial::of(case, judge)).unzip();
        picture.connections = connections;
        begun(picture, fates, Some(patience))
    } else if arguments.probing != Probing::default() {
        return Err(Failure::Usage(
            "--probes, --interval and --method say how --prove tests; give --prove too".to_owned(),
        ));
    } else {
        let picture = look.of_the_chosen().take()?;
        let fates = picture.connections.iter().map(|one| judge.fate(one)).collect();
        begun(picture, fates, None)
    };
    if reaping.picture.connections.is_empty() && reaping.picture.listeners.is_empty() {
        return Err(nothing_selected(&reaping.picture));
    }
    Ok(reaping)
}

/// Tests what is to be tested, then ends what may be ended.
fn carry_out(reaping: &mut Reaping, judge: &Judge, audit: &Audit) -> Result<(), Failure> {
    let connections = &mut reaping.picture.connections;
    if let Some(patience) = reaping.trial {
        // From here on a signal ends the tests in good order, with everything put back.
        let ends = signals::listen(false)?;
        let ran = trial::carry_out(connections, &mut reaping.fates, judge, patience, audit, &ends)?;
        if ran == Ran::Interrupted {
            reaping.is_interrupted = true;
            return Ok(());
        }
    }
    act::carry_out(connections, &mut reaping.fates, judge, audit)
}

/// What is allowed, and what counts as what.
#[derive(Debug, Clone, Copy)]
struct Judge {
    licence: Licence,
    means: Means,
    thresholds: halfopen_core::Thresholds,
}

impl Judge {
    fn fate(&self, one: &Diagnosis) -> Fate {
        self.fate_if(one, one.verdict.kind())
    }

    /// The fate that the connection would meet with another verdict.
    fn fate_if(&self, one: &Diagnosis, verdict: VerdictKind) -> Fate {
        match sentence(&one.observation, verdict, &self.licence, self.means) {
            Sentence::End { because, application, peer } => {
                Fate::WouldEnd(Ending { because, application, peer })
            }
            Sentence::Spare(spared) => Fate::Spared(spared),
        }
    }
}

impl Reaping {
    /// The connections with what they meet.
    pub(crate) fn each(&self) -> impl Iterator<Item = (&Diagnosis, &Fate)> {
        self.picture.connections.iter().zip(&self.fates)
    }

    /// The listeners that were selected too. They are never ended.
    pub(crate) fn listeners(&self) -> &[Listener] {
        &self.picture.listeners
    }

    fn has_failed(&self) -> bool {
        self.fates.iter().any(|fate| matches!(fate, Fate::Failed(_)))
    }
}

#[cfg(test)]
mod tests;
