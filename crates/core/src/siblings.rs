//! Owns the comparison of connections to one peer address: does the host answer others?
//! Read: RFC 9293 section 3.5.1; a path that swallows one flow and a host that is gone look alike from one flow.

use std::{collections::HashMap, net::IpAddr, time::Duration};

use crate::{observation::Siblings, sample::KernelTimer, sample::Sample};

/// How the connections of one namespace fare, counted for each peer address. Those of different
/// namespaces are never compared: one address may be two hosts.
#[derive(Debug, Clone, Default)]
pub struct PeerTallies {
    by_peer: HashMap<IpAddr, Tally>,
}

/// How one connection fares with its peer, in few bytes: all that others are compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contact {
    peer: IpAddr,
    is_unanswered: bool,
    /// Milliseconds, as the kernel counts them. Never heard is longer ago than anything.
    heard_ms: u32,
}

impl From<&Sample> for Contact {
    fn from(sample: &Sample) -> Self {
        Self {
            peer: sample.endpoints.peer.ip().to_canonical(),
            heard_ms: sample.last_heard().map_or(NEVER, millis),
            is_unanswered: is_unanswered(sample),
        }
    }
}

impl FromIterator<Contact> for PeerTallies {
    fn from_iter<I: IntoIterator<Item = Contact>>(contacts: I) -> Self {
        let mut by_peer: HashMap<_, Tally> = HashMap::new();
        for contact in contacts {
            by_peer.entry(contact.peer).or_default().count(contact);
        }
        by_peer.values_mut().for_each(|tally| tally.heard_ages_ms.sort_unstable());
        Self { by_peer }
    }
}

impl PeerTallies {
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
        let contact = Contact::from(sample);
        self.by_peer.get(&contact.peer).map(|tally| tally.without(contact)).unwrap_or_default()
    }
}

/// The counts of one group, so that a host with 100,000 connections to one address stays linear.
#[derive(Debug, Clone, Default)]
struct Tally {
    /// In ascending order once all are counted.
    heard_ages_ms: Vec<u32>,
    unanswered: u32,
}

impl Tally {
    fn count(&mut self, contact: Contact) {
        self.heard_ages_ms.extend(Some(contact.heard_ms).filter(|ms| *ms != NEVER));
        self.unanswered = self.unanswered.saturating_add(u32::from(contact.is_unanswered));
    }

    fn without(&self, contact: Contact) -> Siblings {
        let clearly_later = contact.heard_ms.saturating_sub(CLEARLY_MS);
        let heard = match self.heard_ages_ms.first() {
            Some(first) if *first < clearly_later => {
                self.heard_ages_ms.partition_point(|age| *age < clearly_later)
            }
            _ => 0,
        };
        Siblings {
            heard: u32::try_from(heard).unwrap_or(u32::MAX),
            unanswered: self.unanswered.saturating_sub(u32::from(contact.is_unanswered)),
        }
    }
}

/// One second: longer than the round trips and delayed acknowledgements by which two connections
/// to a living host may differ.
const CLEARLY_MS: u32 = 1000;

const NEVER: u32 = u32::MAX;

/// Not never, however long ago: the kernel's count wraps around before.
fn millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(NEVER).min(NEVER - 1)
}

fn is_unanswered(sample: &Sample) -> bool {
    match sample.timer {
        KernelTimer::Retransmit { retransmits, .. } => retransmits > 0,
        KernelTimer::Keepalive { probes, .. } => probes > 1,
        _ => false,
    }
}
