//! Owns the schema `halfopen.reap/1`.

use halfopen_core::reaping::{Means, Spared};
use serde::Serialize;

use super::{Connection, Hidden, Listener, Unseen, unseen};
use crate::reap::{Ending, Fate, Reaping};

/// The document of `reap --json`.
#[derive(Debug, Serialize)]
pub(crate) struct ReapDocument {
    schema: &'static str,
    host: String,
    taken_at: String,
    applied: bool,
    means: &'static str,
    audit: Option<String>,
    unseen: Vec<Unseen>,
    hidden: Hidden,
    listeners: Vec<Listener>,
    connections: Vec<Item>,
}

#[derive(Debug, Serialize)]
struct Item {
    connection: Connection,
    fate: &'static str,
    because: Option<Told>,
    application: Option<Told>,
    peer: Option<Told>,
    why: Option<String>,
}

/// A stable word, and its meaning for people.
#[derive(Debug, Serialize)]
struct Told {
    kind: &'static str,
    text: String,
}

impl ReapDocument {
    /// The document that tells of `reaping`.
    pub(crate) fn of(reaping: &Reaping) -> Self {
        let picture = &reaping.picture;
        Self {
            schema: "halfopen.reap/1",
            host: picture.host.clone(),
            taken_at: picture.taken_at_text(),
            applied: reaping.audit.is_some(),
            means: match reaping.means {
                Means::Destroy => "destroy",
                Means::ShutDown => "shut-down",
            },
            audit: reaping.audit.as_ref().map(|path| path.display().to_string()),
            unseen: unseen(picture),
            hidden: Hidden { loopback: picture.hidden.loopback, problems: picture.hidden.problems },
            listeners: reaping.listeners().iter().map(Listener::of).collect(),
            connections: reaping
                .each()
                .map(|(one, fate)| Item::of(Connection::of(one), fate))
                .collect(),
        }
    }
}

impl Item {
    fn of(connection: Connection, fate: &Fate) -> Self {
        let bare = |fate| Self {
            connection,
            fate,
            because: None,
            application: None,
            peer: None,
            why: None,
        };
        match fate {
            Fate::WouldEnd(ending) => bare("would-end").seen_as(ending),
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
