//! Owns the filters that lose exactly one kind of segment, for births and deaths of connections, and the
//! orders for an RST. Plain values, and whether a segment is meant. Read: RFC 9293 section 3.5, RFC 5961.

use super::{
    Direction,
    flow::{FlowKey, Kind},
};
use crate::topology::End;

/// Loses each segment of one kind, or the first few, silently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Filter {
    /// What is lost.
    pub loses: Kind,
    /// Where it has to come from.
    pub from: Direction,
    /// Only on connections with this port at one of their ends, if given.
    pub port: Option<u16>,
    /// Only so many, if given; then the filter is worn out.
    pub first: Option<u32>,
}

/// An order to forge an RST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    /// Who receives it. It seems to come from the other end.
    pub to: End,
    /// How well it is aimed.
    pub aim: Aim,
    /// Only on connections with this port at one of their ends, if given; else on all that are open.
    pub port: Option<u16>,
}

/// How well a forged RST is aimed (RFC 5961, section 3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Aim {
    /// At the very byte that the receiver expects: the connection ends.
    Valid,
    /// One byte beside it, in the window: the receiver asks back with a challenge ACK.
    InWindow,
    /// Far outside of any window, as one who guesses would: it is ignored.
    Blind,
}

impl Filter {
    /// Loses every segment of this kind, from both ends.
    pub const fn losing(loses: Kind) -> Self {
        Self { loses, from: Direction::Both, port: None, first: None }
    }

    /// Whether the segment is lost; counts it if so.
    pub(super) fn takes(&mut self, kind: Kind, key: &FlowKey, from: End) -> bool {
        let meant = self.loses == kind
            && self.from.includes(from)
            && self.port.is_none_or(|port| key.has_port(port))
            && self.first != Some(0);
        if meant {
            self.first = self.first.map(|left| left - 1);
        }
        meant
    }
}

impl Aim {
    /// The sequence number for a receiver that expects `expected`.
    pub(super) const fn sequence(self, expected: u32) -> u32 {
        match self {
            Self::Valid => expected,
            Self::InWindow => expected.wrapping_add(1),
            // Half of all numbers lie before what is expected, and no window is a quarter of them.
            Self::Blind => expected.wrapping_sub(1 << 30),
        }
    }
}
