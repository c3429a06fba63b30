//! Judges *silent*: spaced probes have gone unanswered; the peer is gone, or the path swallows everything.
//! Owns       how many probes, and how far apart, convict.
//! Read       RFC 9293 sections 3.5.1 and 3.8.4, RFC 1122 section 4.2.3.6; linux net/ipv4/tcp_timer.c; docs/verdicts/silent.md
//! Refuted by any segment from the peer after the first unanswered probe.
//! Proved by  the lab's trials `busy` and `idle-keepalive` (a cable that is cut).

use std::time::Duration;

use super::{Case, heard};
use crate::{
    detection::unanswered_for,
    evidence::Evidence,
    keepalive_count::KeepaliveCount,
    observation::{Observation, Proof},
    remedy::Remedy,
    sample::KernelTimer,
    verdict::{Severity, Verdict, VerdictKind},
};

/// By probes of ours, which came after whatever the sample says was last heard.
pub(super) fn proved(case: Case<'_>) -> Option<Verdict> {
    match case.seen.proof {
        Some(Proof::Unanswered { probes, apart })
            if probes >= PROBES_TO_CONVICT && apart >= PROBES_APART =>
        {
            let evidence = Evidence::ProbesUnanswered { count: probes, apart };
            Some(verdict(case, evidence, Remedy::ProveAndEndIt))
        }
        _ => None,
    }
}

/// By what the kernel itself has sent again and again.
pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    if refuted(case.seen) {
        return None;
    }
    Some(verdict(case, unanswered_probes(case.seen)?, Remedy::EndIt))
}

fn verdict(case: Case<'_>, evidence: Evidence, ends: Remedy) -> Verdict {
    let siblings = case.seen.siblings;
    let (headline, compared) = match (siblings.heard, siblings.unanswered) {
        (1.., _) => (
            "nothing comes back, but others to that address are answered: this path or flow only",
            Some(Evidence::SiblingsHeard { count: siblings.heard }),
        ),
        (0, 1..) => (
            "nothing comes back, nor for others to that address: host or path gone",
            Some(Evidence::SiblingsSilent { count: siblings.unanswered }),
        ),
        (0, 0) => ("nothing comes back: peer gone, or the path swallows everything", None),
    };
    Verdict::new(
        VerdictKind::Silent,
        Severity::Problem,
        headline,
        "any segment from the peer",
        evidence,
    )
    .and(heard(case))
    .and(compared)
    .remedy([Remedy::Explain, Remedy::Neighbours, ends])
}

/// That the kernel's count of keepalive probes would convict, and is not believed. A test of ours comes
/// after the sample, and says more.
pub(super) fn doubted(seen: &Observation) -> Option<Evidence> {
    KeepaliveCount::of(seen).filter(|_| seen.proof.is_none())?.doubted(PROBES_TO_CONVICT)
}

/// The peer was heard after the silence is said to have begun.
fn refuted(seen: &Observation) -> bool {
    matches!(seen.proof, Some(Proof::Answered { .. }))
        || seen.sample.last_heard().is_some_and(|ago| ago < SILENCE_MIN)
}

fn unanswered_probes(seen: &Observation) -> Option<Evidence> {
    match seen.sample.timer {
        KernelTimer::Retransmit { retransmits, .. }
            if u32::from(retransmits) >= PROBES_TO_CONVICT
                && unanswered_for(seen).is_some_and(|time| time >= SILENCE_MIN) =>
        {
            Some(Evidence::RetransmissionsUnanswered { count: retransmits.into() })
        }
        KernelTimer::Keepalive { .. } => {
            let count = KeepaliveCount::of(seen)?.spaced();
            (count >= PROBES_TO_CONVICT).then_some(Evidence::KeepalivesUnanswered { count })
        }
        KernelTimer::WindowProbe { probes, .. } if u32::from(probes) > PROBES_TO_CONVICT => {
            Some(Evidence::WindowProbesUnanswered { count: u32::from(probes) - 1 })
        }
        _ => None,
    }
}

/// Three: one lost probe must never convict, since acknowledgements are not delivered reliably
/// (RFC 1122 section 4.2.3.6).
const PROBES_TO_CONVICT: u32 = 3;
/// A peer answers at most one probe per 500 ms (tcp_invalid_ratelimit): closer ones prove nothing.
const PROBES_APART: Duration = Duration::from_secs(1);
/// Longer than any outage that routing or Wi-Fi repairs unnoticed, shorter than a user's patience.
const SILENCE_MIN: Duration = Duration::from_secs(3);
