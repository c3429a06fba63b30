//! Owns the JSON of `prove`: the schema `halfopen.prove/1`, as docs/json.md has it.

use halfopen_core::proving::{Method, Patience};
use serde::Serialize;

use super::{Connection, Hidden, Unseen, millis, unseen};
use crate::{
    picture::Picture,
    prove::{Answer, Proved},
};

/// The document of `prove --json`.
#[derive(Debug, Serialize)]
pub(crate) struct ProveDocument<'a> {
    schema: &'static str,
    host: String,
    taken_at: String,
    probes: u32,
    interval_ms: u64,
    unseen: Vec<Unseen>,
    hidden: Hidden,
    connections: Vec<ProvedConnection<'a>>,
}

/// A connection as `ls` writes it, before the first probe and judged with the proof, and the proof.
#[derive(Debug, Serialize)]
struct ProvedConnection<'a> {
    #[serde(flatten)]
    connection: Connection<'a>,
    answer: &'static str,
    method: Option<&'static str>,
    rtt_us: Option<u64>,
    probes_sent: u32,
    why: String,
}

impl<'a> ProveDocument<'a> {
    /// The document of what was `proved` of the connections in `picture`.
    pub(crate) fn of(picture: &'a Picture, proved: &'a [Proved], patience: Patience) -> Self {
        Self {
            schema: "halfopen.prove/1",
            host: picture.host.clone(),
            taken_at: picture.taken_at_text(),
            probes: patience.probes(),
            interval_ms: millis(patience.interval()),
            unseen: unseen(picture),
            hidden: Hidden::of(picture),
            connections: proved.iter().map(ProvedConnection::of).collect(),
        }
    }
}

impl<'a> ProvedConnection<'a> {
    fn of(one: &'a Proved) -> Self {
        Self {
            connection: Connection::of(&one.diagnosis),
            answer: Answer::word(one.answer),
            method: one.method.map(Method::word),
            rtt_us: one.rtt.map(|rtt| u64::try_from(rtt.as_micros()).unwrap_or(u64::MAX)),
            probes_sent: one.probes_sent,
            why: one.why.clone(),
        }
    }
}
