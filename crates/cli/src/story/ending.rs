//! Owns the telling of the end: when the kernel gives up, by which rule, and what each side is told.
//! Read: docs/glossary.md (detection time), linux net/ipv4/tcp_timer.c `tcp_write_err`.

use halfopen_core::{
    Span,
    detection::{AppTold, DetectionTime, Learns, NeverBecause, PeerTold, Prediction},
};

use super::{Line, text};
use crate::render::escaped;

/// When and how it ends.
pub(super) fn ending(learns: &DetectionTime) -> Vec<Line> {
    let mut lines = Vec::new();
    if let Some(now) = &learns.now {
        lines.push(text(sentence("If the peer stays silent", now)));
    }
    let idle = sentence("If the peer vanished now and nobody wrote", &learns.idle);
    let busy = sentence("If the peer vanished now and our application wrote", &learns.busy);
    match (&learns.idle, &learns.busy) {
        (Learns::NotApplicable(why), Learns::NotApplicable(other)) if why == other => {
            lines.push(text(format!("Idle and busy detection time do not apply: {why}.")));
        }
        _ => lines.extend([text(idle), text(busy)]),
    }
    lines
}

fn sentence(condition: &str, learns: &Learns) -> String {
    match learns {
        Learns::Never(because) => {
            format!("{condition}: our side would never learn: {}.", never(*because))
        }
        Learns::Within(prediction) => format!("{condition}: {}.", told(prediction)),
        Learns::Unknown(why) => format!("{condition}: unknown: {}.", escaped(why)),
        Learns::NotApplicable(why) => format!("{condition}: does not apply: {why}."),
    }
}

const fn never(because: NeverBecause) -> &'static str {
    match because {
        NeverBecause::KeepaliveOff => "keepalive is off, and nothing else asks",
        NeverBecause::PeerHoldsWindowShut => {
            "the peer answers window probes, and may hold its window shut for ever (RFC 9293, 3.8.6.1)"
        }
    }
}

fn told(prediction: &Prediction) -> String {
    let (min, max) = (Span(prediction.within.min()), Span(prediction.within.max()));
    let when = match (min.to_string(), max.to_string()) {
        (min, max) if min == max => format!("after {min}"),
        (min, max) => format!("after {min} to {max}"),
    };
    let application = match prediction.application {
        AppTold::TimedOut => {
            "our application gets ETIMEDOUT (or EHOSTUNREACH, ENETUNREACH if routers said so)"
        }
        AppTold::Nothing => "no application is told",
    };
    let peer = match prediction.peer {
        PeerTold::Reset => "the peer is sent a reset (RST)",
        PeerTold::Nothing => "the peer is sent nothing: if it lives, its end becomes half-open",
    };
    let mut sentence =
        format!("the kernel ends it {when}: {}; {application}, and {peer}", prediction.cause);
    if !prediction.assumes.is_empty() {
        let clauses: Vec<_> = prediction.assumes.iter().map(|one| one.clause()).collect();
        sentence.push_str(&format!(". This holds if {}", clauses.join(", and if ")));
    }
    sentence
}
