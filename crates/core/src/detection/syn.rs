//! Owns the end of a connection that is being established, from either side.
//! Read: RFC 9293 section 3.5, RFC 6298 section 2.1, linux net/ipv4/tcp_timer.c `tcp_write_timeout`,
//! inet_connection_sock.c `reqsk_timer_handler`, `syn_ack_recalc`.

use std::time::Duration;

use super::{
    effective::{Effective, Missing, unread},
    firing::{Firing, first_past},
    learns::{AppTold, Cause, PeerTold, Prediction},
    wheel::Interval,
};
use crate::{observation::Observation, sample::KernelTimer};

/// Our SYN is unanswered: when does connect() fail?
pub(super) fn active(seen: &Observation) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let KernelTimer::Retransmit { retransmits, expires_in } = seen.sample.timer else {
        return Err(Missing("no SYN timer is shown".into()));
    };
    let retries = effective.syn_retries()?;
    let linear =
        seen.sysctls.syn_linear_timeouts.ok_or_else(|| unread("tcp_syn_linear_timeouts"))?;
    let rto_max = effective.rto_max()?;
    let user_timeout = effective.user_timeout();
    let gap = |number: u32| {
        let doublings = number.saturating_sub(linear).min(20);
        TIMEOUT_INIT.saturating_mul(1 << doublings).min(rto_max)
    };
    let already = u32::from(retransmits);
    // The count runs from the first SYN: the gaps so far, and what has passed of the pending one.
    let passed = (0..already).map(gap).sum::<Duration>();
    let pending = gap(already).saturating_sub(expires_in);
    let late = (0..already)
        .map(|number| seen.tick.lateness(gap(number)).saturating_add(seen.tick.length()))
        .sum();
    let running = Interval::between(passed + pending, passed + pending + late);
    let next = seen.tick.firing_armed(expires_in, gap(already));
    let time = user_timeout.unwrap_or_else(|| model_timeout(retries, rto_max));
    let limit = |number: u32| {
        let retransmits = already + number;
        let counted_out = retransmits >= retries.saturating_add(linear);
        if counted_out { Some(Duration::ZERO) } else { (retransmits > 0).then_some(time) }
    };
    let first = Firing::counting(next, running).counting_at_least(passed + gap(already));
    let first = match user_timeout {
        None => first.in_phase(seen.tick.phase_after(gap(already))),
        Some(_) => first,
    };
    let within = first_past(first, seen.tick, limit, |number, firing| {
        let delay = gap(already + number + 1);
        match user_timeout {
            Some(timeout) if timeout.saturating_sub(firing.counted.min()) <= delay => {
                firing.then_at(timeout, seen.tick)
            }
            _ => firing.then(delay, seen.tick),
        }
    });
    Ok(Prediction {
        within,
        cause: Cause::Syn,
        application: AppTold::TimedOut,
        peer: PeerTold::Nothing,
        assumes: effective.assumptions(),
    })
}

/// A peer's SYN was answered and the handshake is unfinished: when is the request dropped?
pub(super) fn passive(seen: &Observation) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let KernelTimer::Retransmit { retransmits, expires_in } = seen.sample.timer else {
        return Err(Missing("no SYN-ACK timer is shown".into()));
    };
    let mut retries = effective.synack_retries()?;
    if let Some(seconds) = effective.defer_accept() {
        retries = retries.max(defer_firings(seconds));
    }
    let rto_max = effective.rto_max()?;
    let gap = |number: u32| TIMEOUT_INIT.saturating_mul(1 << number.min(20)).min(rto_max);
    // With TCP_DEFER_ACCEPT the timer also fires without sending anything again.
    let already = u32::from(seen.sample.inside.request_timeouts.unwrap_or(retransmits));
    let next = seen.tick.firing_armed(expires_in, gap(already));
    let first = Firing::first(next).in_phase(seen.tick.phase_after(gap(already)));
    let end = |retries: u32| {
        let limit = |number: u32| (already + number >= retries).then_some(Duration::ZERO);
        first_past(first, seen.tick, limit, |number, firing| {
            firing.then(gap(already + number + 1), seen.tick)
        })
    };
    let mut within = end(retries);
    if under_pressure(seen) {
        // Old requests of a queue more than half full are given fewer retries, down to two.
        within = within.hull(end(retries.min(RETRIES_UNDER_PRESSURE)));
    }
    Ok(Prediction {
        within,
        cause: Cause::SynAck,
        application: AppTold::Nothing,
        peer: PeerTold::Nothing,
        assumes: effective.assumptions(),
    })
}

/// reqsk_timer_handler: `qlen * 2 > max(8, backlog)`; not knowing counts as pressure.
fn under_pressure(seen: &Observation) -> bool {
    seen.listener
        .as_ref()
        .and_then(|listener| Some((listener.embryonic?, listener.backlog)))
        .is_none_or(|(embryonic, backlog)| embryonic.saturating_mul(2) > backlog.max(8))
}

/// secs_to_retrans: how many firings TCP_DEFER_ACCEPT stands for (1, 3, 7, 15, 31 s …).
fn defer_firings(seconds: u32) -> u32 {
    (1..=255).find(|&firings| doubled_seconds(firings - 1) >= u64::from(seconds)).unwrap_or(255)
}

fn doubled_seconds(retries: u32) -> u64 {
    (2u64 << retries.min(40)) - 1
}

/// tcp_model_timeout with a first time-out of one second.
fn model_timeout(retries: u32, rto_max: Duration) -> Duration {
    let threshold = rto_max.as_secs().max(1).ilog2();
    let doubled = |retries: u32| Duration::from_secs(doubled_seconds(retries));
    if retries <= threshold {
        doubled(retries)
    } else {
        doubled(threshold).saturating_add(rto_max.saturating_mul(retries - threshold))
    }
}

/// TCP_TIMEOUT_INIT, RFC 6298 section 2.1.
const TIMEOUT_INIT: Duration = Duration::from_secs(1);
/// reqsk_timer_handler: `while (max_syn_ack_retries > 2)`.
const RETRIES_UNDER_PRESSURE: u32 = 2;
