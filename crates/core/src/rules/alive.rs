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

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    if sample.state != TcpState::Established {
        return None;
    }
    let (evidence, mut headline) = match (case.seen.proof, sample.last_heard()) {
        (Some(Proof::Answered { rtt }), _) => {
            (Evidence::ProbeAnswered { rtt }, "the peer answered a probe".to_owned())
        }
        (_, Some(ago)) if ago < case.thresholds.alive_within => {
            (Evidence::PeerHeard { ago }, format!("the peer was heard {} ago", Span(ago)))
        }
        _ => return None,
    };
    if matches!(case.seen.tracking, Tracking::Forgotten { .. }) {
        headline.push_str(", but this host's connection tracking has forgotten it");
    }
    Some(
        Verdict::new(
            VerdictKind::Alive,
            case.seen.tracking.severity(),
            headline,
            "time: nothing says that the peer is there after it was last heard",
            evidence,
        )
        .and(tracking::evidence(case.seen))
        .remedy([remedy::explain(case.seen)]),
    )
}
