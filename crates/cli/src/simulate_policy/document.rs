//! Owns the JSON of `simulate-policy`: the schema `halfopen.simulate-policy/1`, as docs/json.md has it.

use std::time::Duration;

use halfopen_core::reconnect::fleet::{Course, Fleet};
use serde::Serialize;

/// The document.
#[derive(Debug, Serialize)]
pub(super) struct Document {
    schema: &'static str,
    seed: u64,
    clients: u32,
    outage_ms: u64,
    half_back_after_ms: Option<u64>,
    all_back_after_ms: Option<u64>,
    gave_up: u32,
    attempts: u64,
    refused_when_back: u64,
    peak_when_back: Peak,
    seconds: Vec<(u32, u32)>,
}

#[derive(Debug, Serialize)]
struct Peak {
    second: usize,
    attempts: u32,
}

impl Document {
    pub(super) fn of(fleet: &Fleet, course: &Course, seed: u64) -> Self {
        let (second, attempts) = super::picture::peak_when_back(fleet, course);
        Self {
            schema: "halfopen.simulate-policy/1",
            seed,
            clients: fleet.clients,
            outage_ms: millis(fleet.outage),
            half_back_after_ms: course.half_back_after.map(millis),
            all_back_after_ms: course.all_back_after.map(millis),
            gave_up: course.gave_up,
            attempts: course.attempts,
            refused_when_back: course.refused_when_back,
            peak_when_back: Peak { second, attempts },
            seconds: course.seconds.iter().map(|one| (one.attempts, one.came_up)).collect(),
        }
    }
}

/// Whole milliseconds, rounded up.
fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
