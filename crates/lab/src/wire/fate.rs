//! Owns the words for what becomes of a frame on the wire, and why. Decides nothing.
//! Read: `wire.rs` for who decides.

use std::{fmt, time::Duration};

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Fate {
    /// It was given to the other end, or waits to be ([`Marks::held`]).
    Delivered,
    /// It vanished.
    Dropped(Loss),
    /// No host sent it: the wire made it, in the name of the end that it seems to come from.
    Forged(Forgery),
}

/// Why a frame vanished.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Loss {
    /// The cable was cut.
    Cut,
    /// The cable loses frames ([`crate::wire::Link::loss`]), and this was one.
    Chance,
    /// Nothing was plugged in at the other end.
    Unplugged,
    /// The interface at the other end took no frames: down, gone, or its queue full.
    Refused,
    /// The queue before the slow link was full ([`crate::wire::Rate::queue`]), or more was on its way
    /// than a wire holds.
    QueueFull,
    /// It was longer than the path takes ([`crate::wire::Link::mtu`]).
    TooLong,
    /// A [`crate::wire::Filter`] was waiting for it.
    Filtered,
    /// The middlebox knows no such flow (any more).
    Forgotten,
    /// The middlebox has no room for another flow.
    TableFull,
    /// The middlebox eats keepalive probes, or answers them itself.
    Keepalive,
}

/// What the wire made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Forgery {
    /// An RST that the middlebox sends when it forgets a flow.
    ResetAtExpiry,
    /// An RST by which the middlebox answers a frame of a flow that it does not know.
    ResetInAnswer,
    /// An ICMP message by which the middlebox refuses a frame of a flow that it does not know.
    IcmpInAnswer,
    /// An ICMP message that says how long a packet may be ([`crate::wire::Link::tells_mtu`]).
    TooBig,
    /// An ACK by which the middlebox answers a keepalive probe in the peer's name.
    KeepaliveAnswer,
    /// An RST that was asked for ([`crate::wire::Reset`]).
    ResetOnDemand,
    /// A SYN that comes again late, by [`crate::wire::Wire::repeat_syn`].
    SynAgain,
}

/// What is to be said of a frame beside its fate: of one that was delivered, what was done to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Marks {
    /// How long it was held: delay, jitter, the queue. Zero where it passed at once.
    pub held: Duration,
    /// It was held back so that later ones could overtake it.
    pub reordered: bool,
    /// It was delivered twice.
    pub duplicated: bool,
    /// One bit of it was turned over.
    pub corrupted: bool,
    /// The wire made it, whatever then became of it.
    pub forged: bool,
    /// Its addresses were changed, as by a NAT that made a new mapping.
    pub readdressed: bool,
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Delivered => f.write_str("delivered"),
            Self::Dropped(loss) => write!(f, "dropped: {loss}"),
            Self::Forged(forgery) => write!(f, "made by the wire: {forgery}"),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cut => "the cable is cut",
            Self::Chance => "the cable loses frames",
            Self::Unplugged => "nothing is plugged in at the other end",
            Self::Refused => "the interface at the other end takes no frames",
            Self::QueueFull => "the queue is full",
            Self::TooLong => "longer than the path takes",
            Self::Filtered => "a filter waited for it",
            Self::Forgotten => "the middlebox knows no such flow",
            Self::TableFull => "the middlebox has no room for another flow",
            Self::Keepalive => "the middlebox keeps keepalive probes to itself",
        })
    }
}

impl fmt::Display for Forgery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ResetAtExpiry => "RST of the middlebox, which forgets the flow",
            Self::ResetInAnswer => "RST of the middlebox, which knows no such flow",
            Self::IcmpInAnswer => "ICMP of the middlebox, which knows no such flow",
            Self::TooBig => "ICMP that says how long a packet may be",
            Self::KeepaliveAnswer => "ACK of the middlebox in the peer's name",
            Self::ResetOnDemand => "RST that was asked for",
            Self::SynAgain => "SYN that comes again late",
        })
    }
}

impl fmt::Display for Marks {
    /// Nothing where nothing was done, else a list that begins with a comma.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.held.is_zero() {
            write!(f, ", {:.3} ms late", self.held.as_secs_f64() * 1e3)?;
        }
        let said = [
            (self.reordered, ", overtaken"),
            (self.duplicated, ", twice"),
            (self.corrupted, ", one bit turned over"),
            (self.readdressed, ", with another address"),
        ];
        said.iter().filter(|(set, _)| *set).try_for_each(|(_, words)| f.write_str(words))
    }
}
