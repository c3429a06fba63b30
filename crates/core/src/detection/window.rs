//! Owns the end of a connection whose peer keeps its window shut.
//! Read: RFC 9293 section 3.8.6.1, linux net/ipv4/tcp_timer.c `tcp_probe_timer`,
//! tcp_output.c `tcp_send_probe0`, `tcp_write_wakeup`, `tcp_clamp_probe0_to_user_timeout`; tcp.h `tcp_probe0_when`.

use std::time::Duration;

use super::{
    effective::{Effective, Missing},
    firing::{Firing, first_past},
    learns::{AppTold, Cause, PeerTold, Prediction},
    unacked::{after_a_window_probe, info, within_a_tick},
    wheel::{Interval, Tick},
};
use crate::{observation::Observation, sample::KernelTimer};

/// What ends a connection with a shut window.
pub(super) struct Ends {
    /// The peer answers no more probes from now on.
    pub(super) if_silent: Prediction,
    /// TCP_USER_TIMEOUT, or the lack of an owner, ends it even if the peer answers every probe.
    pub(super) even_if_answered: Option<Prediction>,
}

/// When the kernel gives up on a shut window.
pub(super) fn countdown(seen: &Observation, orphan: bool) -> Result<Ends, Missing> {
    let effective = Effective::of(seen);
    let info = info(seen)?;
    let KernelTimer::WindowProbe { probes, expires_in } = seen.sample.timer else {
        return Err(Missing("no window probe timer is shown".into()));
    };
    let rto = info.rto.ok_or_else(|| Missing("TCP_INFO has no time-out".into()))?;
    let model = Model {
        rto,
        base: rto.max(PROBE_BASE_MIN),
        rto_max: effective.rto_max()?,
        backoff: u32::from(info.backoff.unwrap_or(0)),
        backoff_max: effective.retries2()?,
        probes: u32::from(probes),
        orphan_retries: orphan.then(|| effective.orphan_retries()).transpose()?,
        user_timeout: effective.user_timeout(),
        tick: seen.tick,
    };
    let next = seen.tick.firing_armed(expires_in, model.interval(0));
    // Where all that is unsent would fit, it is not the window that holds it back: no packet leaves the
    // host at all (no route, interface down), and the probe's timer counts as with a shut window.
    let fits = matches!((info.send_window, info.unsent_bytes), (Some(window), Some(unsent)) if (1..=window).contains(&unsent));
    if info.send_window.is_some_and(|bytes| bytes > 0) && !fits {
        // The window is open by less than the next segment needs, and a probe fills that rest.
        let if_silent = after_a_window_probe(seen, orphan, next, model.interval(0))?;
        return Ok(Ends { if_silent, even_if_answered: None });
    }
    let running = if seen.sample.inside.pending.is_some() {
        // The kernel's own count, in whole ticks; without one the next firing starts it.
        seen.sample.inside.window_probed_for.map(|age| within_a_tick(age, seen.tick))
    } else {
        model.running(expires_in, info.receive_window_limited)
    };
    let prediction = |within, cause| Prediction {
        within,
        cause,
        application: if orphan { AppTold::Nothing } else { AppTold::TimedOut },
        peer: PeerTold::Nothing,
        assumes: effective.assumptions(),
    };
    let cause = match (orphan, model.user_timeout) {
        (true, _) => Cause::Orphan,
        (false, Some(_)) => Cause::WindowUserTimeout,
        (false, None) => Cause::WindowProbes,
    };
    let silent = model.end(next, running, true);
    let answered = model.ends_although_answered().then(|| {
        let within = model.end(next, running, false);
        prediction(within, if orphan { Cause::Orphan } else { Cause::WindowUserTimeout })
    });
    // Probes may run out before TCP_USER_TIMEOUT does.
    let cause = match (&answered, cause) {
        (Some(timeout), Cause::WindowUserTimeout) if silent.max() < timeout.within.min() => {
            Cause::WindowProbes
        }
        _ => cause,
    };
    Ok(Ends { if_silent: prediction(silent, cause), even_if_answered: answered })
}

struct Model {
    rto: Duration,
    /// tcp_probe0_base.
    base: Duration,
    rto_max: Duration,
    backoff: u32,
    backoff_max: u32,
    probes: u32,
    /// `Some` if no process owns the connection.
    orphan_retries: Option<u32>,
    user_timeout: Option<Duration>,
    tick: Tick,
}

impl Model {
    /// tcp_probe0_when, `later` probes from now.
    fn interval(&self, later: u32) -> Duration {
        let backoff = self.backoff_after(later).min(PROBE_BACKOFF_MAX);
        self.base.saturating_mul(1 << backoff).min(self.rto_max)
    }

    fn backoff_after(&self, later: u32) -> u32 {
        // The back-off stops at tcp_retries2, but is never lowered to it.
        self.backoff.max(self.backoff.saturating_add(later).min(self.backoff_max))
    }

    /// How long ago the first probe of this shut window was due (icsk_probes_tstamp); `None`: the
    /// next firing is the first. Each probe has doubled the interval, so the back-off tells.
    fn running(&self, expires_in: Duration, window_limited: Option<Duration>) -> Option<Interval> {
        if self.backoff == 0 {
            return None;
        }
        let mut sum = self.interval(0).saturating_sub(expires_in);
        for backoff in 1..self.backoff.min(PROBE_BACKOFF_MAX) {
            sum = sum.saturating_add(self.base.saturating_mul(1 << backoff).min(self.rto_max));
        }
        let late = self.tick.lateness(sum).saturating_add(self.tick.length() * self.backoff);
        let capped = self.backoff >= self.backoff_max || self.backoff >= PROBE_BACKOFF_MAX;
        let most = match window_limited {
            Some(limited) if capped => limited.max(sum.saturating_add(late)),
            _ => sum.saturating_add(late),
        };
        Some(Interval::between(sum.saturating_sub(self.tick.length()), most))
    }

    fn end(&self, next: Interval, running: Option<Interval>, silent: bool) -> Interval {
        let firing = match running {
            Some(running) => Firing::counting(next, running),
            None => Firing::first(next),
        };
        // A timer clamped to TCP_USER_TIMEOUT was armed for less than its interval.
        let firing = match self.user_timeout {
            None => firing.in_phase(self.tick.phase_after(self.interval(0))),
            Some(_) => firing,
        };
        let counts_from = u32::from(running.is_none());
        let limit = |number: u32| {
            let timeout = self.user_timeout.filter(|_| number >= counts_from);
            if self.exhausted(number, silent) { Some(Duration::ZERO) } else { timeout }
        };
        first_past(firing, self.tick, limit, |number, firing| {
            let delay = self.interval(number + 1);
            match self.user_timeout {
                Some(timeout) if timeout.saturating_sub(firing.counted.min()) <= delay => {
                    firing.then_at(timeout, self.tick)
                }
                _ => firing.then(delay, self.tick),
            }
        })
    }

    /// Whether there is a firing that ends the connection however many probes are answered:
    /// TCP_USER_TIMEOUT, or an orphan's back-off, if `tcp_retries2` lets it grow to the cap.
    fn ends_although_answered(&self) -> bool {
        self.user_timeout.is_some() || self.exhausted(u32::from(u8::MAX), false)
    }

    /// Whether a firing ends the connection by the number of its probes.
    fn exhausted(&self, number: u32, silent: bool) -> bool {
        let probes = if silent { self.probes.saturating_add(number) } else { 0 };
        let Some(orphan_retries) = self.orphan_retries else {
            return silent && probes >= self.backoff_max;
        };
        // inet_csk_rto_backoff counts by the time-out itself, not by the probes' base.
        let recent =
            self.rto.saturating_mul(1 << self.backoff_after(number).min(20)) < self.rto_max;
        let retries = if orphan_retries == 0 && recent { ORPHAN_RETRIES } else { orphan_retries };
        (!recent && self.backoff_after(number) >= retries) || probes >= retries
    }
}

/// TCP_RTO_MIN: tcp_probe0_base never uses less.
const PROBE_BASE_MIN: Duration = Duration::from_millis(200);
/// ilog2(TCP_RTO_MAX / TCP_RTO_MIN) + 1, in tcp_probe0_when.
const PROBE_BACKOFF_MAX: u32 = 10;
/// tcp_orphan_retries, for a connection that sent something recently.
const ORPHAN_RETRIES: u32 = 8;
