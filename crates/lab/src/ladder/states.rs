//! Owns following the states of a connection at both its ends, from what each sent and what reached it.
//! It knows only the frames: an application that closes without a segment is not seen.
//! Pure. Read: RFC 9293 sections 3.3.2, 3.6 and 3.10.7.

use halfopen_core::TcpState;

use super::State;
use crate::{frame::Segment, topology::End};

/// A connection, as both its ends must see it.
#[derive(Debug, Default)]
pub(super) struct Ends {
    left: Side,
    right: Side,
}

/// One end; without a state where it has none that is known.
#[derive(Debug, Default)]
struct Side {
    state: Option<TcpState>,
    /// The number that acknowledges its FIN.
    fin: Option<u32>,
}

impl Ends {
    /// A segment left `from`. Returns the new states, where they changed.
    pub(super) fn sent(&mut self, segment: &Segment, from: End) -> Option<State> {
        let side = self.side(from);
        let flags = segment.flags;
        let next = match (side.state, segment.acknowledgment) {
            (None, _) if flags.rst => None,
            (_, _) if flags.rst => Some(TcpState::Closed),
            (_, None) if flags.syn => Some(TcpState::SynSent),
            (_, Some(_)) if flags.syn => Some(TcpState::SynReceived),
            (Some(TcpState::Established | TcpState::SynReceived) | None, _) if flags.fin => {
                Some(TcpState::FinWait1)
            }
            (Some(TcpState::CloseWait), _) if flags.fin => Some(TcpState::LastAck),
            // Its beginning was not seen.
            (None, Some(_)) => Some(TcpState::Established),
            _ => None,
        };
        if flags.syn {
            side.fin = None;
        }
        if flags.fin {
            side.fin = Some(segment.next_sequence());
        }
        side.turns(next)
    }

    /// A segment reached `to`, which expects the byte `expected` next, as far as is known.
    pub(super) fn arrived(
        &mut self,
        segment: &Segment,
        to: End,
        expected: Option<u32>,
    ) -> Option<State> {
        let side = self.side(to);
        let state = side.state?;
        let flags = segment.flags;
        if flags.rst {
            let is_aimed = expected.is_none_or(|expected| expected == segment.sequence);
            let ends = is_aimed || state == TcpState::SynSent;
            return side.turns(ends.then_some(TcpState::Closed));
        }
        let fin_is_heard =
            side.fin.is_some_and(|fin| segment.acknowledgment.is_some_and(|ack| ack == fin));
        let next = match state {
            TcpState::SynSent if flags.syn && segment.acknowledgment.is_some() => {
                Some(TcpState::Established)
            }
            TcpState::SynReceived if flags.fin => Some(TcpState::CloseWait),
            TcpState::SynReceived if !flags.syn => Some(TcpState::Established),
            TcpState::Established if flags.fin => Some(TcpState::CloseWait),
            TcpState::FinWait1 if flags.fin && fin_is_heard => Some(TcpState::TimeWait),
            TcpState::FinWait1 if flags.fin => Some(TcpState::Closing),
            TcpState::FinWait1 if fin_is_heard => Some(TcpState::FinWait2),
            TcpState::FinWait2 if flags.fin => Some(TcpState::TimeWait),
            TcpState::Closing if fin_is_heard => Some(TcpState::TimeWait),
            TcpState::LastAck if fin_is_heard => Some(TcpState::Closed),
            _ => None,
        };
        side.turns(next)
    }

    /// The host at `end` has forgotten it.
    pub(super) fn forget(&mut self, end: End) -> Option<State> {
        let side = self.side(end);
        let had = side.state.take().filter(|state| *state != TcpState::Closed);
        side.fin = None;
        had.map(|_| State::Forgotten)
    }

    const fn side(&mut self, end: End) -> &mut Side {
        match end {
            End::Left => &mut self.left,
            End::Right => &mut self.right,
        }
    }
}

impl Side {
    fn turns(&mut self, next: Option<TcpState>) -> Option<State> {
        let next = next.filter(|next| self.state != Some(*next))?;
        self.state = Some(next);
        Some(State::Is(next))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{frame::Frame, wire::tests::frame};

    /// Plays segments that all arrive, and tells the states of both ends at the end.
    fn after(script: &[&str]) -> [Option<TcpState>; 2] {
        let mut ends = Ends::default();
        for line in script {
            let (from, bytes) = frame(line);
            let Frame::Tcp(segment) = Frame::parse(&bytes) else { panic!("no segment") };
            ends.sent(&segment, from);
            ends.arrived(&segment, from.other(), Some(segment.sequence));
        }
        [ends.left.state, ends.right.state]
    }

    #[test]
    fn a_life_goes_through_the_states_of_the_rfc() {
        use TcpState::{
            CloseWait, Closed, Established, FinWait1, FinWait2, LastAck, SynReceived, SynSent,
            TimeWait,
        };
        // The states after each segment.
        let life = [
            ("> S 100", [Some(SynSent), None]),
            ("< S. 300 ack 101", [Some(Established), Some(SynReceived)]),
            ("> . 101 ack 301", [Some(Established), Some(Established)]),
            ("> F. 101 ack 301", [Some(FinWait1), Some(CloseWait)]),
            ("< . 301 ack 102", [Some(FinWait2), Some(CloseWait)]),
            ("< F. 301 ack 102", [Some(TimeWait), Some(LastAck)]),
            ("> . 102 ack 302", [Some(TimeWait), Some(Closed)]),
        ];
        let script: Vec<_> = life.iter().map(|(line, _)| *line).collect();
        for (count, (line, states)) in life.iter().enumerate() {
            assert_eq!(after(&script[..=count]), *states, "after {line}");
        }
    }

    #[test]
    fn an_rst_ends_both_ends_and_a_blind_one_nothing() {
        let open = ["> . 101 ack 301", "< . 301 ack 101"];
        let reset = [&open[..], &["< R 301"]].concat();
        assert_eq!(after(&reset), [Some(TcpState::Closed); 2]);
        let mut ends = Ends::default();
        let (from, bytes) = frame("> . 101 ack 301");
        let Frame::Tcp(segment) = Frame::parse(&bytes) else { panic!("no segment") };
        ends.sent(&segment, from);
        let (_, bytes) = frame("< R 999");
        let Frame::Tcp(blind) = Frame::parse(&bytes) else { panic!("no segment") };
        assert_eq!(ends.arrived(&blind, End::Left, Some(301)), None);
        // An end that has forgotten answers with RST, and stays without a state.
        assert_eq!(ends.sent(&blind, End::Right), None);
    }

    #[test]
    fn what_is_forgotten_is_told_once() {
        let mut ends = Ends::default();
        let (from, bytes) = frame("> . 101 ack 301");
        let Frame::Tcp(segment) = Frame::parse(&bytes) else { panic!("no segment") };
        ends.sent(&segment, from);
        assert_eq!(ends.forget(End::Left), Some(State::Forgotten));
        assert_eq!(ends.forget(End::Left), None);
        assert_eq!(ends.forget(End::Right), None);
    }
}
