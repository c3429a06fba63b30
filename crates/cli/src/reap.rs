//! Owns the verb `reap`: ends connections that are proved dead, and says what it spares and why.
//! Without `--apply` it only shows. Who may be ended is decided in `halfopen_core::reaping`.

mod act;

use std::{io::Write, path::PathBuf};

use halfopen_core::{
    Diagnosis, Listener,
    reaping::{ApplicationSees, Because, Licence, Means, PeerSees, Sentence, Spared, sentence},
};

use crate::{
    args::{Reap, SortKey},
    audit::Audit,
    exit::{Exit, Failure},
    look::Look,
    picture::Picture,
    render::{json, write_reap},
    select::Selection,
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
}

/// What one connection meets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It may be ended; nobody asked to do it.
    WouldEnd(Ending),
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
    let mut picture = look.take()?;
    if picture.connections.is_empty() && picture.listeners.is_empty() {
        return Err(nothing_selected(&picture));
    }
    let judge = Judge {
        licence: Licence {
            half_closed_over: arguments.licence.half_closed_over.map(|given| given.0),
            unproved: arguments.licence.unproved,
        },
        means: if arguments.licence.gentle { Means::ShutDown } else { Means::Destroy },
        thresholds: look.thresholds,
    };
    let mut fates: Vec<_> = picture.connections.iter().map(|one| judge.fate(one)).collect();
    let mut failure = None;
    if let Some(audit) = &audit {
        failure = act::carry_out(&mut picture.connections, &mut fates, &judge, audit).err();
    }
    let audit = audit.map(|audit| audit.path().to_owned());
    let reaping = Reaping { picture, fates, means: judge.means, audit };
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
        None => Ok(Exit::Fine),
    }
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
        match sentence(&one.observation, one.verdict.kind(), &self.licence, self.means) {
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

fn nothing_selected(picture: &Picture) -> Failure {
    let hidden = match picture.hidden.loopback {
        0 => String::new(),
        many => format!(" ({many} of this host to itself are left out: --loopback includes them)"),
    };
    Failure::NoSuchConnection(format!(
        "no such connection now{hidden}; `halfopen ls` shows those there are"
    ))
}

#[cfg(test)]
mod tests;
