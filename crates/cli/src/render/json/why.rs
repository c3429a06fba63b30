//! Owns the schema `halfopen.why/1`.

use halfopen_core::{
    Diagnosis,
    middlebox::{self, Forgets, Middlebox},
};
use serde::Serialize;

use super::{Connection, Field, Unseen, connection::millis};
use crate::{
    picture::Picture,
    story::{KeepaliveSeen, Line, Story, is_half_closed, keepalive},
};

/// The document of `why CONNECTION --json`.
#[derive(Debug, Serialize)]
pub(crate) struct WhyDocument<'a> {
    schema: &'static str,
    host: String,
    taken_at: String,
    unseen: Vec<Unseen>,
    connection: Connection<'a>,
    keepalive: Field<'a, Keepalive>,
    forgetful: Field<'a, Vec<Box>>,
    story: Vec<Section>,
}

/// Keepalive as it is set on the socket.
#[derive(Debug, Serialize)]
struct Keepalive {
    on: bool,
    assumed: bool,
    idle_ms: Option<u64>,
    interval_ms: Option<u64>,
}

/// A kind of box that would forget the connection, if it is on the path.
#[derive(Debug, Serialize)]
struct Box {
    name: &'static str,
    idle_ms: u64,
    least_ms: Option<u64>,
    most_ms: Option<u64>,
    forgets: &'static str,
    then: &'static str,
    basis: &'static str,
    source: &'static str,
}

#[derive(Debug, Serialize)]
struct Section {
    heading: &'static str,
    lines: Vec<String>,
}

impl<'a> WhyDocument<'a> {
    /// The document that tells `story`, of `diagnosis`, seen in `picture`.
    pub(crate) fn of(diagnosis: &'a Diagnosis, story: &Story, picture: &Picture) -> Self {
        Self {
            schema: "halfopen.why/1",
            host: picture.host.clone(),
            taken_at: picture.taken_at_text(),
            unseen: super::unseen(picture),
            connection: Connection::of(diagnosis),
            keepalive: keepalive_of(diagnosis),
            forgetful: forgetful(diagnosis),
            story: story
                .sections
                .iter()
                .map(|section| Section {
                    heading: section.heading,
                    lines: section.lines.iter().map(Line::plain).collect(),
                })
                .collect(),
        }
    }
}

fn keepalive_of(diagnosis: &Diagnosis) -> Field<'static, Keepalive> {
    let on = |set: middlebox::Keepalive, assumed| {
        Field::Known(Keepalive {
            on: true,
            assumed,
            idle_ms: Some(millis(set.idle)),
            interval_ms: Some(millis(set.interval)),
        })
    };
    match keepalive(&diagnosis.observation) {
        KeepaliveSeen::Off => {
            let (idle_ms, interval_ms) = (None, None);
            Field::Known(Keepalive { on: false, assumed: false, idle_ms, interval_ms })
        }
        KeepaliveSeen::On(set) => on(set, false),
        KeepaliveSeen::Assumed(set) => on(set, true),
        KeepaliveSeen::NotSent => Field::NotApplicable,
        KeepaliveSeen::Unknown(why) => Field::Unknown(why.into()),
    }
}

fn forgetful(diagnosis: &Diagnosis) -> Field<'static, Vec<Box>> {
    let seen = &diagnosis.observation;
    let half_closed = is_half_closed(seen.sample.state);
    if seen.sample.endpoints.is_loopback() {
        return Field::NotApplicable;
    }
    let set = match keepalive(seen) {
        KeepaliveSeen::Off => None,
        KeepaliveSeen::On(set) | KeepaliveSeen::Assumed(set) => Some(set),
        KeepaliveSeen::NotSent => return Field::NotApplicable,
        KeepaliveSeen::Unknown(why) => return Field::Unknown(why.into()),
    };
    let found = middlebox::forgetful(set, half_closed, seen.tick);
    Field::Known(
        found.into_iter().map(|(one, forgets)| Box::of(one, forgets, half_closed)).collect(),
    )
}

impl Box {
    fn of(one: &'static Middlebox, forgets: Forgets, half_closed: bool) -> Self {
        Self {
            name: one.name,
            idle_ms: millis(one.remembers(half_closed)),
            least_ms: one.range.map(|(least, _)| millis(least)),
            most_ms: one.range.map(|(_, most)| millis(most)),
            forgets: match forgets {
                Forgets::Yes => "yes",
                Forgets::IfOneProbeFails => "if-one-probe-fails",
                Forgets::No => "no",
            },
            then: one.on_expiry.clause(),
            basis: one.basis.word(),
            source: one.source,
        }
    }
}
