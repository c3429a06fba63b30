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

/// How a connection is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Means {
    /// By force: SOCK_DESTROY, which the kernel carries out in any state.
    #[default]
    Destroy,
    /// Gently: shutdown(2) in both directions, as if its application had called it.
    ShutDown,
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
        /// What the peer sees, if it lives. A router that has forgotten the connection need not
        /// pass it on, and the peer's end is then half-open until its own timers end it.
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
    /// A test found its peer there.
    Answered,
    /// There is no connection any more.
    AlreadyOver,
    /// It was to be ended gently, and no process holds a descriptor to do that with.
    NoDescriptor,
}

/// What an application sees of a connection that was ended, measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ApplicationSees {
    /// A blocked or the next call fails with ECONNABORTED, then sending with EPIPE.
    Aborted,
    /// Data that has arrived can still be read; the next call after that fails with ECONNABORTED,
    /// and so does a send before.
    AbortedAfterTheRest,
    /// Reading says end of file as before; the next send fails with ECONNABORTED, even where it
    /// would have failed with EPIPE.
    AbortedOnSend,
    /// accept() still returns it, and then the first call fails with ECONNABORTED.
    AbortedOnceAccepted,
    /// Nobody is left to see anything.
    Nobody,
    /// After what has arrived, reading says end of file; sending fails with EPIPE.
    EndOfFile,
    /// connect() fails with ECONNABORTED.
    NotConnected,
}

/// What a living peer sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PeerSees {
    /// RST: its next call fails with ECONNRESET, after what has arrived is read.
    Reset,
    /// RST, after our end of file: reading still says end of file, sending fails with EPIPE.
    ResetAfterEnd,
    /// Nothing now; a reset once its host sends anything, if only an acknowledgement of its own.
    NothingUntilItSends,
    /// FIN: after what has arrived, reading says end of file; what it sends is acknowledged.
    End,
    /// Nothing: it was told before that nothing more comes.
    NothingNew,
}

impl ApplicationSees {
    /// A stable word for JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Aborted => "aborted",
            Self::AbortedAfterTheRest => "aborted-after-the-rest",
            Self::AbortedOnSend => "aborted-on-send",
            Self::AbortedOnceAccepted => "aborted-once-accepted",
            Self::Nobody => "nobody",
            Self::EndOfFile => "end-of-file",
            Self::NotConnected => "not-connected",
        }
    }
}

impl fmt::Display for ApplicationSees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Aborted => "its next call fails with ECONNABORTED",
            Self::AbortedAfterTheRest => {
                "it can read what has arrived; then its next call fails with ECONNABORTED"
            }
            Self::AbortedOnSend => "its next send fails with ECONNABORTED",
            Self::AbortedOnceAccepted => "accept() still returns it, already ended (ECONNABORTED)",
            Self::Nobody => "no process is left to see it",
            Self::EndOfFile => "reading says end of file, sending fails with EPIPE",
            Self::NotConnected => "its connect() fails with ECONNABORTED",
        })
    }
}

impl PeerSees {
    /// A stable word for JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Reset => "reset",
            Self::ResetAfterEnd => "reset-after-end",
            Self::NothingUntilItSends => "nothing-until-it-sends",
            Self::End => "end",
            Self::NothingNew => "nothing-new",
        }
    }
}

impl fmt::Display for PeerSees {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Reset => {
                "a reset (RST: ECONNRESET), if it lives and no router has forgotten the connection"
            }
            Self::ResetAfterEnd => {
                "a reset (RST: its next send fails with EPIPE), if it lives and no router has \
                 forgotten the connection"
            }
            Self::NothingUntilItSends => {
                "nothing until its host sends a segment (no RST is sent in this state)"
            }
            Self::End => {
                "the end of the stream (FIN), if it lives and no router has forgotten the connection"
            }
            Self::NothingNew => "nothing new (our FIN was sent before)",
        })
    }
}

impl Spared {
    /// A stable word for JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Listener => "listener",
            Self::NotProved(_) => "not-proved",
            Self::Answered => "answered",
            Self::AlreadyOver => "already-over",
            Self::NoDescriptor => "no-descriptor",
        }
    }
}

impl fmt::Display for Spared {
    /// A clause that fits after "spared: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listener => f.write_str("listeners are never ended"),
            Self::NotProved(kind @ VerdictKind::HalfClosed) => write!(
                f,
                "{kind} is no proof of death (--half-closed-over ends it once it is quiet for as \
                 long as you say)"
            ),
            Self::NotProved(VerdictKind::Alive) => {
                f.write_str("its peer was heard lately (--prove tests who was not for a second)")
            }
            Self::NotProved(kind) => write!(
                f,
                "{kind} is no proof of death (--prove tests it first, --unproved ends it all the \
                 same)"
            ),
            Self::Answered => f.write_str("its peer is there: it answered"),
            Self::AlreadyOver => f.write_str("over already"),
            Self::NoDescriptor => f.write_str(
                "no process holds a descriptor of it, which --gentle needs (without --gentle it \
                 can be ended)",
            ),
        }
    }
}

impl Because {
    /// A stable word for JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proved(_) => "proved",
            Self::HalfClosed { .. } => "half-closed",
            Self::Unproved => "unproved",
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

/// Whether a connection with this verdict may be ended by these means.
pub fn sentence(
    seen: &Observation,
    verdict: VerdictKind,
    licence: &Licence,
    means: Means,
) -> Sentence {
    match seen.sample.state {
        TcpState::Listen => return Sentence::Spare(Spared::Listener),
        TcpState::Closed => return Sentence::Spare(Spared::AlreadyOver),
        _ => {}
    }
    let Some(because) = because(seen, verdict, licence) else {
        return Sentence::Spare(Spared::NotProved(verdict));
    };
    let (application, peer) = match means {
        Means::Destroy => (application_aborted(seen), peer_of_destroyed(seen)),
        Means::ShutDown if seen.sample.inode.is_none() => {
            return Sentence::Spare(Spared::NoDescriptor);
        }
        Means::ShutDown => (application_shut_down(seen), peer_of_shut_down(seen)),
    };
    Sentence::End { because, application, peer }
}

/// Since when a connection is half-closed nobody records. But the peer was heard when it closed, or
/// when it acknowledged that we did: the connection is half-closed for at least as long as it is quiet.
fn because(seen: &Observation, verdict: VerdictKind, licence: &Licence) -> Option<Because> {
    if verdict.is_proved() {
        return Some(Because::Proved(verdict));
    }
    let sample = &seen.sample;
    let is_half_closed = matches!(sample.state, TcpState::CloseWait | TcpState::FinWait2)
        && matches!(verdict, VerdictKind::HalfClosed | VerdictKind::Orphaned);
    if let (true, Some(limit), Some(quiet_for)) =
        (is_half_closed, licence.half_closed_over, sample.last_heard())
        && quiet_for >= limit
    {
        return Some(Because::HalfClosed { quiet_for });
    }
    licence.unproved.then_some(Because::Unproved)
}

/// The peer's FIN was taken: reading said, or will say, end of file (SOCK_DONE), whatever comes after.
const fn has_end(state: TcpState) -> bool {
    matches!(state, TcpState::CloseWait | TcpState::LastAck | TcpState::Closing)
}

fn application_aborted(seen: &Observation) -> ApplicationSees {
    let sample = &seen.sample;
    let nobody = is_orphan(seen)
        || sample.is_mini()
        || matches!(sample.state, TcpState::TimeWait | TcpState::SynReceived);
    match (sample.state, sample.inode) {
        _ if nobody => ApplicationSees::Nobody,
        (TcpState::Established | TcpState::CloseWait, None) => ApplicationSees::AbortedOnceAccepted,
        (TcpState::SynSent, _) => ApplicationSees::NotConnected,
        (state, Some(_)) if has_end(state) => ApplicationSees::AbortedOnSend,
        (_, Some(_)) if sample.receive_queue > 0 => ApplicationSees::AbortedAfterTheRest,
        _ => ApplicationSees::Aborted,
    }
}

/// tcp_need_reset: ESTABLISHED, CLOSE-WAIT, FIN-WAIT-1, FIN-WAIT-2 and SYN-RECEIVED of a full socket.
fn peer_of_destroyed(seen: &Observation) -> PeerSees {
    match seen.sample.state {
        _ if seen.sample.is_mini() => PeerSees::NothingUntilItSends,
        // The peer has our FIN, so it is in CLOSE-WAIT, where a reset becomes EPIPE (tcp_reset).
        TcpState::FinWait2 => PeerSees::ResetAfterEnd,
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait1 => PeerSees::Reset,
        _ => PeerSees::NothingUntilItSends,
    }
}

fn application_shut_down(seen: &Observation) -> ApplicationSees {
    match seen.sample.state {
        // There is nothing to shut down yet: the kernel gives the attempt up.
        TcpState::SynSent => ApplicationSees::NotConnected,
        _ => ApplicationSees::EndOfFile,
    }
}

const fn peer_of_shut_down(seen: &Observation) -> PeerSees {
    match seen.sample.state {
        TcpState::Established | TcpState::CloseWait => PeerSees::End,
        TcpState::SynSent => PeerSees::NothingUntilItSends,
        _ => PeerSees::NothingNew,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{established, ms};

    const STRICT: Licence = Licence { half_closed_over: None, unproved: false };

    fn end(seen: &Observation) -> (ApplicationSees, PeerSees) {
        match sentence(seen, VerdictKind::Silent, &STRICT, Means::Destroy) {
            Sentence::End { application, peer, .. } => (application, peer),
            Sentence::Spare(spared) => panic!("spared: {spared}"),
        }
    }

    #[test]
    fn only_the_proved_dead_are_ended_unless_the_user_says_otherwise() {
        let spared = |verdict, licence: &Licence| {
            matches!(sentence(&established(), verdict, licence, Means::Destroy), Sentence::Spare(_))
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
            sentence(&seen, VerdictKind::HalfClosed, &licence, Means::Destroy)
        };
        assert!(matches!(judged(59_999), Sentence::Spare(_)));
        assert!(matches!(judged(60_000), Sentence::End { .. }));
        // Quiet is not half-closed, however long.
        let quiet = established().heard(ms(600_000));
        assert!(matches!(
            sentence(&quiet, VerdictKind::Quiet, &licence, Means::Destroy),
            Sentence::Spare(_)
        ));
    }

    #[test]
    fn a_listener_is_spared_even_without_proof_asked_for() {
        let seen = established().in_state(TcpState::Listen);
        let licence = Licence { unproved: true, half_closed_over: Some(ms(0)) };
        assert_eq!(
            sentence(&seen, VerdictKind::Silent, &licence, Means::Destroy),
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

    #[test]
    fn where_the_end_of_the_stream_was_read_only_sending_fails() {
        for state in [TcpState::CloseWait, TcpState::LastAck, TcpState::Closing] {
            assert_eq!(end(&established().in_state(state)).0, ApplicationSees::AbortedOnSend);
        }
        let fin_wait_2 = established().in_state(TcpState::FinWait2);
        assert_eq!(end(&fin_wait_2), (ApplicationSees::Aborted, PeerSees::ResetAfterEnd));
    }

    #[test]
    fn a_fin_that_is_not_acknowledged_is_no_half_closed_connection() {
        let licence = Licence { half_closed_over: Some(ms(0)), ..STRICT };
        let seen = established().in_state(TcpState::FinWait1).orphaned();
        let judged = sentence(&seen, VerdictKind::Orphaned, &licence, Means::Destroy);
        assert_eq!(judged, Sentence::Spare(Spared::NotProved(VerdictKind::Orphaned)));
    }

    #[test]
    fn gently_needs_a_descriptor_and_sends_the_end_of_the_stream_once() {
        let gently =
            |seen: &Observation| sentence(seen, VerdictKind::Silent, &STRICT, Means::ShutDown);
        let nobody = gently(&established().orphaned());
        assert_eq!(nobody, Sentence::Spare(Spared::NoDescriptor));
        for (state, told) in [
            (TcpState::Established, PeerSees::End),
            (TcpState::CloseWait, PeerSees::End),
            (TcpState::FinWait2, PeerSees::NothingNew),
        ] {
            let Sentence::End { application, peer, .. } = gently(&established().in_state(state))
            else {
                panic!("spared in {state}");
            };
            assert_eq!((application, peer), (ApplicationSees::EndOfFile, told), "{state}");
        }
    }
}
