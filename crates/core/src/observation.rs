//! Owns what a rule may look at: all that was seen of one connection and of its surroundings.

use std::{sync::Arc, time::Duration};

use crate::{
    detection::Tick, listener::Listener, options::OptionsSeen, options::Sysctls, owner::Owners,
    sample::Sample, tracking::Tracking,
};

/// All that was seen of one connection. What many connections have in common is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the kernel said of the socket.
    pub sample: Sample,
    /// Its options, as far as they were read.
    pub options: OptionsSeen,
    /// The sysctls of its namespace.
    pub sysctls: Arc<Sysctls>,
    /// The kernel's tick, which bounds how late timers fire.
    pub tick: Tick,
    /// Who holds it.
    pub owners: Owners,
    /// The listener that its local end belongs to, if there is one in the same namespace.
    pub listener: Option<Arc<Listener>>,
    /// How other connections to the same peer address fare.
    pub siblings: Siblings,
    /// What connection tracking in its namespace has of it.
    pub tracking: Tracking,
    /// What a test of the connection has shown, if it was tested.
    pub proof: Option<Proof>,
}

/// How the other connections to the same peer address, in the same namespace, fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Siblings {
    /// Connections that heard from the address more recently than this one, by a clear margin.
    pub heard: u32,
    /// Connections with unanswered retransmissions or probes.
    pub unanswered: u32,
}

/// What a test has shown, beyond what the socket itself says. It is later than the sample's idle
/// clocks, which are taken before the first probe, so that a proof never hides how long it was quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The peer answered with RST.
    Reset {
        /// This long before it was seen.
        ago: Duration,
    },
    /// The table of the peer's host, which we could read, lacks the connection.
    PeerTableLacks,
    /// The peer answered a probe.
    Answered {
        /// After this time.
        rtt: Duration,
    },
    /// Spaced probes went unanswered.
    Unanswered {
        /// How many.
        probes: u32,
        /// The shortest time between two of them.
        apart: Duration,
    },
}

/// The few numbers that a user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A peer heard within this time is `alive`; later it is `quiet`.
    pub alive_within: Duration,
    /// Data or connections that our application has left for this long make a connection `blocked`.
    pub unread_after: Duration,
    /// A half-closed connection on which nothing was heard for this long is a problem, not a notice.
    pub half_closed_after: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            // A proof of life older than a minute is history: application heartbeats come every
            // minute or two, and the shortest middlebox time-outs in use are about a minute.
            alive_within: Duration::from_secs(60),
            // Longer than any scheduling delay or garbage collection worth the name.
            unread_after: Duration::from_secs(10),
            // conntrack forgets a half-closed flow after 60 s (nf_conntrack_tcp_timeout_close_wait).
            half_closed_after: Duration::from_secs(60),
        }
    }
}
