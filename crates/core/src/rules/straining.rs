//! Judges *straining*: data or probes are unanswered, and that is not yet proof of anything.
//! Owns       what counts as unanswered at all.
//! Read       RFC 6298 section 5, RFC 9293 section 3.8.3; linux net/ipv4/tcp_timer.c; docs/verdicts/straining.md
//! Refuted by an acknowledgement; becomes `silent` when enough spaced probes have gone unanswered.
//! Proved by  the lab's trial `busy`, in its first seconds.

use super::{Case, heard};
use crate::{
    detection::Learns,
    evidence::Evidence,
    keepalive_count::KeepaliveCount,
    observation::Proof,
    remedy::Remedy,
    sample::KernelTimer,
    span::Span,
    verdict::{Severity, Verdict, VerdictKind},
};

pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let (evidence, what) = unanswered(case)?;
    let ends = match &case.learns.now {
        Some(Learns::Within(prediction)) => {
            format!("; the kernel gives up in {}", Span(prediction.within.max()))
        }
        _ => String::new(),
    };
    Some(
        Verdict::new(
            VerdictKind::Straining,
            Severity::Notice,
            format!("{what}{ends}"),
            "an acknowledgement from the peer",
            evidence,
        )
        .and(heard(case))
        .remedy([Remedy::Explain, Remedy::Neighbours, Remedy::FewerRetries]),
    )
}

fn unanswered(case: Case<'_>) -> Option<(Evidence, &'static str)> {
    let sample = &case.seen.sample;
    if let Some(Proof::Unanswered { probes: count @ 1.., apart }) = case.seen.proof {
        return Some((Evidence::ProbesUnanswered { count, apart }, "probes are not answered"));
    }
    match sample.timer {
        KernelTimer::Retransmit { retransmits: count @ 1.., .. } => Some((
            Evidence::RetransmissionsUnanswered { count: count.into() },
            "data is sent again and again",
        )),
        KernelTimer::Keepalive { .. } => {
            let count = KeepaliveCount::of(case.seen)?.unanswered();
            let evidence = Evidence::KeepalivesUnanswered { count };
            (count > 0).then_some((evidence, "keepalive probes are not answered"))
        }
        KernelTimer::WindowProbe { probes: count @ 2.., .. } => Some((
            Evidence::WindowProbesUnanswered { count: u32::from(count) - 1 },
            "window probes are not answered",
        )),
        _ => fresh_data(case),
    }
}

/// Data in flight to a peer that was not heard lately: it may just have been sent.
fn fresh_data(case: Case<'_>) -> Option<(Evidence, &'static str)> {
    let segments = case.seen.sample.unacked_segments().filter(|&segments| segments > 0)?;
    let stale = case.seen.sample.last_heard()? >= case.thresholds.alive_within;
    stale.then_some((Evidence::Unacknowledged { segments }, "data waits for its first answer"))
}
