//! Owns the JSON of connections that are yet to come: `future` of `halfopen.keep/1`.

use serde::Serialize;

use super::{super::record::Options, Covered, Later};
use crate::render::json::millis;

/// What connections that are opened later are given.
#[derive(Debug, Serialize)]
pub(in super::super) struct LaterDocument<'a> {
    not_covered: Option<&'a str>,
    options: Option<Options>,
    slot_ms: Option<u64>,
    per_slot: Option<u32>,
    room: Option<u64>,
    cgroups: Vec<CgroupDocument<'a>>,
    left_alone: Vec<&'a str>,
}

#[derive(Debug, Serialize)]
struct CgroupDocument<'a> {
    path: &'a str,
    processes: usize,
    chosen: Vec<u32>,
    before: Option<Options>,
    outcome: Option<&'static str>,
    error: Option<&'a str>,
}

impl<'a> LaterDocument<'a> {
    pub(in super::super) fn of(later: &'a Later) -> Self {
        let plan = later.plan.as_ref();
        let future = plan.ok().map(|plan| &plan.future);
        Self {
            not_covered: plan.err().map(String::as_str),
            options: future.map(|future| future.options.into()),
            slot_ms: future.map(|future| millis(future.slot)),
            per_slot: future.map(|future| future.per_slot),
            room: future.map(|future| future.room()),
            cgroups: plan.map_or_else(
                |_| Vec::new(),
                |plan| plan.cgroups.iter().map(CgroupDocument::of).collect(),
            ),
            left_alone: plan.map_or_else(
                |_| Vec::new(),
                |plan| plan.left_alone.iter().map(String::as_str).collect(),
            ),
        }
    }
}

impl<'a> CgroupDocument<'a> {
    fn of(one: &'a Covered) -> Self {
        Self {
            path: one.cgroup.name(),
            processes: one.processes,
            chosen: one.chosen.iter().map(|(_, pid)| *pid).collect(),
            before: one.before.map(Options::from),
            outcome: one.outcome.as_ref().map(|it| if it.is_ok() { "covered" } else { "failed" }),
            error: one.outcome.as_ref().and_then(|it| it.as_ref().err()).map(String::as_str),
        }
    }
}
