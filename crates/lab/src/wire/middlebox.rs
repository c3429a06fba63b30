//! Owns a stateful middlebox as a person states it: what it forgets, when, and what it does then. Plain
//! values; `table.rs` puts them in force, `presets.rs` has the numbers of real ones.
//! Read: RFC 5382 (NAT for TCP), RFC 4787 section 4.3, nf_conntrack-sysctl of the Linux kernel.

use std::time::Duration;

use crate::topology::End;

/// A NAT, firewall or load balancer in the cable. It knows the connections that were there before it, and
/// those whose SYN passes it; it sees what the hosts send before the faults of the link do. Fragments pass by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Middlebox {
    /// A flow is forgotten when nothing has refreshed it for so long; `None`: never.
    pub expire_after: Option<Duration>,
    /// What happens to a flow that is forgotten, or was never known.
    pub then: Then,
    /// What keeps a flow from being forgotten.
    pub refresh: Refresh,
    /// What keepalive probes are to it.
    pub keepalives: Keepalives,
    /// In place of [`Middlebox::expire_after`] once one end has sent FIN, if given.
    pub half_closed_after: Option<Duration>,
    /// How many flows it has room for; the SYN of another one is dropped. `None`: as many as come.
    pub max_flows: Option<usize>,
    /// The end that is behind it: what comes from there is outbound.
    pub inside: End,
}

/// What a middlebox does about a flow that it does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Then {
    /// It drops what comes, silently.
    Drop,
    /// It drops what comes, and answers with RST. Only the one who spoke learns it.
    RstOnPacket,
    /// The same towards the inside alone; what comes from outside is dropped silently.
    RstInside,
    /// It drops what comes, and answers with ICMP: communication administratively prohibited. Linux takes that
    /// for a passing fault: the connection lives on, and only the last error has another name.
    Icmp,
    /// It sends RST to both ends in the moment in which it forgets; what comes later is answered as by
    /// [`Then::RstOnPacket`].
    RstBothNow,
    /// What comes from inside passes with another port, as through a NAT that makes a new mapping: the other
    /// end has no such connection and answers RST, which finds its way back. What comes from outside is
    /// answered with RST by the box itself, whose own kernel has no such connection.
    Leak,
    /// What comes from inside makes the flow known again, as in a firewall that picks connections up
    /// (`nf_conntrack_tcp_loose` at 1); until then it drops what comes from outside.
    PickUp,
    /// The same in a NAT without a firewall: what comes from outside is answered with RST by the box itself,
    /// whose own kernel has no such connection.
    PickUpOrRst,
}

impl Then {
    /// Every one, in an order that stays: recorded inputs choose by it.
    pub(crate) const ALL: [Self; 8] = [
        Self::Drop,
        Self::RstOnPacket,
        Self::RstInside,
        Self::RstBothNow,
        Self::Leak,
        Self::PickUp,
        Self::PickUpOrRst,
        Self::Icmp,
    ];
}

/// What refreshes a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Refresh {
    /// Every frame that passes.
    Any,
    /// SYN, FIN, and bytes of the application; not a bare ACK.
    Data,
    /// Every frame from inside.
    Outbound,
}

/// What keepalive probes and their answers are to a middlebox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Keepalives {
    /// Frames like any other.
    Count,
    /// They pass, and refresh nothing.
    Ignore,
    /// They vanish. A keepalive then ends a connection whose peer lives.
    Drop,
    /// The box answers them itself. A keepalive then finds every peer alive.
    Answer,
}

impl Middlebox {
    /// The box as it is to a flow of which one end has closed; `None` where that makes no difference.
    pub(crate) fn of_half_closed(&self) -> Option<Self> {
        Some(Self { expire_after: Some(self.half_closed_after?), ..*self })
    }
}

impl Default for Middlebox {
    /// A box that knows all flows and forgets none.
    fn default() -> Self {
        Self {
            expire_after: None,
            then: Then::Drop,
            refresh: Refresh::Any,
            keepalives: Keepalives::Count,
            half_closed_after: None,
            max_flows: None,
            inside: End::Left,
        }
    }
}
