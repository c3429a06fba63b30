//! Owns detection time: if the peer vanished right now, when would the owner learn it?
//! Reads no clock and no socket. Read: RFC 9293 sections 3.8.3 and 3.8.4, RFC 5880 (the term),
//! linux net/ipv4/tcp_timer.c; docs/detection-time.md.

mod effective;
mod fin_wait2;
mod firing;
mod keepalive;
mod learns;
mod patience;
mod silence;
mod syn;
mod unacked;
mod wheel;
mod window;

pub(crate) use keepalive::next_probe;
pub use keepalive::{KeepaliveTimes, is_on as keepalive_is_on};
pub use learns::{
    AppTold, Assumption, Assumptions, Cause, DetectionTime, Learns, NeverBecause, PeerTold,
    Prediction,
};
pub(crate) use patience::Patience;
pub use silence::silent_for;
pub(crate) use unacked::unanswered_for;
pub use wheel::{Interval, Tick};

use crate::{observation::Observation, sample::KernelTimer, state::TcpState};

/// The detection time of one connection, from all that was seen of it.
pub fn detection_time(seen: &Observation) -> DetectionTime {
    detection_time_by(seen, &mut Patience::default())
}

/// As [`detection_time`], for one connection of many.
pub(crate) fn detection_time_by(seen: &Observation, patience: &mut Patience) -> DetectionTime {
    let now = countdown(seen);
    DetectionTime { idle: when_idle(seen), busy: when_busy(seen, now.as_ref(), patience), now }
}

/// What runs already.
fn countdown(seen: &Observation) -> Option<Learns> {
    let sample = &seen.sample;
    let orphan = is_orphan(seen);
    let ends = |prediction: Result<Prediction, effective::Missing>| {
        Some(prediction.map_or_else(Learns::from, Learns::Within))
    };
    match (sample.state, sample.timer) {
        (TcpState::Listen | TcpState::Closed | TcpState::Other(_), _) => None,
        (_, KernelTimer::TimeWait { .. }) | (TcpState::TimeWait, _) => ends(fin_wait2::mini(seen)),
        (TcpState::SynSent, _) => ends(syn::active(seen)),
        (TcpState::SynReceived, _) => ends(syn::passive(seen)),
        (TcpState::FinWait2, _) if orphan => ends(fin_wait2::full(seen)),
        (_, KernelTimer::Retransmit { .. }) if sample.in_flight() == Some(true) => {
            ends(unacked::countdown(seen, orphan))
        }
        (_, KernelTimer::WindowProbe { probes, .. }) => Some(shut_window(seen, orphan, probes)),
        (_, KernelTimer::Keepalive { probes, .. }) if probes > 0 => {
            Some(keepalive::when_idle(seen))
        }
        _ => None,
    }
}

/// A peer that answers window probes may hold the connection for ever. One probe is usually on
/// its way; two without an answer are a silence.
fn shut_window(seen: &Observation, orphan: bool, probes: u8) -> Learns {
    match window::countdown(seen, orphan) {
        Err(missing) => missing.into(),
        Ok(ends) if probes > 1 => Learns::Within(ends.if_silent),
        // Nobody waits for an orphan, so what is told is how long it lasts if nothing more comes.
        Ok(ends) if orphan && ends.even_if_answered.is_none() => Learns::Within(ends.if_silent),
        // Whether the next probe will be answered is not known: both ends are possible.
        Ok(ends) => ends.even_if_answered.map_or(
            Learns::Never(NeverBecause::PeerHoldsWindowShut),
            |answered| {
                let within = answered.within.hull(ends.if_silent.within);
                Learns::Within(Prediction { within, ..answered })
            },
        ),
    }
}

/// The peer vanishes now, nothing in flight.
fn when_idle(seen: &Observation) -> Learns {
    match seen.sample.state {
        TcpState::Established | TcpState::CloseWait => keepalive::when_idle(seen),
        TcpState::FinWait2 if !is_orphan(seen) && !seen.sample.is_mini() => {
            keepalive::when_idle(seen)
        }
        TcpState::FinWait1 | TcpState::Closing | TcpState::LastAck => {
            Learns::NotApplicable("our FIN is in flight")
        }
        TcpState::SynSent | TcpState::SynReceived => {
            Learns::NotApplicable("it is not established yet")
        }
        _ => Learns::NotApplicable("no process holds it"),
    }
}

/// The peer vanishes now, and the application writes.
fn when_busy(seen: &Observation, now: Option<&Learns>, patience: &mut Patience) -> Learns {
    let sample = &seen.sample;
    match sample.state {
        TcpState::Established | TcpState::CloseWait => match (sample.timer, now) {
            (KernelTimer::WindowProbe { .. }, _) => window::countdown(seen, false)
                .map_or_else(Learns::from, |ends| Learns::Within(ends.if_silent)),
            (KernelTimer::Retransmit { .. }, Some(now)) => now.clone(),
            _ => unacked::after_a_write(seen, patience).map_or_else(Learns::from, Learns::Within),
        },
        TcpState::FinWait1 | TcpState::FinWait2 | TcpState::Closing | TcpState::LastAck => {
            Learns::NotApplicable("we have closed our direction: nothing more can be written")
        }
        TcpState::SynSent | TcpState::SynReceived => {
            Learns::NotApplicable("it is not established yet")
        }
        _ => Learns::NotApplicable("no process holds it"),
    }
}

/// Closed by its process: the kernel finishes it alone. A connection in ESTABLISHED or CLOSE-WAIT
/// without a file is not an orphan: it waits to be accepted, or the kernel itself holds it.
pub(crate) fn is_orphan(seen: &Observation) -> bool {
    let sample = &seen.sample;
    if let Some(orphan) = sample.inside.orphan {
        return orphan;
    }
    let finishing = sample.state.fin_unacknowledged() || matches!(sample.state, TcpState::FinWait2);
    finishing && sample.inode.is_none()
}

#[cfg(test)]
mod tests;
