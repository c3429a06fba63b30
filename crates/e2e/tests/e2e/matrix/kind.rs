//! The kinds of connection: where each stands before anything happens to it, and its row's words.

/// Where the victim's end stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Established,
    CloseWait,
    FinWait2,
    Orphan,
    Unaccepted,
    SynSent,
    SynReceived,
    ZeroWindow,
    DataOutstanding,
    Closing,
    LastAck,
}

impl Kind {
    pub(super) const ALL: [Self; 11] = [
        Self::Established,
        Self::CloseWait,
        Self::FinWait2,
        Self::Orphan,
        Self::Unaccepted,
        Self::SynSent,
        Self::SynReceived,
        Self::ZeroWindow,
        Self::DataOutstanding,
        Self::Closing,
        Self::LastAck,
    ];

    /// The word for its rows.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Established => "established",
            Self::CloseWait => "close-wait",
            Self::FinWait2 => "fin-wait-2",
            Self::Orphan => "orphan",
            Self::Unaccepted => "un-accepted",
            Self::SynSent => "embryonic, ours",
            Self::SynReceived => "embryonic, theirs",
            Self::ZeroWindow => "zero window",
            Self::DataOutstanding => "data outstanding",
            Self::Closing => "closing",
            Self::LastAck => "last-ack",
        }
    }

    /// How it comes there.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Established => "open in both directions, idle",
            Self::CloseWait => "the peer has closed its direction; our application has not",
            Self::FinWait2 => "our application has closed its direction and keeps the descriptor",
            Self::Orphan => {
                "our application has closed the descriptor, the peer has not closed (FIN-WAIT-2)"
            }
            Self::Unaccepted => {
                "ESTABLISHED in the queue of a listener of ours; accept() has not been called"
            }
            Self::SynSent => "our SYN meets a listener whose queue is full (SYN-SENT)",
            Self::SynReceived => {
                "the peer's last acknowledgement of the handshake is lost on the way (SYN-RECEIVED); \
                 it believes to be connected"
            }
            Self::ZeroWindow => "data of ours waits for a peer that does not read",
            Self::DataOutstanding => {
                "our application writes after the peer came to be as the column says, so a peer that \
                 is there has acknowledged it"
            }
            Self::Closing => {
                "both sides have closed at once, and our FIN waits behind data for a peer that does \
                 not read"
            }
            Self::LastAck => {
                "the peer has closed, then our application; our FIN waits behind data for a peer that \
                 does not read"
            }
        }
    }

    /// Data or a FIN waits behind the peer's shut window, so that the kernel probes by itself.
    pub(super) const fn waits_for_window(self) -> bool {
        matches!(self, Self::ZeroWindow | Self::Closing | Self::LastAck)
    }

    /// Our application may still send.
    pub(super) const fn may_send(self) -> bool {
        matches!(self, Self::Established | Self::CloseWait)
    }
}
