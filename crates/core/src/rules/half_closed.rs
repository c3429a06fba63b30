//! Judges *half-closed*: one direction is closed, the other is not. Legal, and often a leak.
//! Owns       who closed, and who is to act.
//! Read       RFC 9293 section 3.6, RFC 1122 section 4.2.2.13; linux net/ipv4/tcp_input.c `tcp_fin`; docs/verdicts/half-closed.md
//! Refuted by the other side's FIN.
//! Proved by  the lab's trial `half-closed-idle`.

use super::{Case, heard};
use crate::{
    evidence::Evidence,
    remedy::Remedy,
    state::TcpState,
    tracking,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    match case.seen.sample.state {
        TcpState::CloseWait => Some(by_the_peer(case)),
        TcpState::FinWait1 | TcpState::FinWait2 => Some(by_us(case)),
        _ => None,
    }
}

/// Our application is to act: read to the end, finish what it sends, close.
fn by_the_peer(case: Case<'_>) -> Verdict {
    let unread = case.seen.sample.receive_queue;
    let (reading, headline) = match unread {
        0 => {
            (Evidence::EndRead, "the peer closed; our application read the end and has not closed")
        }
        more => (
            Evidence::EndNotRead { bytes: more - 1 },
            "the peer closed; our application has not read the end",
        ),
    };
    // An application that still sends hears acknowledgements; one that has stopped is a leak.
    let severity = if is_old(case) { Severity::Problem } else { Severity::Notice };
    verdict(case, severity, headline, Evidence::PeerClosed)
        .and([reading])
        .remedy(Remedy::look_at_owner(case.seen))
        .remedy([Remedy::EndItUnproved])
}

/// The peer is to act: it may go on sending for as long as it likes.
fn by_us(case: Case<'_>) -> Verdict {
    let acknowledged = case.seen.sample.state == TcpState::FinWait2;
    let headline = match (acknowledged, case.learns.idle.is_never()) {
        (true, true) => "we closed, the peer has not; keepalive is off, so this can last for ever",
        (true, false) => "we closed; the peer may still send",
        (false, _) => "we closed; the peer has not acknowledged it yet",
    };
    let fin = (!acknowledged).then_some(Evidence::FinUnacknowledged);
    verdict(case, Severity::Notice, headline, Evidence::WeClosed).and(fin)
}

fn verdict(
    case: Case<'_>,
    severity: Severity,
    headline: &'static str,
    evidence: Evidence,
) -> Verdict {
    Verdict::new(
        VerdictKind::HalfClosed,
        severity.max(case.seen.tracking.severity()),
        headline,
        "a FIN in the other direction",
        evidence,
    )
    .and(heard(case))
    .and(tracking::evidence(case.seen))
    .remedy([Remedy::Explain])
}

fn is_old(case: Case<'_>) -> bool {
    case.seen.sample.last_heard().is_some_and(|ago| ago >= case.thresholds.half_closed_after)
}
