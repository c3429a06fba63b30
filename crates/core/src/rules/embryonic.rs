//! Judges *embryonic*: the handshake is not finished. Texts on SYN floods call this half-open.
//! Owns       when an unanswered SYN becomes a problem.
//! Read       RFC 9293 section 3.5, RFC 4987; linux net/ipv4/inet_connection_sock.c; docs/verdicts/embryonic.md
//! Refuted by the handshake's next segment.
//! Proved by  the lab's trial `syn-to-a-dead-host`.

use super::Case;
use crate::{
    evidence::Evidence,
    remedy::Remedy,
    sample::KernelTimer,
    state::TcpState,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let retries = match case.seen.sample.timer {
        KernelTimer::Retransmit { retransmits, .. } => u32::from(retransmits),
        _ => 0,
    };
    let (evidence, headline) = match case.seen.sample.state {
        TcpState::SynSent => (Evidence::SynUnanswered { retries }, syn_sent(retries)),
        TcpState::SynReceived => (
            Evidence::HandshakeUnfinished { retries },
            "a SYN came in; the peer has not finished the handshake",
        ),
        _ => return None,
    };
    let stuck = case.seen.sample.state == TcpState::SynSent && retries >= RETRIES_OF_A_PROBLEM;
    let severity = if stuck { Severity::Problem } else { Severity::Notice };
    let verdict = Verdict::new(
        VerdictKind::Embryonic,
        severity,
        headline,
        "the handshake's next segment",
        evidence,
    );
    Some(verdict.remedy([Remedy::Explain, Remedy::Neighbours]))
}

fn syn_sent(retries: u32) -> &'static str {
    if retries == 0 { "connecting" } else { "connecting; the peer does not answer our SYN" }
}

/// Three: as with probes, one lost SYN convicts nobody.
const RETRIES_OF_A_PROBLEM: u32 = 3;
