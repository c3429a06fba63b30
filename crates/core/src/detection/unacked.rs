//! Owns the end of a connection whose data or FIN is not acknowledged, with an owner or without.
//! Read: linux net/ipv4/tcp_timer.c `tcp_retransmit_timer`, `tcp_write_timeout`, `tcp_model_timeout`,
//! `tcp_orphan_retries`, `tcp_clamp_rto_to_user_timeout`; tcp_output.c `tcp_schedule_loss_probe`;
//! RFC 6298 section 5.5, RFC 8985 section 7 (tail loss probe).

use std::time::Duration;

use super::{
    effective::{Effective, Missing},
    firing::{Ends, Firing, ends},
    learns::{AppTold, Cause, PeerTold, Prediction},
    patience::{Course, Patience},
    wheel::{Interval, Phase, Tick},
};
use crate::{
    observation::Observation,
    sample::{KernelTimer, PendingTimer},
    tcp_info::{CongestionState, TcpInfo},
};

/// The peer vanishes now and the application writes: when does the kernel give up?
pub(super) fn after_a_write(
    seen: &Observation,
    patience: &mut Patience,
) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let model = Model::of(seen, &effective, false)?;
    let first = model.first_timeout_after_a_write(seen, &effective)?;
    let Some(course) = model.course() else {
        let firing = Firing::first(first).in_phase(seen.tick.phase_after(model.rto));
        return Ok(model.prediction(firing, model.rto, 0, &effective));
    };
    let ends = patience.ends(course, || {
        let now = Firing::first(Interval::exactly(Duration::ZERO));
        model.ends(now.in_phase(seen.tick.phase_after(model.rto)), model.rto, 0, false)
    });
    Ok(model.predicted(ends.beginning(first).within(seen.tick), &effective))
}

/// Data or a FIN is outstanding: when does the kernel give up, if nothing more comes?
pub(super) fn countdown(seen: &Observation, orphan: bool) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let model = Model::of(seen, &effective, orphan)?;
    let info = info(seen)?;
    let KernelTimer::Retransmit { retransmits, expires_in } = seen.sample.timer else {
        return Err(Missing("no retransmission timer is shown".into()));
    };
    let interval = info.rto.unwrap_or(model.rto);
    let next = seen.tick.firing_armed(expires_in, interval);
    if retransmits == 0 {
        let first = model.first_timeout_pending(seen, info, next);
        let firing = Firing::first(first).in_phase(seen.tick.phase_after(model.rto));
        return Ok(model.prediction(firing, model.rto, 0, &effective));
    }
    let mut running = model.running(seen, info, u32::from(retransmits));
    if let (true, None, Some(heard)) =
        (model.window_shut, model.user_timeout, seen.sample.last_heard())
    {
        // A shrunk window counts from the last acknowledgement (tcp_rtx_probe0_timed_out).
        running = Interval::between(running.min().min(heard), running.max().min(heard));
    }
    let firing = Firing::counting(next, running);
    // A timer clamped to TCP_USER_TIMEOUT was armed for less than the time-out.
    let firing = match model.user_timeout {
        None => firing.in_phase(seen.tick.phase_after(interval)),
        Some(_) => firing,
    };
    Ok(model.prediction(firing, interval, u32::from(retransmits), &effective))
}

/// A window probe fires at `due`, was armed for `armed_for`, and finds room for a part of the next
/// segment: what it sends then is data, unacknowledged like any other (`tcp_write_wakeup`).
pub(super) fn after_a_window_probe(
    seen: &Observation,
    orphan: bool,
    due: Interval,
    armed_for: Duration,
) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let mut model = Model::of(seen, &effective, orphan)?;
    // The back-off is that of the probes, which leaves the time-out as it is.
    model.rto = info(seen)?.rto.unwrap_or(model.rto);
    // No tail loss probe is armed here, so the time-out follows (`tcp_event_new_data_sent`).
    let (timeout, phase) = seen.tick.firing(model.rto, seen.tick.phase_after(armed_for));
    let firing = Firing::first(due.plus(timeout)).in_phase(phase);
    Ok(model.prediction(firing, model.rto, 0, &effective))
}

/// For how long, at the least, time-outs have gone unanswered since the first of this episode.
pub(crate) fn unanswered_for(seen: &Observation) -> Option<Duration> {
    let KernelTimer::Retransmit { retransmits: retransmits @ 1.., .. } = seen.sample.timer else {
        return None;
    };
    let model = Model::of(seen, &Effective::of(seen), false).ok()?;
    Some(model.running(seen, info(seen).ok()?, u32::from(retransmits)).min())
}

/// What tcp_write_timeout decides from.
struct Model {
    /// The retransmission time-out before any back-off.
    rto: Duration,
    rto_max: Duration,
    user_timeout: Option<Duration>,
    /// `tcp_retries2`, or `tcp_orphan_retries` for a connection without an owner.
    retries: u32,
    /// How long that many retries take.
    patience: Duration,
    orphan: bool,
    thin_linear: bool,
    /// The peer shrank its window to nothing under data in flight.
    window_shut: bool,
    tick: Tick,
}

impl Model {
    fn of(seen: &Observation, effective: &Effective<'_>, orphan: bool) -> Result<Self, Missing> {
        let info = info(seen)?;
        let rto_max = effective.rto_max()?;
        let rto = info.rto.ok_or_else(|| Missing("TCP_INFO has no time-out".into()))?;
        let retries = if orphan { effective.orphan_retries()? } else { effective.retries2()? };
        Ok(Self {
            rto: before_backoff(rto, info.backoff.unwrap_or(0), rto_max),
            rto_max,
            user_timeout: effective.user_timeout(),
            retries,
            patience: model_timeout(retries, rto_max),
            orphan,
            thin_linear: effective.thin_linear(),
            window_shut: info.send_window == Some(0) && seen.sample.in_flight() == Some(true),
            tick: seen.tick,
        })
    }

    /// When the first time-out fires after a write into the void: a tail loss probe may come first,
    /// after which the full time-out starts anew.
    fn first_timeout_after_a_write(
        &self,
        seen: &Observation,
        effective: &Effective<'_>,
    ) -> Result<Interval, Missing> {
        let info = info(seen)?;
        let timeout = self.tick.firing(self.rto, Phase::UNKNOWN).0;
        let (with_fewest, with_one) = match info.srtt {
            Some(srtt) => (
                srtt.saturating_mul(2) + TLP_SLACK,
                srtt.saturating_mul(2).saturating_add(effective.rto_min()?),
            ),
            None => (TIMEOUT_INIT, TIMEOUT_INIT),
        };
        let probe = Interval::between(
            with_fewest.min(self.rto),
            self.tick.firing(with_one.min(self.rto), Phase::UNKNOWN).0.max(),
        );
        Ok(match tail_loss_probe(seen, info) {
            Some(true) => probe.plus(timeout),
            Some(false) => timeout,
            None => timeout.hull(probe.plus(timeout)),
        })
    }

    /// When the first time-out fires, given the next firing of a timer that may be a tail loss
    /// probe's or that of RACK.
    fn first_timeout_pending(
        &self,
        seen: &Observation,
        info: &TcpInfo,
        next: Interval,
    ) -> Interval {
        let later = next.plus(self.tick.firing(self.rto, Phase::UNKNOWN).0);
        let sent_again = info.retransmitted_segments.unwrap_or(0) > 0;
        match seen.sample.inside.pending {
            Some(PendingTimer::Retransmission) => return next,
            Some(PendingTimer::LossProbe { again: false }) => return later,
            // The time-out that comes next counts from when the oldest segment was sent.
            Some(PendingTimer::LossProbe { again: true } | PendingTimer::Reordering) => {
                return next.hull(later);
            }
            _ => {}
        }
        match (tail_loss_probe(seen, info), info.congestion) {
            // The probe has been sent: what is pending is the time-out.
            (Some(true), _) if sent_again => next,
            // A single segment, never sent again: the probe is pending. With more than one the
            // probe may have been new data.
            (Some(true), _) if info.unacked_segments == Some(1) => later,
            (Some(false), Some(CongestionState::Loss)) => next,
            (Some(false), _) if !sent_again => next,
            _ => next.hull(later),
        }
    }

    /// Since the kernel began to count: since the first retransmission, given `retransmits` of them.
    fn running(&self, seen: &Observation, info: &TcpInfo, retransmits: u32) -> Interval {
        let tick = seen.tick;
        let episode = info.total_rto_time.filter(|_| info.total_rto_recoveries == Some(1));
        if let Some(time) = seen.sample.inside.retransmitting_for.or(episode) {
            return within_a_tick(time, tick);
        }
        let since_last = info.last_data_sent.unwrap_or(Duration::ZERO);
        let known = self.gaps(self.rto, retransmits);
        let mut most = known.saturating_add(tick.lateness(known)).saturating_add(since_last);
        if info.rto >= Some(self.rto_max) {
            // Once the time-out has reached its cap, the first one can no longer be told from it.
            most = self.rto_max.saturating_mul(retransmits).saturating_add(since_last);
        }
        if let Some(all_episodes) = info.total_rto_time {
            most = most.min(all_episodes.saturating_add(tick.length()));
        }
        let least =
            if info.rto >= Some(self.rto_max) { self.gaps(RTO_BASE, retransmits) } else { known };
        Interval::between(least.saturating_add(since_last).min(most), most)
    }

    /// The sum of the gaps between `retransmits` time-outs that began with `rto`.
    fn gaps(&self, rto: Duration, retransmits: u32) -> Duration {
        let mut gap = rto;
        let mut sum = Duration::ZERO;
        for _ in 1..retransmits {
            gap = gap.saturating_mul(2).min(self.rto_max);
            sum = sum.saturating_add(gap);
        }
        sum
    }

    /// What the walk after a first time-out depends on, if that is no more than the time-outs.
    fn course(&self) -> Option<Course> {
        let is_plain = !self.orphan && !self.thin_linear && !self.window_shut;
        (is_plain && self.user_timeout.is_none()).then_some(Course {
            rto: self.rto,
            rto_max: self.rto_max,
            limit: self.patience,
            tick: self.tick,
        })
    }

    fn prediction(
        &self,
        firing: Firing,
        interval: Duration,
        retransmits: u32,
        effective: &Effective<'_>,
    ) -> Prediction {
        let end = |linear| self.ends(firing, interval, retransmits, linear).within(self.tick);
        let mut within = end(false);
        if self.thin_linear {
            within = within.hull(end(true));
        }
        self.predicted(within, effective)
    }

    fn predicted(&self, within: Interval, effective: &Effective<'_>) -> Prediction {
        let cause = match (self.orphan, self.user_timeout) {
            (_, Some(_)) => Cause::UserTimeout,
            (true, None) => Cause::Orphan,
            (false, None) => Cause::Retransmission,
        };
        Prediction {
            within,
            cause,
            application: if self.orphan { AppTold::Nothing } else { AppTold::TimedOut },
            peer: PeerTold::Nothing,
            assumes: effective.assumptions(),
        }
    }

    /// Walks the firings until one must find its limit passed. `interval` is what the timer of
    /// `firing` was armed for, `retransmits` how many time-outs came before it.
    fn ends(&self, firing: Firing, interval: Duration, retransmits: u32, linear: bool) -> Ends {
        let rto_at = |number: u32| self.rto_after(interval, retransmits, number, linear);
        let limit = |number: u32| {
            // A firing with no retransmission before it only retransmits (retransmits_timed_out).
            (retransmits + number > 0).then(|| self.limit(rto_at(number)))
        };
        ends(firing, self.tick, limit, |number, firing| {
            self.next(firing, rto_at(number + 1), limit(number + 1))
        })
    }

    fn next(&self, firing: Firing, rto: Duration, limit: Option<Duration>) -> Firing {
        let left = |counted: Duration| {
            self.user_timeout.map_or(rto, |timeout| timeout.saturating_sub(counted))
        };
        if let Some(timeout) = self.user_timeout
            && left(firing.counted.min()) <= rto
        {
            return firing.then_at(timeout, self.tick);
        }
        if let Some(firings) = self.idle_firings(firing, rto, limit) {
            let (step, _) = self.tick.firing(rto, self.tick.phase_after(rto));
            let delay = Interval::between(
                step.min().saturating_mul(firings),
                step.max().saturating_mul(firings),
            );
            return firing.then_within(delay, self.tick).in_phase(self.tick.phase_after(rto));
        }
        let least = left(firing.counted.max()).max(self.tick.length());
        if least >= rto {
            firing.then(rto, self.tick)
        } else {
            firing.then_within(Interval::between(least, rto), self.tick)
        }
    }

    /// How many firings, at the cap, are so far from the limit that none can end anything.
    fn idle_firings(&self, firing: Firing, rto: Duration, limit: Option<Duration>) -> Option<u32> {
        if rto < self.rto_max {
            return None;
        }
        let far = limit?.checked_sub(firing.counted.max())?;
        let late = self.tick.firing(rto, Phase::UNKNOWN).0.max();
        // Hardly any limit is that far, and dividing takes longer than multiplying.
        if far < late.saturating_mul(MANY_FIRINGS) {
            return None;
        }
        let firings = u32::try_from(far.as_millis() / late.as_millis().max(1)).ok()?;
        (firings > MANY_FIRINGS).then(|| firings - MANY_FIRINGS / 2)
    }

    /// The time-out that the timer of firing `number` was armed for.
    fn rto_after(
        &self,
        interval: Duration,
        retransmits: u32,
        number: u32,
        linear: bool,
    ) -> Duration {
        let linear_firings = if linear { THIN_RETRIES.saturating_sub(retransmits) } else { 0 };
        if linear && number <= linear_firings && number > 0 {
            return self.rto.min(self.rto_max);
        }
        let doublings = number.saturating_sub(linear_firings);
        let start = if linear && linear_firings > 0 { self.rto } else { interval };
        start.saturating_mul(1 << doublings.min(20)).min(self.rto_max)
    }

    /// How long the kernel counts before it gives up, at a firing whose timer was armed for `rto`.
    fn limit(&self, rto: Duration) -> Duration {
        if self.window_shut && !self.orphan {
            // tcp_rtx_probe0_timed_out: no acknowledgement and no progress for this long.
            let twice = self.rto_max.saturating_mul(2);
            return self.user_timeout.map_or(twice, |timeout| timeout.min(twice));
        }
        if let Some(timeout) = self.user_timeout {
            return timeout;
        }
        if self.orphan && self.retries == 0 && rto < self.rto_max {
            return model_timeout(ORPHAN_RETRIES, self.rto_max);
        }
        self.patience
    }
}

/// tcp_model_timeout: how long `retries` retransmissions would take if the first time-out were 200 ms.
fn model_timeout(retries: u32, rto_max: Duration) -> Duration {
    let ratio = u64::try_from(rto_max.as_millis()).unwrap_or(u64::MAX) / RTO_BASE_MS;
    let threshold = ratio.max(1).ilog2();
    let doubled = |retries: u32| RTO_BASE.saturating_mul((2u32 << retries.min(20)) - 1);
    if retries <= threshold {
        doubled(retries)
    } else {
        doubled(threshold).saturating_add(rto_max.saturating_mul(retries - threshold))
    }
}

/// Whether a tail loss probe comes before the time-out; `None`: cannot be told.
fn tail_loss_probe(seen: &Observation, info: &TcpInfo) -> Option<bool> {
    let allowed = seen.sysctls.early_retransmit.map(|value| value == 3 || value == 4);
    let in_order = info
        .congestion
        .map(|state| matches!(state, CongestionState::Open | CongestionState::WindowReduced));
    match (allowed, info.sack, in_order) {
        (Some(false), _, _) | (_, Some(false), _) | (_, _, Some(false)) => Some(false),
        (Some(true), Some(true), Some(true)) => Some(true),
        _ => None,
    }
}

/// The time-out before it was doubled `backoff` times. At the cap the doublings can no longer be
/// undone, and the least that the kernel ever uses stands in.
fn before_backoff(rto: Duration, backoff: u8, rto_max: Duration) -> Duration {
    match backoff {
        0 => rto,
        _ if rto >= rto_max => RTO_BASE.min(rto_max),
        doublings => rto / 2u32.saturating_pow(u32::from(doublings.min(20))),
    }
}

/// An age that was counted in whole ticks.
pub(super) fn within_a_tick(age: Duration, tick: Tick) -> Interval {
    Interval::between(age.saturating_sub(tick.length()), age.saturating_add(tick.length()))
}

pub(super) fn info(seen: &Observation) -> Result<&TcpInfo, Missing> {
    seen.sample.info.as_ref().ok_or_else(|| Missing("the kernel gave no TCP_INFO".into()))
}

/// TCP_RTO_MIN as a constant: tcp_model_timeout does not follow the sysctl.
const RTO_BASE: Duration = Duration::from_millis(RTO_BASE_MS);
const RTO_BASE_MS: u64 = 200;
/// TCP_TIMEOUT_INIT: the tail loss probe of a connection without a round-trip time.
const TIMEOUT_INIT: Duration = Duration::from_secs(1);
/// TCP_TIMEOUT_MIN: two ticks at 1000 Hz; what the probe waits beyond two round trips when more
/// than one segment is out.
const TLP_SLACK: Duration = Duration::from_millis(2);
/// tcp_orphan_retries: "more than 100 seconds with minimal RTO of 200 msec".
const ORPHAN_RETRIES: u32 = 8;
/// TCP_THIN_LINEAR_RETRIES.
const THIN_RETRIES: u32 = 6;
/// Beyond this many firings without effect the walk leaps; near the limit it goes step by step.
const MANY_FIRINGS: u32 = 1_000;
