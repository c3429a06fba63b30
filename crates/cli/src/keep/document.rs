//! Owns the JSON face of `keep`: the schema `halfopen.keep/1`, as docs/json.md has it.

use halfopen_core::{
    Diagnosis,
    detection::DetectionTime,
    keeping::{Harm, KeepOptions, Planned},
};
use serde::Serialize;

use super::{
    applying::Applied,
    future::{Later, LaterDocument},
    proposal::Proposal,
    record::Options,
};
use crate::render::{
    end,
    json::{Field, LearnsItem, learns_field, millis},
};

/// The document of `keep --json`.
#[derive(Debug, Serialize)]
pub(crate) struct Document<'a> {
    schema: &'static str,
    host: String,
    taken_at: String,
    objective: Objective,
    spread: Option<Spread>,
    applied: bool,
    connections: Vec<Connection<'a>>,
    loopback_left_alone: usize,
    unseen: Vec<Unseen>,
    watched: Option<Watched>,
    future: Option<LaterDocument<'a>>,
}

#[derive(Debug, Serialize)]
struct Objective {
    detect_within_ms: u64,
    survive_idle_ms: Option<u64>,
    user_timeout: bool,
}

#[derive(Debug, Serialize)]
struct Spread {
    connections_per_step: usize,
    step_ms: u64,
    takes_ms: u64,
}

#[derive(Debug, Serialize)]
struct Connection<'a> {
    id: String,
    netns: u64,
    local: String,
    peer: String,
    state: String,
    plan: &'static str,
    why: Option<String>,
    before: Field<'a, Side<'a>>,
    after: Option<Side<'a>>,
    probes_per_hour: Option<u32>,
    harms: Vec<String>,
    outcome: Option<&'static str>,
    error: Option<String>,
}

#[derive(Debug, Serialize)]
struct Side<'a> {
    options: Field<'a, Options>,
    learns: Learns<'a>,
}

#[derive(Debug, Serialize)]
struct Learns<'a> {
    idle: Field<'a, LearnsItem<'a>>,
    busy: Field<'a, LearnsItem<'a>>,
}

#[derive(Debug, Serialize)]
struct Unseen {
    what: String,
    why: String,
}

#[derive(Debug, Serialize)]
struct Watched {
    watched_ms: u64,
    aborts: u64,
    backlog_drops: u64,
    rolled_back: bool,
    not_put_back: usize,
}

impl<'a> Document<'a> {
    /// What is proposed, and what was done about it.
    pub(crate) fn of(
        proposal: &'a Proposal,
        applied: Option<&Applied>,
        later: Option<&'a Later>,
    ) -> Self {
        let picture = &proposal.picture;
        let changes = proposal.changes().count();
        let mut connections: Vec<_> = picture
            .connections
            .iter()
            .zip(&proposal.each)
            .map(|(diagnosis, planned)| Connection::of(diagnosis, planned))
            .collect();
        let outcomes = applied.map(|applied| applied.outcomes.as_slice()).unwrap_or_default();
        for (change, outcome) in proposal.changes().zip(outcomes) {
            let Some(connection) = connections.get_mut(change.index) else { continue };
            connection.after = Some(Side {
                options: Field::Known(change.after.into()),
                learns: Learns::of(&change.plan.learns_after),
            });
            connection.outcome = Some(match outcome {
                Some(Ok(())) => "set",
                Some(Err(_)) => "failed",
                None => "not-reached",
            });
            connection.error =
                outcome.as_ref().and_then(|one| one.as_ref().err()).map(ToString::to_string);
        }
        Self {
            schema: "halfopen.keep/1",
            host: picture.host.clone(),
            taken_at: picture.taken_at_text(),
            objective: Objective {
                detect_within_ms: millis(proposal.objective.detect_within),
                survive_idle_ms: proposal.objective.survive_idle.map(millis),
                user_timeout: proposal.objective.user_timeout,
            },
            spread: proposal.spread.map(|spread| Spread {
                connections_per_step: spread.per_step,
                step_ms: millis(spread.step),
                takes_ms: millis(spread.takes(changes)),
            }),
            applied: applied.is_some(),
            connections,
            loopback_left_alone: picture.hidden.loopback,
            unseen: picture
                .unseen
                .iter()
                .map(|one| Unseen { what: one.what.clone(), why: one.why.clone() })
                .collect(),
            watched: applied.and_then(|applied| applied.watched).map(|watched| Watched {
                watched_ms: millis(watched.watched_for),
                aborts: watched.rise.aborts,
                backlog_drops: watched.rise.drops,
                rolled_back: watched.rolled_back,
                not_put_back: watched.stuck,
            }),
            future: later.map(LaterDocument::of),
        }
    }
}

impl<'a> Connection<'a> {
    fn of(diagnosis: &'a Diagnosis, planned: &'a Planned) -> Self {
        let observation = &diagnosis.observation;
        let sample = &observation.sample;
        let options = observation.options.read().and_then(KeepOptions::of).map(Options::from);
        let mut connection = Self {
            id: sample.id.to_string(),
            netns: sample.id.netns.0,
            local: end(sample.endpoints.local),
            peer: end(sample.endpoints.peer),
            state: sample.state.to_string(),
            plan: "change",
            why: None,
            before: Field::Known(Side {
                options: Field::known_or(options, "its options were not read"),
                learns: Learns::of(&diagnosis.learns),
            }),
            after: None,
            probes_per_hour: None,
            harms: Vec::new(),
            outcome: None,
            error: None,
        };
        match planned {
            Planned::Met(_) => connection.plan = "met",
            Planned::Refused(refusal) => {
                connection.plan = "refused";
                connection.why = Some(refusal.to_string());
            }
            Planned::Change(plan) => {
                let before = KeepOptions::of(&plan.before);
                let after = before.map(|before| KeepOptions::planned(plan, before).into());
                connection.after = Some(Side {
                    options: Field::known_or(after, "its options were not read"),
                    learns: Learns::of(&plan.learns_after),
                });
                connection.probes_per_hour = Some(plan.probes_per_hour);
                connection.harms = plan.harms.iter().map(Harm::to_string).collect();
            }
        }
        connection
    }
}

impl<'a> Learns<'a> {
    fn of(learns: &'a DetectionTime) -> Self {
        Self { idle: learns_field(&learns.idle), busy: learns_field(&learns.busy) }
    }
}
