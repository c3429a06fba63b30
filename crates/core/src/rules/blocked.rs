//! Judges *blocked*: everybody lives, and one side does not read, or does not accept.
//! Owns       how long unread is too long, and telling a shut window from a silent peer.
//! Read       RFC 9293 section 3.8.6.1; linux net/ipv4/tcp_timer.c `tcp_probe_timer`; docs/verdicts/blocked.md
//! Refuted by a read, an accept() or a window update; a peer that stops answering window probes is not blocked.
//! Proved by  the lab's trial `zero-window` before its cable is cut.

use super::{Case, heard};
use crate::{
    evidence::Evidence,
    remedy::Remedy,
    sample::KernelTimer,
    state::TcpState,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    not_accepted(case).or_else(|| window_shut(case)).or_else(|| not_read(case))
}

/// Nobody has accepted it, and nothing has come from the peer for long enough that somebody should have.
fn not_accepted(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    let open = matches!(sample.state, TcpState::Established | TcpState::CloseWait);
    let listener = case.seen.listener.as_ref().filter(|listener| listener.accept_queue > 0)?;
    let waiting = sample.last_heard()? >= case.thresholds.unread_after || listener.is_full();
    if !open || sample.inode.is_some() || !waiting {
        return None;
    }
    let evidence =
        Evidence::NotAccepted { queue: listener.accept_queue, backlog: listener.backlog };
    Some(verdict(case, Severity::Problem, "our application does not accept() it", evidence))
}

fn window_shut(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    let info = sample.info.as_ref()?;
    let probing = matches!(sample.timer, KernelTimer::WindowProbe { probes: 0..=1, .. });
    let stalled = info.send_window == Some(0)
        && info.unsent_bytes.is_some_and(|bytes| bytes > 0)
        && matches!(sample.timer, KernelTimer::Off | KernelTimer::Keepalive { .. });
    if !probing && !stalled {
        return None;
    }
    let long = info.last_data_sent.is_some_and(|since| since >= case.thresholds.unread_after);
    let severity = if long { Severity::Problem } else { Severity::Notice };
    let evidence = Evidence::WindowClosed { waiting_bytes: sample.send_queue };
    let headline = "the peer lives and does not read: its window is shut";
    Some(verdict(case, severity, headline, evidence))
}

fn not_read(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    // An unread FIN counts as one byte, and belongs to the rule of half-closed.
    let fin = u32::from(sample.state == TcpState::CloseWait);
    let bytes = sample.receive_queue.checked_sub(fin).filter(|&bytes| bytes > 0)?;
    let waiting = sample.info.as_ref()?.last_data_received?;
    if waiting < case.thresholds.unread_after || sample.inode.is_none() {
        return None;
    }
    let evidence = Evidence::NotRead { bytes, waiting };
    Some(verdict(case, Severity::Problem, "our application does not read", evidence))
}

fn verdict(
    case: Case<'_>,
    severity: Severity,
    headline: &'static str,
    evidence: Evidence,
) -> Verdict {
    Verdict::new(
        VerdictKind::Blocked,
        severity,
        headline,
        "a read, an accept() or a window update",
        evidence,
    )
    .and(heard(case))
    .remedy([Remedy::Explain])
    .remedy(Remedy::look_at_owner(case.seen))
}
