//! Judges *alive*: the peer was heard from lately.
//! Owns       what counts as heard. The peer's kernel answers, which says nothing of its application.
//! Read       RFC 9293 section 3.8.4; linux net/ipv4/tcp_input.c `tcp_ack` (rcv_tstamp); docs/verdicts/alive.md
//! Refuted by time: it is as true as its age is small.
//! Proved by  the lab's `book`, in its first step.

use super::Case;
use crate::{
    evidence::Evidence,
    observation::Proof,
    remedy,
    span::Span,
    state::TcpState,
    tracking::{self, Tracking},
    verdict::{Verdict, VerdictKind},
};

/// By a probe, also where one direction is closed or no process holds it: the answer says that the
/// peer still has the connection, and the state says the rest.
pub(super) fn proved(case: Case<'_>) -> Option<Verdict> {
    let Some(Proof::Answered { rtt }) = case.seen.proof else { return None };
    let open = [TcpState::Established, TcpState::CloseWait, TcpState::FinWait2];
    if !open.contains(&case.seen.sample.state) {
        return None;
    }
    Some(verdict(case, Evidence::ProbeAnswered { rtt }, "the peer answered a probe".to_owned()))
}

/// By what it sent of its own accord.
pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    let ago = sample.last_heard().filter(|ago| *ago < case.thresholds.alive_within)?;
    if sample.state != TcpState::Established {
        return None;
    }
    let headline = format!("the peer was heard {} ago", Span(ago));
    Some(verdict(case, Evidence::PeerHeard { ago }, headline))
}

fn verdict(case: Case<'_>, evidence: Evidence, mut headline: String) -> Verdict {
    if matches!(case.seen.tracking, Tracking::Forgotten { .. }) {
        headline.push_str(", but this host's connection tracking has forgotten it");
    }
    Verdict::new(
        VerdictKind::Alive,
        case.seen.tracking.severity(),
        headline,
        "time: nothing says that the peer is there after it was last heard",
        evidence,
    )
    .and(tracking::evidence(case.seen))
    .remedy([remedy::explain(case.seen)])
}
