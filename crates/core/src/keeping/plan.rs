//! Owns the plan for one connection. Read: linux net/ipv4/tcp_timer.c `tcp_keepalive_timer`.

use std::{fmt, sync::Arc, time::Duration};

use super::kept::KeepOptions;
use crate::{
    detection::{DetectionTime, KeepaliveTimes, Tick, detection_time, is_orphan, keepalive_is_on},
    observation::Observation,
    options::{OptionsSeen, SocketOptions},
    sample::KernelTimer,
    span::Span,
    state::TcpState,
};

/// What the user wants of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Objective {
    /// Its owner is to learn within this time that the peer is gone, when idle.
    pub detect_within: Duration,
    /// Some box on the path forgets a flow that is idle for this long: it is to be kept alive.
    pub survive_idle: Option<Duration>,
    /// Also when busy, by TCP_USER_TIMEOUT, with all the harm that this can do.
    pub user_timeout: bool,
}

/// What is to be done about one connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// Its options meet the objective already.
    Met(DetectionTime),
    /// These options would meet it.
    Change(Box<Plan>),
    /// It is left alone.
    Refused(Refusal),
}

/// New options for one connection, and what they bring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// The keepalive times to set, keepalive being turned on.
    pub keepalive: KeepaliveTimes,
    /// TCP_USER_TIMEOUT to set; `None`: left as it is.
    pub user_timeout: Option<Duration>,
    /// The options as they were read, for the way back.
    pub before: SocketOptions,
    /// Detection time with these.
    pub learns_before: DetectionTime,
    /// Detection time with the new ones, by the same rules.
    pub learns_after: DetectionTime,
    /// What it costs: probes an hour while the connection is idle.
    pub probes_per_hour: u32,
    /// What it can do to a healthy connection.
    pub harms: Vec<Harm>,
}

/// What new options can do to a healthy connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Harm {
    /// An outage of the path as long as this, which the connection would have survived while idle, ends it.
    OutageEndsIt {
        /// From the first probe to the end.
        after: Duration,
    },
    /// The busy value stays as it is: keepalive does not run while data is unacknowledged.
    BusyStays,
    /// TCP_USER_TIMEOUT ends connections to peers that live and do not read.
    EndsUnreadingPeers,
    /// TCP_USER_TIMEOUT must not be below the time for which the connection has been idle, so it is
    /// not set yet, and the busy value stays as it is.
    IdleTooLongForUserTimeout {
        /// For how long it has been idle.
        idle: Duration,
    },
    /// The TCP_USER_TIMEOUT that the application has set lets fewer lost probes end it.
    FewerProbesDecide {
        /// That TCP_USER_TIMEOUT.
        timeout: Duration,
    },
    /// TCP_USER_TIMEOUT makes the count of keepalive probes meaningless: time alone decides.
    ProbeCountOverridden,
    /// Connection tracking forgets half-closed flows after a minute: the first probe comes later.
    HalfClosedForgotten,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutageEndsIt { after } => write!(
                f,
                "an outage of {} while it is idle ends it; so far it would have survived",
                Span(*after)
            ),
            Self::BusyStays => f.write_str(
                "with data unacknowledged nothing changes: keepalive does not run then \
                 (--user-timeout bounds that too)",
            ),
            Self::EndsUnreadingPeers => {
                f.write_str("TCP_USER_TIMEOUT ends connections to peers that live and do not read")
            }
            Self::IdleTooLongForUserTimeout { idle } => write!(
                f,
                "TCP_USER_TIMEOUT is not set yet: it must not be below the {} for which the peer \
                 has not been heard; do this again once it has answered the first probe",
                Span(*idle)
            ),
            Self::FewerProbesDecide { timeout } => write!(
                f,
                "the application has set TCP_USER_TIMEOUT to {}: fewer than {PROBES} lost probes \
                 end it",
                Span(*timeout)
            ),
            Self::ProbeCountOverridden => f.write_str(
                "with TCP_USER_TIMEOUT the number of probes no longer counts, only time",
            ),
            Self::HalfClosedForgotten => f.write_str(
                "firewalls forget half-closed flows after about a minute, before the first probe",
            ),
        }
    }
}

/// Why a connection is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Refusal {
    /// Only open connections can be kept.
    NotOpen(TcpState),
    /// No process holds it. Setting keepalive would overwrite the timer that is to end it.
    Orphan,
    /// It waits in a listener's queue: no process has a descriptor of it yet, by which its options
    /// could be read and put back.
    NotAccepted,
    /// Its options were not read, so they could not be put back.
    OptionsUnread,
    /// `prove` asks its peer just now, with options that are there for some milliseconds only.
    BeingProbed,
    /// Both ends are on this host: no path can lose the peer, and many probes at once overflow the
    /// loopback's own backlog (`--loopback` includes them).
    Loopback,
    /// The kernel's timers are too coarse, or TCP_KEEPIDLE and TCP_KEEPINTVL, whole seconds, are.
    TooShort {
        /// The least that can be promised.
        least: Duration,
    },
    /// These very options are set already, and no others would bring it nearer to the objective now.
    NothingBetter,
    /// More connections than can be probed from one timer slot without losing probes.
    TooMany {
        /// How many there can be with this objective.
        most: usize,
    },
}

impl fmt::Display for Refusal {
    /// A clause that fits after "left alone: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotOpen(state) => write!(f, "{state} is not an open connection"),
            Self::Orphan => f.write_str("no process holds it; its timer is what ends it"),
            Self::NotAccepted => f.write_str(
                "it waits to be accepted, and no process has a descriptor of it yet; do this again \
                 then",
            ),
            Self::OptionsUnread => f.write_str(
                "its options could not be read, so they could not be put back (run as root)",
            ),
            Self::BeingProbed => {
                f.write_str("another run of halfopen is probing it just now; do this again")
            }
            Self::Loopback => {
                f.write_str("both ends are on this host; --loopback includes such connections")
            }
            Self::TooShort { least } => {
                write!(f, "no options can promise that; {} can be promised", Span(*least))
            }
            Self::NothingBetter => f.write_str(
                "the objective is not met, but no other options would bring it nearer now",
            ),
            Self::TooMany { most } => write!(
                f,
                "so many probes at once would overflow the host's own backlog and end healthy \
                 connections; at most {most} can be kept so, or raise net.core.netdev_max_backlog"
            ),
        }
    }
}

/// The plan for one connection. `longest_wait` bounds the wait for the first probe where many
/// connections must not probe at once ([`super::Spread`]).
pub fn plan(seen: &Observation, objective: &Objective, longest_wait: Option<Duration>) -> Planned {
    if let Some(refusal) = refusal(seen) {
        return Planned::Refused(refusal);
    }
    let Some(before) = seen.options.read().cloned() else {
        let is_held = seen.sample.inode.is_some();
        let refusal = if is_held { Refusal::OptionsUnread } else { Refusal::NotAccepted };
        return Planned::Refused(refusal);
    };
    if KeepOptions::of(&before).is_some_and(KeepOptions::is_a_shot) {
        return Planned::Refused(Refusal::BeingProbed);
    }
    let learns_before = detection_time(seen);
    if meets(seen, &learns_before, objective) {
        return Planned::Met(learns_before);
    }
    let Some(mut keepalive) = times(seen.tick, objective) else {
        return Planned::Refused(Refusal::TooShort { least: least_at(seen.tick) });
    };
    keepalive.idle = longest_wait.map_or(keepalive.idle, |most| keepalive.idle.min(most));
    let user_timeout = user_timeout(seen, objective, keepalive);
    let learns_after = detection_time(&with(seen, keepalive, user_timeout));
    let plan = Plan {
        keepalive,
        user_timeout,
        before,
        learns_before,
        learns_after,
        probes_per_hour: probes_per_hour(keepalive),
        harms: harms(seen, objective, keepalive, user_timeout),
    };
    Planned::Change(Box::new(plan))
}

fn refusal(seen: &Observation) -> Option<Refusal> {
    let open = matches!(
        seen.sample.state,
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait2
    );
    if is_orphan(seen) {
        return Some(Refusal::Orphan);
    }
    (!open || seen.sample.is_mini()).then_some(Refusal::NotOpen(seen.sample.state))
}

fn meets(seen: &Observation, learns: &DetectionTime, objective: &Objective) -> bool {
    let within = |learns: &crate::detection::Learns| {
        learns.within().is_some_and(|within| within.max() <= objective.detect_within)
    };
    let survives = objective.survive_idle.is_none_or(|forgets| {
        keepalive_is_on(seen) == Some(true)
            && KeepaliveTimes::of(seen)
                .is_some_and(|times| times.idle + seen.tick.lateness(times.idle) < forgets)
    });
    within(&learns.idle) && survives && (!objective.user_timeout || within(&learns.busy))
}

/// The keepalive times that bring an objective on a system whose timers fire as late as `tick` says:
/// what [`plan`] sets, for programs that set it on connections of their own.
///
/// # Errors
/// [`Refusal::TooShort`], with the least that can be promised.
pub fn keepalive_for(tick: Tick, objective: &Objective) -> Result<KeepaliveTimes, Refusal> {
    times(tick, objective).ok_or_else(|| Refusal::TooShort { least: least_at(tick) })
}

/// The keepalive times that meet an objective; `None` if it is too short for whole seconds and the
/// lateness of the kernel's timers.
///
/// Three probes: one lost one must not end a connection. They take half of the objective, the wait
/// for the first takes the rest, less what the kernel's timers may be late.
pub fn times(tick: Tick, objective: &Objective) -> Option<KeepaliveTimes> {
    let interval = (objective.detect_within / 2 / PROBES).as_secs().clamp(1, INTERVAL_MAX_S);
    let interval = Duration::from_secs(interval);
    let late = tick.lateness(objective.detect_within)
        + (tick.lateness(interval) + tick.length()) * (PROBES + 1);
    let rest = objective.detect_within.checked_sub(interval * PROBES + late)?;
    let mut idle = rest;
    if let Some(forgets) = objective.survive_idle {
        // One probe may be lost, and the next must still come in time.
        idle = idle.min(forgets.checked_sub(interval + tick.lateness(forgets))?);
    }
    let idle = Duration::from_secs(idle.as_secs().min(IDLE_MAX_S));
    (idle >= Duration::from_secs(1)).then_some(KeepaliveTimes { idle, interval, probes: PROBES })
}

/// One second to the first probe, one between probes, and what the timers may be late.
pub(super) fn least_at(tick: Tick) -> Duration {
    let second = Duration::from_secs(1);
    second * (PROBES + 1) + (tick.lateness(second * 5) + tick.length()) * (PROBES + 2)
}

/// Never at or below the time for which the connection has been idle: one lost probe would then end
/// it, since the kernel compares that time with the option (tcp_keepalive_timer). Never above the
/// time that the probes take: it overrides their number, and one more would come after the objective.
fn user_timeout(
    seen: &Observation,
    objective: &Objective,
    keepalive: KeepaliveTimes,
) -> Option<Duration> {
    let wanted = user_timeout_of(objective, keepalive);
    let safe = seen.sample.last_heard().is_none_or(|idle| idle < wanted / 2);
    (objective.user_timeout && safe).then_some(wanted)
}

/// For a connection that was heard just now.
pub(super) fn user_timeout_of(objective: &Objective, keepalive: KeepaliveTimes) -> Duration {
    let probed = keepalive.idle.saturating_add(keepalive.interval.saturating_mul(PROBES));
    probed.min(objective.detect_within).min(USER_TIMEOUT_MAX)
}

/// The observation as it would be with the new options set now.
fn with(
    seen: &Observation,
    keepalive: KeepaliveTimes,
    user_timeout: Option<Duration>,
) -> Observation {
    let mut after = seen.clone();
    if let OptionsSeen::Read(options) = &mut after.options {
        let options = Arc::make_mut(options);
        options.keepalive = Some(true);
        options.keepalive_idle = Some(keepalive.idle);
        options.keepalive_interval = Some(keepalive.interval);
        options.keepalive_probes = Some(keepalive.probes);
        options.user_timeout = user_timeout.or(options.user_timeout);
    }
    if matches!(after.sample.timer, KernelTimer::Off | KernelTimer::Keepalive { .. }) {
        // TCP_KEEPIDLE is set first and SO_KEEPALIVE last: the whole wait begins now.
        after.sample.timer = KernelTimer::Keepalive { probes: 0, expires_in: keepalive.idle };
    }
    after
}

fn probes_per_hour(times: KeepaliveTimes) -> u32 {
    u32::try_from(3600 / times.idle.as_secs().max(1)).unwrap_or(u32::MAX)
}

fn harms(
    seen: &Observation,
    objective: &Objective,
    keepalive: KeepaliveTimes,
    user_timeout: Option<Duration>,
) -> Vec<Harm> {
    let mut harms =
        vec![Harm::OutageEndsIt { after: keepalive.interval.saturating_mul(keepalive.probes) }];
    let heard = seen.sample.last_heard().unwrap_or_default();
    match user_timeout {
        Some(_) => harms.extend([Harm::EndsUnreadingPeers, Harm::ProbeCountOverridden]),
        None if objective.user_timeout => {
            harms.push(Harm::IdleTooLongForUserTimeout { idle: heard });
        }
        None => harms.push(Harm::BusyStays),
    }
    let own = seen.options.read().and_then(|options| options.user_timeout);
    let own = own.filter(|own| user_timeout.is_none() && !own.is_zero());
    let probed = keepalive.idle.saturating_add(keepalive.interval.saturating_mul(PROBES - 1));
    if let Some(timeout) = own.filter(|own| *own <= probed) {
        harms.push(Harm::FewerProbesDecide { timeout });
    }
    let half_closed = seen.sample.state != TcpState::Established;
    if half_closed && keepalive.idle >= HALF_CLOSED_FORGOTTEN {
        harms.push(Harm::HalfClosedForgotten);
    }
    harms
}

/// RFC 1122 section 4.2.3.6: one unanswered probe must not be taken for a dead connection.
const PROBES: u32 = 3;
/// The kernel's own default (TCP_KEEPALIVE_INTVL): longer intervals only make the end later.
const INTERVAL_MAX_S: u64 = 75;
/// MAX_TCP_KEEPIDLE of include/net/tcp.h.
const IDLE_MAX_S: u64 = 32_767;
/// The option is a signed number of milliseconds.
const USER_TIMEOUT_MAX: Duration = Duration::from_millis(i32::MAX as u64);
/// nf_conntrack_tcp_timeout_close_wait.
const HALF_CLOSED_FORGOTTEN: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
