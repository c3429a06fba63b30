//! Judges *alive*: the peer was heard from lately.
//! Owns       what counts as heard. The peer's kernel answers, which says nothing of its application.
//! Read       RFC 9293 section 3.8.4; linux net/ipv4/tcp_input.c `tcp_ack` (rcv_tstamp); docs/verdicts/alive.md
//! Refuted by time: it is as true as its age is small.
//! Proved by  the lab's `book`, in its first step.

use std::time::Duration;

use super::{Case, wrapped};
use crate::{
    evidence::Evidence,
    observation::{Observation, Proof, Thresholds},
    remedy::Remedy,
    sample::KernelTimer,
    state::TcpState,
    tracking::{self, Tracking},
    verdict::{Verdict, VerdictKind},
};

/// By a probe, also where one direction is closed or no process holds it: the answer says that the
/// peer still has the connection, and the state says the rest.
pub(super) fn proved(case: Case<'_>) -> Option<Verdict> {
    let Some(Proof::Answered { rtt }) = case.seen.proof else { return None };
    let open = [TcpState::Established, TcpState::CloseWait, TcpState::FinWait2];
    open.contains(&case.seen.sample.state).then(|| verdict(case, Evidence::ProbeAnswered { rtt }))
}

/// By what it sent of its own accord.
pub(super) fn judge(case: Case<'_>) -> Option<Verdict> {
    let sample = &case.seen.sample;
    let ago = sample.last_heard().filter(|ago| *ago < case.thresholds.alive_within)?;
    let doubtful =
        sample.state != TcpState::Established || is_contradicted(case.seen, case.thresholds);
    (!doubtful).then(|| verdict(case, Evidence::PeerHeard { ago }))
}

fn verdict(case: Case<'_>, evidence: Evidence) -> Verdict {
    let refuter = "time: nothing says that the peer is there after it was last heard";
    let severity = case.seen.tracking.severity();
    let verdict = if matches!(case.seen.tracking, Tracking::Forgotten { .. }) {
        let headline = format!("{evidence}, but this host's connection tracking has forgotten it");
        Verdict::new(VerdictKind::Alive, severity, headline, refuter, evidence)
    } else {
        Verdict::by_evidence(VerdictKind::Alive, severity, refuter, evidence)
    };
    verdict.and(wrapped(case)).and(tracking::evidence(case.seen)).remedy([Remedy::Explain])
}

/// The age says that the peer was heard just now, but it may have wrapped, and a keepalive probe waits
/// for its answer: an acknowledgement as young as that would have been none to probe after, and
/// takes the count of probes back to zero (tcp_ack). Data does not always, so it is believed.
fn is_contradicted(seen: &Observation, thresholds: &Thresholds) -> bool {
    let Some(info) = seen.sample.info.as_ref() else { return false };
    let is_probing = matches!(seen.sample.timer, KernelTimer::Keepalive { probes: 1.., .. });
    let young = |age: Option<Duration>, least: Duration| age.is_some_and(|age| age < least);
    let options = seen.options.read();
    let idle = options
        .and_then(|options| options.keepalive_idle)
        .or(seen.sysctls.keepalive_time)
        .unwrap_or_default();
    is_probing
        && seen.last_heard_may_have_wrapped()
        && !young(info.last_data_received, thresholds.alive_within)
        && young(info.last_ack_received, idle)
}
