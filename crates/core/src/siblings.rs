//! Owns the comparison of connections to one peer address: does the host answer others?
//! Read: RFC 9293 section 3.5.1; a path that swallows one flow and a host that is gone look alike from one flow.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::{connection::NetnsId, observation::Siblings, sample::KernelTimer, sample::Sample};

/// How the other connections to each sample's peer address fare; one entry per sample, in order.
/// Connections of different namespaces are never compared: one address may be two hosts.
pub fn siblings<'a>(samples: impl IntoIterator<Item = &'a Sample> + Clone) -> Vec<Siblings> {
    let mut groups: HashMap<(NetnsId, IpAddr), Vec<&Sample>> = HashMap::new();
    for sample in samples.clone() {
        groups.entry(key(sample)).or_default().push(sample);
    }
    let tallies: HashMap<_, Tally> =
        groups.into_iter().map(|(key, group)| (key, Tally::of(&group))).collect();
    samples
        .into_iter()
        .map(|sample| {
            tallies.get(&key(sample)).map(|tally| tally.without(sample)).unwrap_or_default()
        })
        .collect()
}

/// The counts of one group, so that a host with 100,000 connections to one address stays linear.
struct Tally {
    heard_ages: Vec<Duration>,
    unanswered: u32,
}

impl Tally {
    fn of(group: &[&Sample]) -> Self {
        let mut heard_ages: Vec<_> =
            group.iter().filter_map(|sample| sample.last_heard()).collect();
        heard_ages.sort_unstable();
        let unanswered = group.iter().filter(|sample| is_unanswered(sample)).count();
        Self { heard_ages, unanswered: u32::try_from(unanswered).unwrap_or(u32::MAX) }
    }

    fn without(&self, sample: &Sample) -> Siblings {
        let since = sample.last_heard().unwrap_or(Duration::MAX);
        let heard =
            self.heard_ages.partition_point(|age| age.saturating_add(CLEARLY_LATER) < since);
        Siblings {
            heard: u32::try_from(heard).unwrap_or(u32::MAX),
            unanswered: self.unanswered.saturating_sub(u32::from(is_unanswered(sample))),
        }
    }
}

/// One second: longer than the round trips and delayed acknowledgements by which two connections
/// to a living host may differ.
const CLEARLY_LATER: Duration = Duration::from_secs(1);

fn is_unanswered(sample: &Sample) -> bool {
    match sample.timer {
        KernelTimer::Retransmit { retransmits, .. } => retransmits > 0,
        KernelTimer::Keepalive { probes, .. } => probes > 1,
        _ => false,
    }
}

fn key(sample: &Sample) -> (NetnsId, IpAddr) {
    (sample.id.netns, sample.endpoints.peer.ip().to_canonical())
}
