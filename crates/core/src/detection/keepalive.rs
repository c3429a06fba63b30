//! Owns the end of an idle connection whose keepalive is on, and whether it is on.
//! Read: RFC 9293 section 3.8.4, linux net/ipv4/tcp_timer.c `tcp_keepalive_timer`.

use std::time::Duration;

use super::{
    effective::{Missing, unread},
    firing::{Firing, first_past},
    learns::{AppTold, Assumption, Cause, Learns, NeverBecause, PeerTold, Prediction},
    wheel::{Interval, Tick},
};
use crate::{
    detection::effective::Effective, observation::Observation, sample::KernelTimer, state::TcpState,
};

/// The peer vanishes now with nothing in flight: when does the kernel give up?
pub(super) fn when_idle(seen: &Observation) -> Learns {
    match is_on(seen) {
        Some(false) => Learns::Never(NeverBecause::KeepaliveOff),
        Some(true) => prediction(seen).map_or_else(Learns::from, Learns::Within),
        None => Learns::Unknown(
            "whether keepalive is on: another timer hides it, and its options were not read".into(),
        ),
    }
}

/// Whether keepalive is on. sock_diag shows the keepalive timer only while no other timer runs.
pub fn is_on(seen: &Observation) -> Option<bool> {
    if let Some(on) = seen.options.read().and_then(|options| options.keepalive) {
        return Some(on);
    }
    match seen.sample.timer {
        KernelTimer::Keepalive { .. } => Some(true),
        KernelTimer::Off => Some(false),
        _ => None,
    }
}

/// The times of keepalive in effect: the socket's own, else its namespace's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeepaliveTimes {
    /// From the last thing heard to the first probe (TCP_KEEPIDLE).
    pub idle: Duration,
    /// From one unanswered probe to the next (TCP_KEEPINTVL).
    pub interval: Duration,
    /// Unanswered probes until the end (TCP_KEEPCNT).
    pub probes: u32,
}

impl KeepaliveTimes {
    /// The times in effect for a connection, whether or not keepalive is on; `None` if neither the
    /// socket's options nor its namespace's sysctls were read.
    pub fn of(seen: &Observation) -> Option<Self> {
        times(seen, &Effective::of(seen)).ok()
    }

    /// How many probes keepalive may have sent of itself while nothing was heard for `silence`. Its
    /// timer never fires early, so it may have been fewer, and never more.
    pub(crate) fn probes_in(self, silence: Duration) -> u32 {
        let Some(probing) = silence.checked_sub(self.idle) else { return 0 };
        let apart = self.interval.max(INTERVAL_MIN);
        let intervals = probing.as_nanos() / apart.as_nanos();
        u32::try_from(intervals).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The options and sysctls of keepalive count whole seconds, and no zero.
const INTERVAL_MIN: Duration = Duration::from_secs(1);

fn times(seen: &Observation, effective: &Effective<'_>) -> Result<KeepaliveTimes, Missing> {
    let own = seen.options.read();
    if own.is_none() {
        effective.assume(Assumption::KeepaliveDefaults);
    }
    let sysctls = &seen.sysctls;
    Ok(KeepaliveTimes {
        idle: own
            .and_then(|options| options.keepalive_idle)
            .or(sysctls.keepalive_time)
            .ok_or_else(|| unread("tcp_keepalive_time"))?,
        interval: own
            .and_then(|options| options.keepalive_interval)
            .or(sysctls.keepalive_interval)
            .ok_or_else(|| unread("tcp_keepalive_intvl"))?,
        probes: own
            .and_then(|options| options.keepalive_probes)
            .or(sysctls.keepalive_probes)
            .ok_or_else(|| unread("tcp_keepalive_probes"))?,
    })
}

fn prediction(seen: &Observation) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let times = times(seen, &effective)?;
    let heard = seen
        .sample
        .last_heard()
        .ok_or_else(|| Missing("the kernel does not say when the peer was last heard".into()))?;
    if let (None, KernelTimer::Keepalive { probes: 0, expires_in }) =
        (seen.options.read(), seen.sample.timer)
    {
        // The timer is never armed for longer than TCP_KEEPIDLE, so the defaults are refuted.
        if expires_in > times.idle.saturating_add(seen.tick.length()) {
            return Err(Missing(
                "its keepalive time is longer than the namespace's, and its options were not read"
                    .into(),
            ));
        }
    }
    let user_timeout = effective.user_timeout();
    let (firing, unanswered) = first_probe(seen, times, heard);
    let within = end(firing, unanswered, times, user_timeout, seen.tick);
    Ok(Prediction {
        within,
        cause: if user_timeout.is_some() { Cause::KeepaliveUserTimeout } else { Cause::Keepalive },
        application: AppTold::TimedOut,
        peer: PeerTold::Reset,
        assumes: effective.assumptions(),
    })
}

/// When the next probe goes out, as far as the socket's own options were read; `None` if none goes
/// out, or if its time is not known.
pub(crate) fn next_probe(seen: &Observation) -> Option<Interval> {
    let sample = &seen.sample;
    let sends_probes =
        matches!(sample.state, TcpState::Established | TcpState::CloseWait | TcpState::FinWait2)
            && !sample.is_mini()
            && sample.in_flight() == Some(false);
    if !sends_probes || seen.options.read()?.keepalive != Some(true) {
        return None;
    }
    let times = times(seen, &Effective::of(seen)).ok()?;
    Some(first_probe(seen, times, sample.last_heard()?).0.at)
}

/// The next firing that probes, and how many probes are unanswered before it.
fn first_probe(seen: &Observation, times: KeepaliveTimes, heard: Duration) -> (Firing, u32) {
    let tick = seen.tick;
    // Ages are counted in whole ticks.
    let heard = Interval::between(heard, heard.saturating_add(tick.length()));
    match seen.sample.timer {
        KernelTimer::Keepalive { probes, expires_in }
            if probes > 0 && u32::from(probes) <= times.probes_in(heard.max()) =>
        {
            let at = tick.firing_armed(expires_in, times.interval);
            let counted = times.idle.saturating_add(times.interval.saturating_mul(probes.into()));
            let firing = Firing::counting(at, heard).counting_at_least(counted);
            (firing.in_phase(tick.phase_after(times.interval)), u32::from(probes))
        }
        KernelTimer::Keepalive { probes, expires_in } => {
            // Those that are counted, if any, were tests or came before the peer was heard: they
            // bring the end nearer all the same, and say nothing of when the next one comes.
            let lazy = tick.firing_armed(expires_in, times.idle);
            let firing = Firing::counting(due(lazy, times, heard, tick), heard);
            (firing.counting_at_least(times.idle), u32::from(probes))
        }
        _ => {
            // Another timer hides it, so something is in flight or has just been: once that is
            // settled the peer has just been heard, and the keepalive timer fires at some time
            // before the first probe is due.
            let just_heard = Interval::exactly(Duration::ZERO);
            let lazy = Interval::between(Duration::ZERO, times.idle);
            let firing = Firing::counting(due(lazy, times, just_heard, tick), just_heard);
            (firing.counting_at_least(times.idle), 0)
        }
    }
}

/// A timer that fires before the first probe is due is armed again for what is left.
fn due(lazy: Interval, times: KeepaliveTimes, heard: Interval, tick: Tick) -> Interval {
    let left = |age: Duration| times.idle.saturating_sub(age);
    let (soonest, latest) = (left(heard.max()), left(heard.min()));
    if lazy.min() >= latest {
        return lazy;
    }
    let rearmed_for = latest.saturating_sub(lazy.min());
    let late = tick.lateness(rearmed_for).saturating_add(tick.length());
    Interval::between(lazy.min().max(soonest), lazy.max().max(latest.saturating_add(late)))
}

/// With TCP_USER_TIMEOUT the probe count does not matter; without it the time does not.
fn end(
    firing: Firing,
    unanswered: u32,
    times: KeepaliveTimes,
    user_timeout: Option<Duration>,
    tick: Tick,
) -> Interval {
    let limit = |number: u32| {
        let probes = unanswered.saturating_add(number);
        match user_timeout {
            Some(timeout) => (probes > 0).then_some(timeout),
            None => (probes >= times.probes).then_some(Duration::ZERO),
        }
    };
    first_past(firing, tick, limit, |_, firing| firing.then(times.interval, tick))
}
