//! Owns the TCP states as Linux numbers them. Read: RFC 9293 section 3.3.2, linux include/net/tcp_states.h.

use std::fmt;

/// The state of a connection, as the kernel reports it in `idiag_state` and `tcpi_state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum TcpState {
    /// ESTABLISHED (1): both directions are open, as far as this host knows.
    Established,
    /// SYN-SENT (2): we asked, nobody has answered.
    SynSent,
    /// SYN-RECEIVED (3, and 12 for a request that has no full socket yet).
    SynReceived,
    /// FIN-WAIT-1 (4): we closed; our FIN is not acknowledged.
    FinWait1,
    /// FIN-WAIT-2 (5): we closed, the peer acknowledged and may still send.
    FinWait2,
    /// TIME-WAIT (6): both closed; old segments are given time to die.
    TimeWait,
    /// CLOSED (7): the kernel has ended the connection; a descriptor may remain.
    Closed,
    /// CLOSE-WAIT (8): the peer closed; our application has not.
    CloseWait,
    /// LAST-ACK (9): both closed; our FIN is not acknowledged.
    LastAck,
    /// LISTEN (10): a listener, not a connection.
    Listen,
    /// CLOSING (11): both closed at once; our FIN is not acknowledged.
    Closing,
    /// A number that this version does not know.
    Other(u8),
}

impl TcpState {
    /// The state that Linux numbers `number` in include/net/tcp_states.h.
    pub const fn from_kernel(number: u8) -> Self {
        match number {
            1 => Self::Established,
            2 => Self::SynSent,
            3 | 12 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Closed,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            other => Self::Other(other),
        }
    }

    /// Our FIN has been sent (or queued), and nobody has acknowledged it.
    pub const fn fin_unacknowledged(self) -> bool {
        matches!(self, Self::FinWait1 | Self::Closing | Self::LastAck)
    }

    /// The name in RFC 9293's spelling, e.g. `CLOSE-WAIT`.
    pub const fn rfc_name(self) -> &'static str {
        match self {
            Self::Established => "ESTABLISHED",
            Self::SynSent => "SYN-SENT",
            Self::SynReceived => "SYN-RECEIVED",
            Self::FinWait1 => "FIN-WAIT-1",
            Self::FinWait2 => "FIN-WAIT-2",
            Self::TimeWait => "TIME-WAIT",
            Self::Closed => "CLOSED",
            Self::CloseWait => "CLOSE-WAIT",
            Self::LastAck => "LAST-ACK",
            Self::Listen => "LISTEN",
            Self::Closing => "CLOSING",
            Self::Other(_) => "UNKNOWN",
        }
    }
}

impl fmt::Display for TcpState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Other(number) => write!(f, "UNKNOWN({number})"),
            named => f.write_str(named.rfc_name()),
        }
    }
}
