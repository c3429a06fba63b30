//! Owns the comparison of connections to one peer address: does the host answer others?
//! Read: RFC 9293 section 3.5.1; a path that swallows one flow and a host that is gone look alike from one flow.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::{connection::NetnsId, observation::Siblings, sample::KernelTimer, sample::Sample};

/// How connections fare, counted for each peer address. Connections of different namespaces are
/// never compared: one address may be two hosts.
#[derive(Debug, Clone, Default)]
pub struct PeerTallies {
    by_peer: HashMap<(NetnsId, IpAddr), Tally>,
}

impl PeerTallies {
    /// Counts one connection.
    pub fn count(&mut self, sample: &Sample) {
        self.by_peer.entry(key(sample)).or_default().count(sample);
    }

    /// To be called once all are counted.
    pub fn close(&mut self) {
        for tally in self.by_peer.values_mut() {
            tally.heard_ages_ms.sort_unstable();
        }
    }

    /// Whether anything may depend on how others to the same peer fare, as long as it was not tested:
    /// something of its own is unanswered (`rules::silent`).
    pub fn may_matter_to(sample: &Sample) -> bool {
        match sample.timer {
            KernelTimer::Retransmit { retransmits: count, .. }
            | KernelTimer::Keepalive { probes: count, .. }
            | KernelTimer::WindowProbe { probes: count, .. } => count > 0,
            KernelTimer::Off | KernelTimer::TimeWait { .. } | KernelTimer::Other { .. } => false,
        }
    }

    /// How the other connections to the peer address of `sample` fare, which was counted too.
    pub fn siblings_of(&self, sample: &Sample) -> Siblings {
        self.by_peer.get(&key(sample)).map(|tally| tally.without(sample)).unwrap_or_default()
    }
}

/// The counts of one group, so that a host with 100,000 connections to one address stays linear.
#[derive(Debug, Clone, Default)]
struct Tally {
    /// Milliseconds, as the kernel counts them; in ascending order once all are counted.
    heard_ages_ms: Vec<u32>,
    unanswered: u32,
}

impl Tally {
    fn count(&mut self, sample: &Sample) {
        self.heard_ages_ms.extend(sample.last_heard().map(millis));
        self.unanswered = self.unanswered.saturating_add(u32::from(is_unanswered(sample)));
    }

    fn without(&self, sample: &Sample) -> Siblings {
        // Never heard is longer ago than anything.
        let clearly_later = sample.last_heard().map_or(u32::MAX, millis).saturating_sub(CLEARLY_MS);
        let heard = match self.heard_ages_ms.first() {
            Some(first) if *first < clearly_later => {
                self.heard_ages_ms.partition_point(|age| *age < clearly_later)
            }
            _ => 0,
        };
        Siblings {
            heard: u32::try_from(heard).unwrap_or(u32::MAX),
            unanswered: self.unanswered.saturating_sub(u32::from(is_unanswered(sample))),
        }
    }
}

/// One second: longer than the round trips and delayed acknowledgements by which two connections
/// to a living host may differ.
const CLEARLY_MS: u32 = 1000;

fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}

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
