//! Owns what a namespace's counters say of connections that are gone: by reset, by time-out, or closed.
//! Counters count a whole namespace, so what they say of one connection is a hint, and told as one.
//! Read: linux Documentation/networking/snmp_counter.rst.

use std::collections::{HashMap, HashSet};

use halfopen_core::{
    ConnectionId, Diagnosis, Endpoints, KernelTimer, NetnsId, TcpState, VerdictKind,
};
use halfopen_sys::Counters;

use crate::{picture::Picture, render::end};

/// The counters of each namespace that could be read.
pub(crate) type CountersByNetns = HashMap<NetnsId, Counters>;

/// A connection that was there in the last frame and is no more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gone {
    /// Which it was.
    pub id: ConnectionId,
    /// Our end.
    pub local: String,
    /// The peer's end.
    pub peer: String,
    /// The last verdict on it.
    pub verdict: VerdictKind,
    /// What its namespace's counters did meanwhile, a clause each.
    pub counters: Vec<String>,
}

/// Reads the counters of every namespace in `picture`; those that cannot be read are left out.
pub(crate) fn read(picture: &Picture) -> CountersByNetns {
    let (own, others): (Vec<_>, Vec<_>) = picture.namespaces.iter().partition(|one| one.is_own);
    let mut counted: CountersByNetns =
        own.into_iter().filter_map(|one| Some((one.id, halfopen_sys::counters().ok()?))).collect();
    if others.is_empty() {
        return counted;
    }
    let Ok(census) = halfopen_sys::census() else { return counted };
    for netns in census.namespaces.iter().filter(|one| others.iter().any(|it| it.id == one.id())) {
        if let Ok(Ok(counters)) = netns.enter(halfopen_sys::counters) {
            counted.insert(netns.id(), counters);
        }
    }
    counted
}

/// Which connections shown in `before` are gone in `after`, and what the counters did in between.
pub(crate) fn gone(
    before: &Picture,
    after: &Picture,
    counted_before: &CountersByNetns,
    counted_after: &CountersByNetns,
) -> Vec<Gone> {
    let present = Present::of(after);
    before
        .connections
        .iter()
        .filter(|one| !present.has(one))
        .map(|one| {
            let sample = &one.observation.sample;
            let netns = &sample.id.netns;
            Gone {
                id: sample.id,
                local: end(sample.endpoints.local),
                peer: end(sample.endpoints.peer),
                verdict: one.verdict.kind(),
                counters: match (counted_before.get(netns), counted_after.get(netns)) {
                    (Some(before), Some(after)) => risen(before, after),
                    _ => vec!["its namespace's counters could not be read".to_owned()],
                },
            }
        })
        .collect()
}

/// What is there now, chosen or not.
struct Present<'a> {
    ids: &'a HashSet<ConnectionId>,
    remains: &'a HashSet<(NetnsId, Endpoints)>,
}

impl<'a> Present<'a> {
    const fn of(picture: &'a Picture) -> Self {
        Self { ids: &picture.seen.ids, remains: &picture.seen.remains }
    }

    /// The connection itself, or the mini socket that the kernel replaced it by, whose cookie is new.
    fn has(&self, one: &Diagnosis) -> bool {
        let sample = &one.observation.sample;
        self.ids.contains(&sample.id) || self.remains.contains(&(sample.id.netns, sample.endpoints))
    }
}

/// Which sockets a survey has seen, chosen or not: enough to tell who is gone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    ids: HashSet<ConnectionId>,
    remains: HashSet<(NetnsId, Endpoints)>,
}

impl Seen {
    /// Takes in what was noted elsewhere.
    pub(crate) fn add(&mut self, other: Self) {
        self.ids.extend(other.ids);
        self.remains.extend(other.remains);
    }

    /// Takes note of one socket.
    pub(crate) fn note(&mut self, sample: &halfopen_core::Sample) {
        self.ids.insert(sample.id);
        let is_rest = sample.state == TcpState::TimeWait
            || matches!(sample.timer, KernelTimer::TimeWait { .. });
        if is_rest {
            self.remains.insert((sample.id.netns, sample.endpoints));
        }
    }
}

/// What rose between two readings, as clauses.
fn risen(before: &Counters, after: &Counters) -> Vec<String> {
    let rise = |before: Option<u64>, after: Option<u64>| Some(after?.saturating_sub(before?));
    let rises = [
        (rise(before.established_resets, after.established_resets), RESETS),
        (rise(before.aborts_on_timeout, after.aborts_on_timeout), TIMEOUTS),
        (rise(before.attempt_fails, after.attempt_fails), FAILS),
    ];
    let clauses: Vec<_> = rises
        .into_iter()
        .filter_map(|(by, what)| by.filter(|by| *by > 0).map(|by| format!("{what} rose by {by}")))
        .collect();
    if !clauses.is_empty() {
        clauses
    } else if rises.iter().any(|(by, _)| by.is_none()) {
        vec!["this kernel does not count how".to_owned()]
    } else {
        vec!["no count of resets or time-outs rose, so it was closed".to_owned()]
    }
}

/// The counts of one namespace since it was made, as clauses.
pub(crate) fn totals(counters: &Counters) -> Vec<String> {
    let all = [
        (counters.established_resets, RESETS),
        (counters.aborts_on_timeout, TIMEOUTS),
        (counters.attempt_fails, FAILS),
    ];
    all.into_iter().filter_map(|(count, what)| Some(format!("{what} {}", count?))).collect()
}

const RESETS: &str = "resets (EstabResets)";
const TIMEOUTS: &str = "time-outs (TCPAbortOnTimeout)";
const FAILS: &str = "failed attempts (AttemptFails)";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures;

    const BEFORE: Counters = Counters {
        established_resets: Some(4),
        attempt_fails: Some(0),
        aborts_on_timeout: Some(7),
        listen_overflows: None,
        listen_drops: None,
        syn_cookies_sent: None,
    };

    fn counters(resets: u64, timeouts: u64) -> Counters {
        Counters { established_resets: Some(resets), aborts_on_timeout: Some(timeouts), ..BEFORE }
    }

    #[test]
    fn what_rose_is_named_with_the_kernels_name() {
        assert_eq!(risen(&BEFORE, &counters(5, 7)), ["resets (EstabResets) rose by 1"]);
        assert_eq!(
            risen(&BEFORE, &counters(6, 9)),
            ["resets (EstabResets) rose by 2", "time-outs (TCPAbortOnTimeout) rose by 2"]
        );
        assert_eq!(
            risen(&BEFORE, &BEFORE),
            ["no count of resets or time-outs rose, so it was closed"]
        );
        assert_eq!(risen(&BEFORE, &Counters::default()), ["this kernel does not count how"]);
    }

    #[test]
    fn a_connection_is_gone_when_neither_it_nor_its_rest_is_seen() {
        let before = fixtures::picture();
        let mut after = before.clone();
        assert_eq!(gone(&before, &after, &HashMap::new(), &HashMap::new()), []);

        let first = before.connections[0].observation.sample.clone();
        after.seen.ids.remove(&first.id);
        let missing = gone(&before, &after, &HashMap::new(), &HashMap::new());
        assert_eq!(missing.iter().map(|one| one.id).collect::<Vec<_>>(), [first.id]);

        after.seen.remains.insert((first.id.netns, first.endpoints));
        assert_eq!(gone(&before, &after, &HashMap::new(), &HashMap::new()), []);
    }

    #[test]
    fn a_connection_that_is_no_longer_chosen_is_not_gone() {
        let before = fixtures::picture();
        let mut after = before.clone();
        after.connections.truncate(0);
        assert_eq!(gone(&before, &after, &HashMap::new(), &HashMap::new()), []);
    }
}
