//! Owns what the wire knows of one TCP connection that passes it: sequence numbers of both directions,
//! who opened it, what has ended. Judges nothing. Read: RFC 9293 section 3.4, RFC 1122 section 4.2.3.6.

use std::net::SocketAddr;

use crate::{frame::Segment, topology::End};

/// A connection, named by its addresses as the left end and the right end have them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FlowKey {
    /// The address and port at the left end.
    pub left: SocketAddr,
    /// The address and port at the right end.
    pub right: SocketAddr,
}

/// What the wire has seen of a connection.
#[derive(Debug, Clone)]
pub(crate) struct Flow {
    /// Who sent the first SYN; `None` where the beginning was not seen.
    pub(super) opened_by: Option<End>,
    left: Side,
    right: Side,
    /// An RST passed.
    pub(super) reset: bool,
}

/// What one end has said.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Side {
    /// The sequence number after the last byte that it sent.
    pub(super) next: Option<u32>,
    /// The last byte that it acknowledged, plus one: its RCV.NXT, but for an acknowledgement that it delays.
    pub(super) acknowledged: Option<u32>,
    /// Its SYN.
    pub(super) first: Option<u32>,
    /// It takes no bytes for the time being.
    window_is_shut: bool,
    /// Its keepalive probe has passed and was not answered since.
    probes: bool,
    /// It has sent FIN.
    pub(super) closed: bool,
    /// The hardware addresses of its frames: destination and source, as they stand in the header.
    pub(super) hardware: Option<[u8; 12]>,
}

/// What a segment is in the life of its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// SYN without ACK.
    Syn,
    /// SYN with ACK.
    SynAck,
    /// The ACK by which the one who opened the connection completes the handshake, without data.
    ThirdAck,
    /// FIN, with or without data.
    Fin,
    /// RST.
    Rst,
    /// A keepalive probe: at most one byte, before the next one, all acknowledged, the window open.
    Keepalive,
    /// The ACK that answers a keepalive probe.
    KeepaliveAnswer,
    /// Bytes of the application.
    Data,
    /// An ACK and nothing else.
    Ack,
}

impl FlowKey {
    /// The connection of a segment that comes from the end `from`.
    pub const fn of(segment: &Segment, from: End) -> Self {
        match from {
            End::Left => Self { left: segment.source, right: segment.destination },
            End::Right => Self { left: segment.destination, right: segment.source },
        }
    }

    /// The address and port at `end`.
    pub const fn at(&self, end: End) -> SocketAddr {
        match end {
            End::Left => self.left,
            End::Right => self.right,
        }
    }

    /// One of its ends has this port.
    pub const fn has_port(&self, port: u16) -> bool {
        self.left.port() == port || self.right.port() == port
    }
}

impl Flow {
    pub(crate) fn new() -> Self {
        let side = Side::default();
        Self { opened_by: None, left: side, right: side, reset: false }
    }

    pub(super) const fn side(&self, end: End) -> &Side {
        match end {
            End::Left => &self.left,
            End::Right => &self.right,
        }
    }

    const fn side_mut(&mut self, end: End) -> &mut Side {
        match end {
            End::Left => &mut self.left,
            End::Right => &mut self.right,
        }
    }

    /// What the segment is, judged by what was seen before it.
    pub(crate) fn kind(&self, segment: &Segment, from: End) -> Kind {
        let Segment { flags, payload, sequence, acknowledgment, .. } = *segment;
        match (flags.rst, flags.syn, flags.fin, acknowledgment) {
            (true, ..) => Kind::Rst,
            (_, true, _, None) => Kind::Syn,
            (_, true, _, Some(_)) => Kind::SynAck,
            (_, _, true, _) => Kind::Fin,
            _ if self.is_keepalive(segment, from) => Kind::Keepalive,
            _ if payload > 0 => Kind::Data,
            // Who probes has completed the handshake, so the one who answers has too.
            _ if self.side(from.other()).probes
                && acknowledgment == self.side(from).acknowledged =>
            {
                Kind::KeepaliveAnswer
            }
            _ if self.is_third_ack(sequence, acknowledgment, from) => Kind::ThirdAck,
            _ => Kind::Ack,
        }
    }

    /// A probe repeats the number before the next one. So does a one-byte segment that is sent again,
    /// which is why all has to be acknowledged, and a probe of a shut window, which is why the window
    /// has to be open.
    fn is_keepalive(&self, segment: &Segment, from: End) -> bool {
        let (own, peer) = (self.side(from), self.side(from.other()));
        segment.payload <= 1
            && segment.acknowledgment.is_some()
            && own.next == Some(segment.sequence.wrapping_add(1))
            && peer.acknowledged == own.next
            && !peer.window_is_shut
    }

    fn is_third_ack(&self, sequence: u32, acknowledgment: Option<u32>, from: End) -> bool {
        let after = |side: &Side| side.first.map(|first| first.wrapping_add(1));
        let (own, peer) = (self.side(from), self.side(from.other()));
        self.opened_by == Some(from)
            && own.next == Some(sequence)
            && after(own) == Some(sequence)
            && acknowledgment.is_some()
            && acknowledgment == after(peer)
    }

    /// Takes note of a segment that passes. `hardware` are the first 12 bytes of its frame.
    pub(crate) fn note(&mut self, segment: &Segment, from: End, hardware: Option<[u8; 12]>) {
        let kind = self.kind(segment, from);
        if kind == Kind::Syn {
            // A new connection may use the ports of an old one; a SYN that comes again changes nothing.
            if self.side(from).first != Some(segment.sequence) {
                *self = Self::new();
            }
            self.opened_by.get_or_insert(from);
        }
        if kind == Kind::Rst {
            self.reset = true;
            return;
        }
        match kind {
            // Both ends may probe at the same time; a probe answers none.
            Kind::Keepalive => self.side_mut(from).probes = true,
            _ => self.side_mut(from.other()).probes = false,
        }
        let side = self.side_mut(from);
        if segment.flags.syn {
            side.first = Some(segment.sequence);
            side.next = None;
        }
        side.next = latest(side.next, Some(segment.next_sequence()));
        side.acknowledged = latest(side.acknowledged, segment.acknowledgment);
        side.window_is_shut = segment.window == 0;
        side.closed |= segment.flags.fin;
        side.hardware = hardware.or(side.hardware);
    }

    /// The number after the last byte that `end` has sent, if it has sent anything.
    pub(crate) const fn next_of(&self, end: End) -> Option<u32> {
        self.side(end).next
    }

    /// The number of the next byte that `end` expects: what it last acknowledged, or, where it has said
    /// nothing yet, what was sent to it.
    pub(crate) fn expected_by(&self, end: End) -> Option<u32> {
        self.side(end).acknowledged.or(self.side(end.other()).next)
    }

    /// How many of its two ends have sent FIN.
    pub(super) fn closed_sides(&self) -> usize {
        End::BOTH.into_iter().filter(|end| self.side(*end).closed).count()
    }
}

/// The later one of two sequence numbers, which wrap (RFC 9293, section 3.4).
const fn latest(one: Option<u32>, other: Option<u32>) -> Option<u32> {
    match (one, other) {
        (Some(old), Some(new)) if new.wrapping_sub(old).cast_signed() < 0 => Some(old),
        (_, Some(new)) => Some(new),
        (one, None) => one,
    }
}

#[cfg(test)]
mod tests;
