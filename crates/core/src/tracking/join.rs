//! Owns the join of tracked flows to connections, and when a missing entry counts as forgotten.
//! Judges no consequences. Read: linux net/netfilter/nf_conntrack_core.c `nf_conntrack_in`,
//! nf_nat_core.c (where on its way a segment is translated).

use std::{collections::HashMap, net::SocketAddr, time::Duration};

use super::{Route, TrackedEntry, TrackedFlow, TrackedState, Tracking, Translation};
use crate::{connection::Endpoints, sample::Sample, state::TcpState};

/// Joins the flows of one namespace's table to the connections of that namespace, one flow at a
/// time, so that a table of millions of forwarded flows takes no room.
///
/// A socket has the addresses of a segment *after* translation when it comes in and *before* it when
/// it goes out. So it has those of the original route where it opened the flow, and those of the
/// reply where the peer did, whatever is translated between.
#[derive(Debug)]
pub struct TrackingJoin<'a> {
    samples: &'a [Sample],
    entries: HashMap<Route, Option<TrackedEntry>>,
    /// `nf_conntrack_tcp_timeout_established`.
    established: Option<Duration>,
    /// At the latest this long ago, tracking saw a segment.
    at_work_ago: Option<Duration>,
}

impl<'a> TrackingJoin<'a> {
    /// For the connections of one namespace; `established` is the namespace's
    /// `nf_conntrack_tcp_timeout_established`, without which nothing is called forgotten.
    pub fn new(samples: &'a [Sample], established: Option<Duration>) -> Self {
        let entries = samples.iter().map(|sample| (route(&sample.endpoints), None)).collect();
        Self { samples, entries, established, at_work_ago: None }
    }

    /// Takes one flow into account.
    pub fn add(&mut self, flow: &TrackedFlow) {
        if let Some(ago) = self.refreshed_ago(flow) {
            self.at_work_ago = Some(self.at_work_ago.map_or(ago, |least| least.min(ago)));
        }
        let (original, reply) = (canonical(flow.original), canonical(flow.reply));
        for (key, opened_by_peer, outside) in [
            (original, false, Translation { local: reply.to, peer: reply.from }),
            (reply, true, Translation { local: original.to, peer: original.from }),
        ] {
            let Some(place) = self.entries.get_mut(&key) else { continue };
            // The same addresses may be tracked in several zones; the default one is the host's own.
            if place.is_some() && flow.zone.is_some() {
                continue;
            }
            let plain = Translation { local: key.from, peer: key.to };
            *place = Some(TrackedEntry {
                state: flow.state,
                remaining: flow.remaining,
                assured: flow.assured,
                offloaded: flow.offloaded,
                opened_by_peer,
                zone: flow.zone,
                translation: (outside != plain).then(|| Box::new(outside)),
            });
        }
    }

    /// What is known of each connection, in the order of the samples.
    pub fn tell(&self) -> Vec<Tracking> {
        let services = self.services();
        self.samples
            .iter()
            .map(|sample| match self.entry(sample) {
                Some(entry) => Tracking::Entry(Box::new(entry.clone())),
                None => match self.tracked_like(sample, &services) {
                    0 => Tracking::NotTracked,
                    others => Tracking::Forgotten { others },
                },
            })
            .collect()
    }

    fn entry(&self, sample: &Sample) -> Option<&TrackedEntry> {
        self.entries.get(&route(&sample.endpoints))?.as_ref()
    }

    /// How many connections to each service have entries. Rules exempt services from tracking, or
    /// interfaces, which have an address of their own: so who is tracked for one address and port
    /// speaks for those who connected to the same.
    fn services(&self) -> HashMap<Service, u32> {
        let mut services = HashMap::new();
        for sample in self.samples.iter().filter(|sample| !sample.endpoints.is_loopback()) {
            if let Some(entry) = self.entry(sample) {
                let ends = route(&sample.endpoints);
                let service = if entry.opened_by_peer {
                    Service::Ours(ends.from)
                } else {
                    Service::Theirs(ends.to)
                };
                *services.entry(service).or_default() += 1;
            }
        }
        services
    }

    /// How many others show that this connection, which has no entry, should have one.
    fn tracked_like(&self, sample: &Sample, services: &HashMap<Service, u32>) -> u32 {
        if sample.endpoints.is_loopback() || !is_open(sample) {
            return 0;
        }
        let at_work_since = |quiet: Duration| self.at_work_ago.is_some_and(|ago| ago <= quiet);
        if !quiet_for(sample).is_some_and(at_work_since) {
            return 0;
        }
        let ends = route(&sample.endpoints);
        let count = |service| services.get(&service).copied().unwrap_or(0);
        // Who opened it is not known without an entry. But a port that a client was given for one
        // connection is no service, so one of the two counts is nought.
        count(Service::Ours(ends.from)).saturating_add(count(Service::Theirs(ends.to)))
    }

    /// At the latest this long ago, a segment of the flow was seen. Every segment sets the life anew,
    /// to this time-out or a shorter one, so the true time is never longer ago.
    fn refreshed_ago(&self, flow: &TrackedFlow) -> Option<Duration> {
        if flow.state != Some(TrackedState::Established) || flow.offloaded == Some(true) {
            return None;
        }
        // A life beyond the time-out comes of a policy for this flow, which cannot be seen.
        self.established?.checked_sub(flow.remaining?)
    }
}

/// The end that was connected to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Service {
    Ours(SocketAddr),
    Theirs(SocketAddr),
}

/// States in which tracking has reason to remember: not before the handshake is over, and not when
/// all is said.
fn is_open(sample: &Sample) -> bool {
    matches!(
        sample.state,
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait1 | TcpState::FinWait2
    ) && !sample.is_mini()
}

/// Since the last segment that the socket knows of.
fn quiet_for(sample: &Sample) -> Option<Duration> {
    let heard = sample.last_heard()?;
    let sent = sample.info.as_ref()?.last_data_sent;
    Some(sent.map_or(heard, |sent| sent.min(heard)))
}

fn route(ends: &Endpoints) -> Route {
    canonical(Route { from: ends.local, to: ends.peer })
}

/// IPv4 in IPv6 sockets is IPv4 on the wire, and tracking knows neither scopes nor flow labels.
fn canonical(route: Route) -> Route {
    let plain = |end: SocketAddr| SocketAddr::new(end.ip().to_canonical(), end.port());
    Route { from: plain(route.from), to: plain(route.to) }
}

#[cfg(test)]
mod tests;
