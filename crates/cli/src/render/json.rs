//! Owns the JSON face: the schemas `halfopen.ls/1` and `halfopen.why/1`, as docs/json.md has them.
//! What is not known is `{"unknown": WHY}`, what does not apply is `null`; neither is ever 0.

mod brief;
mod connection;
mod field;
mod why;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use self::{
    brief::BriefConnection,
    connection::{Connection, LearnsItem, learns_field},
    field::Field,
    why::WhyDocument,
};
use crate::{counted::Gone, picture::Picture};

/// The document of `ls --json`.
#[derive(Debug, Serialize)]
pub(crate) struct LsDocument {
    schema: &'static str,
    host: String,
    taken_at: String,
    namespaces: Vec<Namespace>,
    unseen: Vec<Unseen>,
    hidden: Hidden,
    listeners: Vec<Listener>,
    connections: Vec<Connection>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gone: Option<Vec<GoneConnection>>,
}

#[derive(Debug, Serialize)]
struct Namespace {
    id: u64,
    name: Option<String>,
    own: bool,
}

/// What could not be seen.
#[derive(Debug, Serialize)]
struct Unseen {
    what: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Hidden {
    loopback: usize,
    problems: usize,
}

#[derive(Debug, Serialize)]
struct Listener {
    netns: u64,
    local: String,
    accept_queue: u32,
    backlog: u32,
    embryonic: u32,
    full: bool,
}

#[derive(Debug, Serialize)]
struct GoneConnection {
    id: String,
    local: String,
    peer: String,
    verdict: &'static str,
    counters: Vec<String>,
}

impl LsDocument {
    /// The document that shows `picture`.
    pub(crate) fn of(picture: &Picture) -> Self {
        Self {
            schema: "halfopen.ls/1",
            host: picture.host.clone(),
            taken_at: picture.taken_at_text(),
            namespaces: picture
                .namespaces
                .iter()
                .map(|one| Namespace { id: one.id.0, name: one.name.clone(), own: one.is_own })
                .collect(),
            unseen: unseen(picture),
            hidden: Hidden { loopback: picture.hidden.loopback, problems: picture.hidden.problems },
            listeners: picture.listeners.iter().map(Listener::of).collect(),
            connections: picture.connections.iter().map(Connection::of).collect(),
            gone: None,
        }
    }

    /// The same, as a frame of `--watch`: with the connections that are gone since the last one.
    #[must_use]
    pub(crate) fn with_gone(mut self, gone: &[Gone]) -> Self {
        self.gone = Some(
            gone.iter()
                .map(|one| GoneConnection {
                    id: one.id.to_string(),
                    local: one.local.clone(),
                    peer: one.peer.clone(),
                    verdict: one.verdict.word(),
                    counters: one.counters.clone(),
                })
                .collect(),
        );
        self
    }
}

fn unseen(picture: &Picture) -> Vec<Unseen> {
    let copy = |one: &halfopen_sys::Unseen| Unseen { what: one.what.clone(), why: one.why.clone() };
    picture.unseen.iter().map(copy).collect()
}

impl Listener {
    fn of(listener: &halfopen_core::Listener) -> Self {
        Self {
            netns: listener.netns.0,
            local: super::end(listener.local),
            accept_queue: listener.accept_queue,
            backlog: listener.backlog,
            embryonic: listener.embryonic,
            full: listener.is_full(),
        }
    }
}

/// Writes one document for people and machines to read: indented, ending in a newline.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_document(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, document).map_err(io::Error::from)?;
    writeln!(out)
}

/// Writes one document on one line, as streams of documents are.
///
/// # Errors
/// If `out` cannot be written.
pub(crate) fn write_line(out: &mut impl Write, document: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, document).map_err(io::Error::from)?;
    writeln!(out)
}

#[cfg(test)]
mod tests;
