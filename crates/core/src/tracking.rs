//! Owns the model of connection tracking: what this host's own netfilter remembers of a connection,
//! and for how long. Tells nothing of boxes elsewhere on the path.
//! Read: linux net/netfilter/nf_conntrack_proto_tcp.c, Documentation/networking/nf_conntrack-sysctl.rst.

mod join;

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use crate::{detection, evidence::Evidence, observation::Observation, verdict::Severity};

pub use join::TrackingJoin;

/// What connection tracking, in the namespace of the socket, has of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tracking {
    /// It has an entry.
    Entry(Box<TrackedEntry>),
    /// It has no entry, although it has entries of other connections of the same service, and was at
    /// work after this connection's last segment. The entry has expired or was flushed, or tracking
    /// began only after that segment: a firewall cannot tell these apart either. A rule that exempts
    /// some peers of a service from tracking, and not others, looks the same.
    Forgotten {
        /// Connections with the same address and port of the side that was connected to, and with an entry.
        others: u32,
    },
    /// It has no entry, and nothing says that there should be one: no rule asks for tracking in this
    /// namespace, a rule exempts the connection, or there is nothing to compare it with.
    NotTracked,
    /// The entries could not be read; the reason fits after "connection tracking not seen: ".
    Unseen(Arc<str>),
}

/// The entry of one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedEntry {
    /// CTA_PROTOINFO_TCP_STATE. `None`: not said, as for flows that a flowtable has taken over.
    pub state: Option<TrackedState>,
    /// CTA_TIMEOUT: the entry's life if no segment passes, in whole seconds, rounded down, when the
    /// entry was read. `None`: not said, as above.
    pub remaining: Option<Duration>,
    /// IPS_ASSURED: both directions were seen, so the entry is not evicted early from a full table.
    pub assured: Option<bool>,
    /// IPS_OFFLOAD or IPS_HW_OFFLOAD: a flowtable forwards it, which keeps the entry alive.
    pub offloaded: Option<bool>,
    /// The first segment that tracking saw came from the peer.
    pub opened_by_peer: bool,
    /// The zone (CTA_ZONE) that the entry is in; `None` is the default zone.
    pub zone: Option<u16>,
    /// What the ends are called on the other side of address translation; `None`: not translated.
    pub translation: Option<Box<Translation>>,
}

/// The ends of a connection as the wire has them, where this host translates addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Translation {
    /// Our end, as the peer has it.
    pub local: SocketAddr,
    /// The peer's end, as it is on the wire.
    pub peer: SocketAddr,
}

/// The state of an entry, as tracking infers it from the segments that pass (`enum tcp_conntrack`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TrackedState {
    /// TCP_CONNTRACK_NONE (0).
    None,
    /// TCP_CONNTRACK_SYN_SENT (1).
    SynSent,
    /// TCP_CONNTRACK_SYN_RECV (2).
    SynReceived,
    /// TCP_CONNTRACK_ESTABLISHED (3).
    Established,
    /// TCP_CONNTRACK_FIN_WAIT (4): a FIN passed.
    FinWait,
    /// TCP_CONNTRACK_CLOSE_WAIT (5): that FIN was acknowledged. Half-closed.
    CloseWait,
    /// TCP_CONNTRACK_LAST_ACK (6): the second FIN passed.
    LastAck,
    /// TCP_CONNTRACK_TIME_WAIT (7): that FIN was acknowledged.
    TimeWait,
    /// TCP_CONNTRACK_CLOSE (8): a reset passed.
    Closed,
    /// TCP_CONNTRACK_SYN_SENT2 (9): both sides opened at once.
    SynSent2,
    /// A number that this version does not know.
    Other(u8),
}

impl TrackedState {
    /// From the kernel's number.
    pub const fn from_kernel(number: u8) -> Self {
        match number {
            0 => Self::None,
            1 => Self::SynSent,
            2 => Self::SynReceived,
            3 => Self::Established,
            4 => Self::FinWait,
            5 => Self::CloseWait,
            6 => Self::LastAck,
            7 => Self::TimeWait,
            8 => Self::Closed,
            9 => Self::SynSent2,
            other => Self::Other(other),
        }
    }
}

impl fmt::Display for TrackedState {
    /// The name that conntrack(8) prints.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::None => "NONE",
            Self::SynSent => "SYN_SENT",
            Self::SynReceived => "SYN_RECV",
            Self::Established => "ESTABLISHED",
            Self::FinWait => "FIN_WAIT",
            Self::CloseWait => "CLOSE_WAIT",
            Self::LastAck => "LAST_ACK",
            Self::TimeWait => "TIME_WAIT",
            Self::Closed => "CLOSE",
            Self::SynSent2 => "SYN_SENT2",
            Self::Other(number) => return write!(f, "UNKNOWN({number})"),
        })
    }
}

/// One TCP entry of the tracking table, which need not belong to a socket of this host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TrackedFlow {
    /// CTA_TUPLE_ORIG: the ends in the first segment that tracking saw, before translation.
    pub original: Route,
    /// CTA_TUPLE_REPLY: the ends in the answers that tracking expects, before they are translated back.
    pub reply: Route,
    /// As [`TrackedEntry::state`].
    pub state: Option<TrackedState>,
    /// As [`TrackedEntry::remaining`].
    pub remaining: Option<Duration>,
    /// As [`TrackedEntry::assured`].
    pub assured: Option<bool>,
    /// As [`TrackedEntry::offloaded`].
    pub offloaded: Option<bool>,
    /// As [`TrackedEntry::zone`].
    pub zone: Option<u16>,
}

/// The two ends in one direction of a tracked flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Route {
    /// The source.
    pub from: SocketAddr,
    /// The destination.
    pub to: SocketAddr,
}

impl Tracking {
    /// The entry, if there is one.
    pub const fn entry(&self) -> Option<&TrackedEntry> {
        match self {
            Self::Entry(entry) => Some(entry),
            _ => None,
        }
    }

    /// Severity is raised to this where tracking has forgotten a connection that is open.
    pub(crate) const fn severity(&self) -> Severity {
        match self {
            Self::Forgotten { .. } => Severity::Notice,
            _ => Severity::Fine,
        }
    }
}

/// What tracking says of a connection that is open, as evidence.
pub(crate) fn evidence(seen: &Observation) -> Option<Evidence> {
    match &seen.tracking {
        Tracking::Forgotten { others } => Some(Evidence::TrackingForgot { others: *others }),
        Tracking::Entry(entry) if entry.offloaded != Some(true) => {
            let expires_in = entry.remaining?;
            let probe_in = detection::next_probe(seen).map(|probe| probe.min());
            // A probe that may still come in time saves the entry, so only a clear case is told.
            Some(match probe_in.filter(|&probe| expires_in.saturating_add(SLACK) <= probe) {
                Some(probe_in) => Evidence::TrackingExpiresBeforeKeepalive {
                    expires_in_s: u32::try_from(expires_in.as_secs()).unwrap_or(u32::MAX),
                    probe_in,
                },
                None => Evidence::TrackingExpires { expires_in },
            })
        }
        Tracking::Entry(_) | Tracking::NotTracked | Tracking::Unseen(_) => None,
    }
}

/// CTA_TIMEOUT is rounded down to seconds, and the table is read up to about a second after the sample.
const SLACK: Duration = Duration::from_secs(2);
