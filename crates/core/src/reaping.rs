//! Owns who may be ended by force, and what everybody then sees. Ends nothing.
//! Read: linux net/ipv4/tcp.c `tcp_abort`, `tcp_need_reset`; RFC 9293 section 3.10.5.

use std::{fmt, time::Duration};

use crate::{
    detection::is_orphan, observation::Observation, state::TcpState, verdict::VerdictKind,
};

/// What the user allows beyond what is proved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Licence {
    /// Half-closed connections on which nothing was heard for longer than this.
    pub half_closed_over: Option<Duration>,
    /// Anything that is selected, proved or not.
    pub unproved: bool,
}

/// Whether one connection may be ended, and how that looks from each side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sentence {
    /// It may be ended.
    End {
        /// What allows it.
        because: Because,
        /// What the application sees.
        application: ApplicationSees,
        /// What the peer sees, if it lives.
        peer: PeerSees,
    },
    /// It is spared.
    Spare(Spared),
}

/// What allows a connection to be ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Because {
    /// It is proved dead.
    Proved(VerdictKind),
    /// It has been half-closed without a word for longer than was given.
    HalfClosed {
        /// Since anything was heard.
        quiet_for: Duration,
    },
    /// The user takes the responsibility.
    Unproved,
}

/// Why a connection is spared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Spared {
    /// Listeners are never ended.
    Listener,
    /// It is not proved dead.
    NotProved(VerdictKind),
    /// There is no connection any more.
    AlreadyOver,
}

/// What an application sees of a connection that was ended (SOCK_DESTROY), measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplicationSees {
    /// A blocked or the next call fails with ECONNABORTED, then sending with EPIPE.
    Aborted,
    /// Data that has arrived can still be read; the next send fails with ECONNABORTED.
    AbortedAfterTheRest,
    /// Reading says end of file as before; the next send fails with ECONNABORTED.
    AbortedOnSend,
    /// accept() still returns it, and then the first call fails with ECONNABORTED.
    AbortedOnceAccepted,
    /// Nobody is left to see anything.
    Nobody,
}

/// What a living peer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerSees {
    /// RST: its next call fails with ECONNRESET.
    Reset,
    /// Nothing now; a reset once it sends something.
    NothingUntilItSends,
}

impl fmt::Display for ApplicationSees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "its next call fails with ECONNABORTED",
            Self::AbortedAfterTheRest => {
                "it can read what has arrived; its next send fails with ECONNABORTED"
            }
            Self::AbortedOnSend => "its next send fails with ECONNABORTED",
            Self::AbortedOnceAccepted => "accept() still returns it, already ended (ECONNABORTED)",
            Self::Nobody => "no process is left to see it",
        })
    }
}

impl fmt::Display for PeerSees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => "a reset (RST), if it lives",
            Self::NothingUntilItSends => "nothing until it sends (no RST is sent in this state)",
        })
    }
}

impl fmt::Display for Spared {
    /// A clause that fits after "spared: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("it is a listener"),
            Self::NotProved(kind) => write!(
                f,
                "it is {kind}, which is no proof of death (`halfopen prove` tests it, --unproved \
                 ends it all the same)"
            ),
            Self::AlreadyOver => f.write_str("it is over already"),
        }
    }
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proved(kind) => write!(f, "proved {kind}"),
            Self::HalfClosed { quiet_for } => {
                write!(f, "half-closed, nothing heard for {}", crate::span::Span(*quiet_for))
            }
            Self::Unproved => f.write_str("not proved; --unproved was given"),
        }
    }
}

/// Whether a connection with this verdict may be ended.
pub fn sentence(seen: &Observation, verdict: VerdictKind, licence: &Licence) -> Sentence {
    let sample = &seen.sample;
    match sample.state {
        TcpState::Listen => return Sentence::Spare(Spared::Listener),
        TcpState::Closed => return Sentence::Spare(Spared::AlreadyOver),
        _ => {}
    }
    let Some(because) = because(seen, verdict, licence) else {
        return Sentence::Spare(Spared::NotProved(verdict));
    };
    Sentence::End { because, application: application_sees(seen), peer: peer_sees(seen) }
}

fn because(seen: &Observation, verdict: VerdictKind, licence: &Licence) -> Option<Because> {
    if verdict.is_proved() {
        return Some(Because::Proved(verdict));
    }
    let quiet_for = seen.sample.last_heard();
    if let (VerdictKind::HalfClosed | VerdictKind::Orphaned, Some(limit), Some(quiet_for)) =
        (verdict, licence.half_closed_over, quiet_for)
        && quiet_for >= limit
    {
        return Some(Because::HalfClosed { quiet_for });
    }
    licence.unproved.then_some(Because::Unproved)
}

fn application_sees(seen: &Observation) -> ApplicationSees {
    let sample = &seen.sample;
    let nobody = is_orphan(seen)
        || sample.is_mini()
        || matches!(sample.state, TcpState::TimeWait | TcpState::SynReceived);
    match (sample.state, sample.inode) {
        _ if nobody => ApplicationSees::Nobody,
        (TcpState::Established | TcpState::CloseWait, None) => ApplicationSees::AbortedOnceAccepted,
        (TcpState::CloseWait, Some(_)) => ApplicationSees::AbortedOnSend,
        (_, Some(_)) if sample.receive_queue > 0 => ApplicationSees::AbortedAfterTheRest,
        _ => ApplicationSees::Aborted,
    }
}

/// tcp_need_reset: ESTABLISHED, CLOSE-WAIT, FIN-WAIT-1, FIN-WAIT-2 and SYN-RECEIVED of a full socket.
fn peer_sees(seen: &Observation) -> PeerSees {
    match seen.sample.state {
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait1 | TcpState::FinWait2
            if !seen.sample.is_mini() =>
        {
            PeerSees::Reset
        }
        _ => PeerSees::NothingUntilItSends,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{established, ms};

    const STRICT: Licence = Licence { half_closed_over: None, unproved: false };

    fn end(seen: &Observation) -> (ApplicationSees, PeerSees) {
        match sentence(seen, VerdictKind::Silent, &STRICT) {
            Sentence::End { application, peer, .. } => (application, peer),
            Sentence::Spare(spared) => panic!("spared: {spared}"),
        }
    }

    #[test]
    fn only_the_proved_dead_are_ended_unless_the_user_says_otherwise() {
        let spared = |verdict, licence: &Licence| {
            matches!(sentence(&established(), verdict, licence), Sentence::Spare(_))
        };
        for verdict in VerdictKind::ALL {
            assert_eq!(spared(verdict, &STRICT), !verdict.is_proved(), "{verdict}");
            assert!(!spared(verdict, &Licence { unproved: true, ..STRICT }), "{verdict}");
        }
    }

    #[test]
    fn a_half_closed_connection_is_ended_at_the_limit_and_not_before() {
        let licence = Licence { half_closed_over: Some(ms(60_000)), ..STRICT };
        let judged = |heard| {
            let seen = established().in_state(TcpState::CloseWait).heard(ms(heard));
            sentence(&seen, VerdictKind::HalfClosed, &licence)
        };
        assert!(matches!(judged(59_999), Sentence::Spare(_)));
        assert!(matches!(judged(60_000), Sentence::End { .. }));
        // Quiet is not half-closed, however long.
        let quiet = established().heard(ms(600_000));
        assert!(matches!(sentence(&quiet, VerdictKind::Quiet, &licence), Sentence::Spare(_)));
    }

    #[test]
    fn a_listener_is_spared_even_without_proof_asked_for() {
        let seen = established().in_state(TcpState::Listen);
        let licence = Licence { unproved: true, half_closed_over: Some(ms(0)) };
        assert_eq!(
            sentence(&seen, VerdictKind::Silent, &licence),
            Sentence::Spare(Spared::Listener)
        );
    }

    #[test]
    fn states_that_send_no_reset_are_told_apart() {
        assert_eq!(end(&established()), (ApplicationSees::Aborted, PeerSees::Reset));
        let mut unread = established();
        unread.sample.receive_queue = 10;
        assert_eq!(end(&unread).0, ApplicationSees::AbortedAfterTheRest);
        let close_wait = established().in_state(TcpState::CloseWait);
        assert_eq!(end(&close_wait), (ApplicationSees::AbortedOnSend, PeerSees::Reset));
        let last_ack = established().in_state(TcpState::LastAck).orphaned();
        assert_eq!(end(&last_ack), (ApplicationSees::Nobody, PeerSees::NothingUntilItSends));
        let waiting = established().orphaned();
        assert_eq!(end(&waiting).0, ApplicationSees::AbortedOnceAccepted);
    }
}
