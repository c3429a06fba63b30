//! Judges *orphaned*: the process has closed it, and the kernel finishes it alone.
//! Owns       how to tell an orphan from a connection that nobody has accepted yet.
//! Read       RFC 9293 section 3.6; linux net/ipv4/tcp.c `__tcp_close`; docs/verdicts/orphaned.md
//! Refuted by a process that turns out to hold it.
//! Proved by  the lab's trial `orphan`.

use super::{Case, heard};
use crate::{
    detection::is_orphan,
    evidence::Evidence,
    remedy::Remedy,
    sample::KernelTimer,
    state::TcpState,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    if !is_orphan(case.seen) {
        return None;
    }
    let sample = &case.seen.sample;
    let headline = if sample.state == TcpState::FinWait2 {
        "closed by its process; the peer has not closed its side"
    } else {
        "closed by its process; the peer has not acknowledged the end"
    };
    let unanswered = match sample.timer {
        KernelTimer::Retransmit { retransmits: count @ 1.., .. } => {
            Some(Evidence::RetransmissionsUnanswered { count: count.into() })
        }
        KernelTimer::WindowProbe { probes: count @ 2.., .. } => {
            Some(Evidence::WindowProbesUnanswered { count: count.into() })
        }
        _ => None,
    };
    Some(
        Verdict::new(
            VerdictKind::Orphaned,
            Severity::Notice,
            headline,
            "a process that holds it",
            Evidence::NoOwner,
        )
        .and([Evidence::InState(sample.state)])
        .and(unanswered)
        .and(heard(case))
        .remedy([Remedy::Explain, Remedy::EndItUnproved]),
    )
}
