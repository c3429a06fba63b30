//! Owns the order of the list: what an operator should read first. Pure.

use std::{cmp::Reverse, time::Duration};

use halfopen_core::detection::{DetectionTime, Learns};

use crate::{args::SortKey, connections::Connections};

/// Sorts `connections` by `key`. Keys are made once for each: there may be very many, and they are
/// large to look into.
pub(crate) fn sort(connections: &mut Connections, key: SortKey) {
    match key {
        SortKey::Worst => connections.sort_by_cached_key(|one| {
            (one.verdict.kind(), Reverse(one.verdict.severity()), wait(&one.learns))
        }),
        SortKey::Heard => connections.sort_by_cached_key(|one| {
            let heard = one.observation.sample.last_heard();
            (heard.is_none(), Reverse(heard))
        }),
        SortKey::Learns => connections.sort_by_cached_key(|one| match wait(&one.learns) {
            Wait::Never => (0, Reverse(Duration::ZERO)),
            Wait::AtMost(longest) => (1, Reverse(longest)),
            Wait::Unsaid => (2, Reverse(Duration::ZERO)),
        }),
        SortKey::Peer => {
            connections.sort_by_cached_key(|one| ends(one.observation.sample.endpoints.peer));
        }
        SortKey::Local => {
            connections.sort_by_cached_key(|one| ends(one.observation.sample.endpoints.local));
        }
        SortKey::Owner => connections.sort_by_cached_key(|one| {
            let first = one.observation.owners.seen().first();
            (first.is_none(), first.map(|owner| (owner.process.command.clone(), owner.process.pid)))
        }),
    }
}

/// How long the owner waits in the case that counts: the countdown where one runs, else idle.
/// Ordered soonest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Wait {
    AtMost(Duration),
    Never,
    Unsaid,
}

fn wait(learns: &DetectionTime) -> Wait {
    match learns.now.as_ref().unwrap_or(&learns.idle) {
        Learns::Within(prediction) => Wait::AtMost(prediction.within.max()),
        Learns::Never(_) => Wait::Never,
        Learns::Unknown(_) | Learns::NotApplicable(_) => Wait::Unsaid,
    }
}

fn ends(end: std::net::SocketAddr) -> (std::net::IpAddr, u16) {
    (end.ip().to_canonical(), end.port())
}

#[cfg(test)]
mod tests {
    use halfopen_core::{Severity, VerdictKind};

    use super::*;
    use crate::fixtures;

    fn sorted(key: SortKey) -> Connections {
        let mut all: Connections = fixtures::every_verdict().into_iter().rev().collect();
        sort(&mut all, key);
        all
    }

    #[test]
    fn worst_first_follows_the_verdicts_and_puts_problems_before_notices() {
        let all = sorted(SortKey::Worst);
        let kinds: Vec<_> = all.iter().map(|one| one.verdict.kind()).collect();
        assert!(kinds.is_sorted());
        assert_eq!(kinds.first(), Some(&VerdictKind::HalfOpen));
        let all: Vec<_> = all.iter().collect();
        for pair in all.windows(2) {
            if pair[0].verdict.kind() == pair[1].verdict.kind() {
                assert!(pair[0].verdict.severity() >= pair[1].verdict.severity());
            }
        }
        assert_eq!(all[0].verdict.severity(), Severity::Problem);
    }

    #[test]
    fn the_longest_unheard_comes_first_and_the_unknown_last() {
        let all = sorted(SortKey::Heard);
        let heard: Vec<_> = all.iter().map(|one| one.observation.sample.last_heard()).collect();
        let known: Vec<_> = heard.iter().flatten().collect();
        assert!(known.windows(2).all(|pair| pair[0] >= pair[1]));
        assert!(heard[known.len()..].iter().all(Option::is_none));
    }

    #[test]
    fn who_would_never_learn_comes_first_when_sorted_by_detection_time() {
        let all = sorted(SortKey::Learns);
        let waits: Vec<_> = all.iter().map(|one| wait(&one.learns)).collect();
        assert_eq!(waits.first(), Some(&Wait::Never));
        assert_eq!(waits.last(), Some(&Wait::Unsaid));
    }
}
