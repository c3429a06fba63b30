//! Owns the schema `halfopen.reap/1`.

use std::io::{self, Write};

use halfopen_core::reaping::{Means, Spared};
use serde::Serialize;

use super::{Connection, Hidden, Layout, Listener, Object, unseen};
use crate::reap::{Ending, Fate, Reaping};

/// The document of `reap --json`.
#[derive(Debug)]
pub(crate) struct ReapDocument<'a>(&'a Reaping);

#[derive(Debug, Serialize)]
struct Item<'a> {
    connection: Connection<'a>,
    fate: &'static str,
    because: Option<Told>,
    application: Option<Told>,
    peer: Option<Told>,
    method: Option<&'static str>,
    why: Option<String>,
}

/// A stable word, and its meaning for people.
#[derive(Debug, Serialize)]
struct Told {
    kind: &'static str,
    text: String,
}

impl<'a> ReapDocument<'a> {
    /// The document that tells of `reaping`.
    pub(crate) const fn of(reaping: &'a Reaping) -> Self {
        Self(reaping)
    }

    /// Writes it, ending in a newline.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub(crate) fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Self(reaping) = self;
        let picture = &reaping.picture;
        let hidden = &picture.hidden;
        let means = match reaping.means {
            Means::Destroy => "destroy",
            Means::ShutDown => "shut-down",
        };
        let mut object = Object::begin(out, Layout::Lines)?;
        object.entry("schema", &"halfopen.reap/1")?;
        object.entry("host", &picture.host)?;
        object.entry("taken_at", &picture.taken_at_text())?;
        object.entry("applied", &reaping.audit.is_some())?;
        object.entry("means", &means)?;
        object.entry("audit", &reaping.audit.as_ref().map(|path| path.display().to_string()))?;
        object.entry("unseen", &unseen(picture))?;
        object.entry("hidden", &Hidden { loopback: hidden.loopback, problems: hidden.problems })?;
        object.each("listeners", reaping.listeners(), Listener::of)?;
        let each: Vec<_> = reaping.each().collect();
        object.each("connections", &each, |(one, fate)| Item::of(Connection::of(one), fate))?;
        object.end()
    }
}

impl<'a> Item<'a> {
    fn of(connection: Connection<'a>, fate: &Fate) -> Self {
        let bare = |fate| Self {
            connection,
            fate,
            because: None,
            application: None,
            peer: None,
            method: None,
            why: None,
        };
        match fate {
            Fate::WouldEnd(ending) => bare("would-end").seen_as(ending),
            Fate::WouldProve(method, ending) => {
                // Nothing allows its end yet.
                let told = bare("would-prove").seen_as(ending);
                Self { because: None, method: Some(method.word()), ..told }
            }
            Fate::EndedByReset => bare("ended-by-reset"),
            Fate::Untested(why) => Self { why: Some(why.clone()), ..bare("untested") },
            Fate::Ended(ending) => bare("ended").seen_as(ending),
            Fate::Spared(spared) => bare("spared").spared(*spared),
            Fate::SparedAtLast(spared) => bare("spared-at-last").spared(*spared),
            Fate::Gone => bare("gone"),
            Fate::Failed(why) => Self { why: Some(why.clone()), ..bare("failed") },
        }
    }

    fn seen_as(self, ending: &Ending) -> Self {
        let Ending { because, application, peer } = ending;
        Self {
            because: Some(Told { kind: because.word(), text: because.to_string() }),
            application: Some(Told { kind: application.word(), text: application.to_string() }),
            peer: Some(Told { kind: peer.word(), text: peer.to_string() }),
            ..self
        }
    }

    fn spared(self, spared: Spared) -> Self {
        Self { because: Some(Told { kind: spared.word(), text: spared.to_string() }), ..self }
    }
}
