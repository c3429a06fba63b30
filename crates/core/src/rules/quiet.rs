//! Judges *quiet*: open, nothing in flight, and the peer has not been heard from lately. Most
//! half-open connections look exactly like this, and so do most healthy idle ones.
//! Owns       nothing but the absence of news.
//! Read       RFC 9293 section 3.5.1; docs/verdicts/quiet.md
//! Refuted by any segment, either way: an answer makes it alive, no answer makes it strain.
//! Proved by  the lab's `book`, with the cable out.

use std::borrow::Cow;

use super::{Case, heard};
use crate::{
    detection::Learns,
    evidence::Evidence,
    remedy::Remedy,
    span::Span,
    state::TcpState,
    tracking::{self, Tracking},
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    if sample.state != TcpState::Established || sample.in_flight() != Some(false) {
        return None;
    }
    let (severity, headline): (_, Cow<'static, str>) = match &case.learns.idle {
        Learns::Never(_) => {
            (Severity::Notice, "idle, keepalive off: if the peer is gone, we never learn it".into())
        }
        _ if matches!(case.seen.tracking, Tracking::Forgotten { .. }) => {
            (Severity::Notice, "idle, and this host's connection tracking has forgotten it".into())
        }
        Learns::Within(prediction) => (
            Severity::Fine,
            format!("idle; keepalive would tell within {}", Span(prediction.within.max())).into(),
        ),
        Learns::Unknown(_) | Learns::NotApplicable(_) => (Severity::Fine, "idle".into()),
    };
    let keepalive_off = case.learns.idle.is_never().then_some(Evidence::KeepaliveOff);
    Some(
        Verdict::new(
            VerdictKind::Quiet,
            severity,
            headline,
            "any segment from the peer, or the lack of an answer to one of ours",
            Evidence::NothingInFlight,
        )
        .and(heard(case).chain(keepalive_off).chain(tracking::evidence(case.seen)))
        .remedy([Remedy::Explain, Remedy::Neighbours]),
    )
}
