//! Owns the JSON face: the schemas `halfopen.ls/1`, `halfopen.prove/1` and `halfopen.why/1`, as docs/json.md has them.
//! What is not known is `{"unknown": WHY}`, what does not apply is `null`; neither is ever 0.

mod brief;
mod connection;
mod field;
mod object;
mod prove;
mod reap;
mod text;
mod why;

use std::io::{self, Write};

use serde::Serialize;

use self::object::Object;
pub(crate) use self::{
    brief::BriefConnection,
    connection::{Connection, LearnsItem, learns_field, millis},
    field::Field,
    object::Layout,
    prove::ProveDocument,
    reap::ReapDocument,
    why::WhyDocument,
};
use crate::{counted::Gone, picture::Picture};

/// The document of `ls --json`.
#[derive(Debug)]
pub(crate) struct LsDocument<'a> {
    picture: &'a Picture,
    gone: Option<&'a [Gone]>,
}

#[derive(Debug, Serialize)]
struct Namespace<'a> {
    id: u64,
    name: Option<&'a str>,
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

impl Hidden {
    const fn of(picture: &Picture) -> Self {
        Self { loopback: picture.hidden.loopback, problems: picture.hidden.problems }
    }
}

#[derive(Debug, Serialize)]
struct Listener {
    netns: u64,
    local: String,
    accept_queue: u32,
    backlog: u32,
    embryonic: Option<u32>,
    full: bool,
}

#[derive(Debug, Serialize)]
struct GoneConnection<'a> {
    id: String,
    local: &'a str,
    peer: &'a str,
    verdict: &'static str,
    counters: &'a [String],
}

impl<'a> LsDocument<'a> {
    /// The document that shows `picture`.
    pub(crate) const fn of(picture: &'a Picture) -> Self {
        Self { picture, gone: None }
    }

    /// The same, as a frame of `--watch`: with the connections that are gone since the last one.
    #[must_use]
    pub(crate) const fn with_gone(self, gone: &'a [Gone]) -> Self {
        Self { gone: Some(gone), ..self }
    }

    /// Writes it, laid out as `layout`, ending in a newline.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub(crate) fn write(&self, out: &mut impl Write, layout: Layout) -> io::Result<()> {
        let picture = self.picture;
        let mut object = Object::begin(out, layout)?;
        object.entry("schema", &"halfopen.ls/1")?;
        object.entry("host", &picture.host)?;
        object.entry("taken_at", &picture.taken_at_text())?;
        object.each("namespaces", &picture.namespaces, |one| Namespace {
            id: one.id.0,
            name: one.name.as_deref(),
            own: one.is_own,
        })?;
        object.entry("unseen", &unseen(picture))?;
        object.entry("hidden", &Hidden::of(picture))?;
        object.each("listeners", &picture.listeners, Listener::of)?;
        let connections: Vec<_> = picture.connections.iter().collect();
        object.each("connections", &connections, |one| Connection::of(one))?;
        if let Some(gone) = self.gone {
            object.each("gone", gone, GoneConnection::of)?;
        }
        object.end()
    }
}

impl<'a> GoneConnection<'a> {
    fn of(one: &'a Gone) -> Self {
        Self {
            id: one.id.to_string(),
            local: &one.local,
            peer: &one.peer,
            verdict: one.verdict.word(),
            counters: &one.counters,
        }
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

#[cfg(test)]
mod tests;
