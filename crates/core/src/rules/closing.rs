//! Judges *closing*: both sides have closed, and the kernel is winding up.
//! Owns       which states need nobody any more.
//! Read       RFC 9293 sections 3.3.2 and 3.6; docs/verdicts/closing.md
//! Refuted by a state in which one side may still send.
//! Proved by  the tests of `crates/sys` that close a connection and see it in TIME-WAIT.

use super::Case;
use crate::{
    evidence::Evidence,
    remedy::Remedy,
    sample::KernelTimer,
    state::TcpState,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    // Without an answer to our FIN the peer may be gone: that is for the rules of silence.
    let unanswered = matches!(sample.timer, KernelTimer::Retransmit { retransmits: 1.., .. });
    let headline = match sample.state {
        TcpState::TimeWait => "closed by both; late segments are given time to die",
        TcpState::Closed => "ended; its process still holds the descriptor",
        TcpState::LastAck | TcpState::Closing if !unanswered => {
            "closed by both; our last FIN is on its way"
        }
        _ => return None,
    };
    Some(
        Verdict::new(
            VerdictKind::Closing,
            Severity::Fine,
            headline,
            "data from either side",
            Evidence::InState(sample.state),
        )
        .remedy([Remedy::Explain]),
    )
}
