//! Owns the choice of a probe. Each one costs something else, so the cheapest that works is taken.
//! Read: linux net/ipv4/tcp.c `do_tcp_setsockopt` (TCP_REPAIR, TCP_KEEPIDLE).

use std::{fmt, time::Duration};

use super::attempt::Patience;
use crate::{
    detection::{is_orphan, keepalive_is_on},
    observation::Observation,
    sample::{KernelTimer, Sample},
    state::TcpState,
};

/// How a connection is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Method {
    /// setsockopt(TCP_REPAIR, 0) without ever turning repair on: the kernel sends one window probe.
    /// ESTABLISHED only; needs CAP_NET_ADMIN; clears SO_REUSEADDR, which is put back at once.
    WindowProbe,
    /// Keepalive is turned on with TCP_KEEPIDLE of one second, and put back as it was: the kernel
    /// sends one keepalive probe. Works half-closed, and without privilege for one's own processes.
    KeepaliveOneShot,
    /// A segment that we make ourselves, like a keepalive probe, on a raw socket. Needs the sequence
    /// numbers, which only a BPF iterator tells, and CAP_NET_RAW; touches no option, needs no descriptor.
    CraftedAck,
}

impl Method {
    /// All, in the order of preference.
    pub const ALL: [Self; 3] = [Self::WindowProbe, Self::KeepaliveOneShot, Self::CraftedAck];

    /// The word for flags and JSON.
    pub const fn word(self) -> &'static str {
        match self {
            Self::WindowProbe => "window-probe",
            Self::KeepaliveOneShot => "keepalive",
            Self::CraftedAck => "crafted-ack",
        }
    }

    /// The method that `word` names.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|method| method.word() == word)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

/// What this process may do to one connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Means {
    /// A descriptor of the socket can be duplicated (its options were read that way).
    pub descriptor: bool,
    /// CAP_NET_ADMIN in the user namespace that owns the socket's network namespace.
    pub net_admin: bool,
    /// CAP_NET_RAW there.
    pub net_raw: bool,
    /// The sequence numbers are known.
    pub sequence: bool,
}

/// Why a connection cannot be tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Unprovable {
    /// Data or a FIN of ours is unanswered: the kernel probes by itself, and what it knows is told.
    DataOutstanding,
    /// The handshake is not finished.
    Embryonic,
    /// Both sides have closed, or the kernel keeps it as a mini socket: there is nothing to test.
    NotOpen(TcpState),
    /// No process holds it, and no sequence numbers are known (a BPF source would know them).
    NoDescriptor,
    /// The descriptor of another user's process may not be duplicated.
    NoPrivilege,
    /// Only a keepalive probe would work, and with keepalive and TCP_USER_TIMEOUT set by the
    /// application one lost probe would let the kernel end a healthy connection.
    UserTimeoutHazard,
    /// Only a keepalive probe would work, and the application's own keepalive allows so few unanswered
    /// probes that ours would use them up: each of ours counts against TCP_KEEPCNT.
    KeepaliveSpent,
    /// The peer was heard so lately that the kernel would not send a keepalive probe.
    HeardLately,
    /// The method that was asked for does not work in this state.
    MethodDoesNotFit(Method),
    /// Somebody else has the socket in TCP_REPAIR (CRIU, perhaps).
    InRepair,
}

impl fmt::Display for Unprovable {
    /// A clause that fits after "cannot be tested: ".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DataOutstanding => f.write_str(
                "data of ours is unanswered already, so the kernel itself is probing; its count is shown",
            ),
            Self::Embryonic => f.write_str("its handshake is not finished"),
            Self::NotOpen(state) => write!(f, "in {state} there is nothing left to test"),
            Self::NoDescriptor => f.write_str(
                "no process holds it, and its sequence numbers are not known (they are with BPF, as root)",
            ),
            Self::NoPrivilege => f.write_str(
                "it belongs to another user's process: needs CAP_SYS_PTRACE (run as root)",
            ),
            Self::UserTimeoutHazard => f.write_str(
                "its application set keepalive and TCP_USER_TIMEOUT, with which one lost probe could \
                 end a healthy connection; --method keepalive tests it all the same",
            ),
            Self::KeepaliveSpent => f.write_str(
                "its own keepalive allows too few unanswered probes to spend some on a test \
                 (TCP_KEEPCNT); --method keepalive tests it all the same",
            ),
            Self::HeardLately => f.write_str("its peer was heard less than a second ago"),
            Self::MethodDoesNotFit(method) => {
                write!(f, "{method} does not work here; leave out --method")
            }
            Self::InRepair => f.write_str("somebody else holds it in TCP_REPAIR"),
        }
    }
}

/// The probe for one connection: `forced`, if that works, else the cheapest that does.
///
/// # Errors
/// [`Unprovable`], with the reason.
pub fn choose(
    seen: &Observation,
    means: Means,
    forced: Option<Method>,
) -> Result<Method, Unprovable> {
    testable(&seen.sample)?;
    if let Some(method) = forced {
        return works(method, seen, means)
            .then_some(method)
            .ok_or(Unprovable::MethodDoesNotFit(method));
    }
    let chosen = Method::ALL.into_iter().find(|&method| {
        let is_shot = method == Method::KeepaliveOneShot;
        works(method, seen, means) && !(is_shot && (is_hazard(seen) || is_spent(seen)))
    });
    chosen.ok_or_else(|| why_not(seen, means))
}

/// How many probes of this method the connection can take without harm, out of those that `patience`
/// allows: unanswered one-shots count against the application's own keepalive.
pub fn patience_for(method: Method, seen: &Observation, patience: Patience) -> Patience {
    match (method, shots_to_spend(seen)) {
        (Method::KeepaliveOneShot, Some(shots)) => {
            Patience::new(patience.probes().min(shots), patience.interval())
        }
        _ => patience,
    }
}

/// One-shots that may go unanswered before the application's own keepalive is down to its last two
/// probes. `None`: keepalive is off, and nothing counts them.
fn shots_to_spend(seen: &Observation) -> Option<u32> {
    if keepalive_is_on(seen) == Some(false) {
        return None;
    }
    let allowed = seen.options.read().and_then(|options| options.keepalive_probes);
    let allowed = allowed.or(seen.sysctls.keepalive_probes).unwrap_or(0);
    let info = seen.sample.info.as_ref();
    let spent = info.and_then(|info| info.probes).map_or(0, u32::from);
    Some(allowed.saturating_sub(spent).saturating_sub(KEEPALIVES_LEFT))
}

/// Fewer one-shots than convict (see `rules::silent`) would be spent for nothing.
fn is_spent(seen: &Observation) -> bool {
    shots_to_spend(seen).is_some_and(|shots| shots < SHOTS_MIN)
}

/// Only an open connection with nothing in flight can be tested, before the first probe and before
/// each further one.
///
/// # Errors
/// [`Unprovable`], with the reason.
pub fn testable(sample: &Sample) -> Result<(), Unprovable> {
    match sample.state {
        TcpState::SynSent | TcpState::SynReceived => Err(Unprovable::Embryonic),
        TcpState::Established | TcpState::CloseWait | TcpState::FinWait2 if !sample.is_mini() => {
            let waiting = sample.in_flight() == Some(true)
                || matches!(
                    sample.timer,
                    KernelTimer::Retransmit { .. } | KernelTimer::WindowProbe { .. }
                );
            if waiting { Err(Unprovable::DataOutstanding) } else { Ok(()) }
        }
        state if state.fin_unacknowledged() => Err(Unprovable::DataOutstanding),
        state => Err(Unprovable::NotOpen(state)),
    }
}

fn works(method: Method, seen: &Observation, means: Means) -> bool {
    let state = seen.sample.state;
    match method {
        // In any other state the call returns 0 and sends nothing.
        Method::WindowProbe => {
            means.descriptor && means.net_admin && state == TcpState::Established
        }
        // The kernel's timer of an orphan in FIN-WAIT-2 is its end: it must not be touched.
        Method::KeepaliveOneShot => {
            means.descriptor && !is_orphan(seen) && heard_long_ago(seen, KEEPALIVE_IDLE_MIN)
        }
        Method::CraftedAck => means.sequence && means.net_raw,
    }
}

/// The one-shot is sent at once only if nothing was heard for TCP_KEEPIDLE, which is a second at least.
/// A peer that was heard later needs no probe: it is alive.
fn heard_long_ago(seen: &Observation, idle: Duration) -> bool {
    seen.sample.last_heard().is_some_and(|ago| ago >= idle)
}

/// Measured: keepalive on, TCP_USER_TIMEOUT set, one one-shot lost in an outage of 0.3 s, and the
/// kernel ended the connection at its next keepalive time, although the peer lived.
fn is_hazard(seen: &Observation) -> bool {
    let options = seen.options.read();
    let user_timeout = options.and_then(|options| options.user_timeout);
    keepalive_is_on(seen) != Some(false) && user_timeout.is_none_or(|timeout| !timeout.is_zero())
}

fn why_not(seen: &Observation, means: Means) -> Unprovable {
    if means.descriptor && !is_orphan(seen) {
        return match (is_hazard(seen), is_spent(seen)) {
            (true, _) => Unprovable::UserTimeoutHazard,
            (false, true) => Unprovable::KeepaliveSpent,
            (false, false) => Unprovable::HeardLately,
        };
    }
    if seen.sample.inode.is_none() { Unprovable::NoDescriptor } else { Unprovable::NoPrivilege }
}

/// The least that TCP_KEEPIDLE can be set to.
const KEEPALIVE_IDLE_MIN: Duration = Duration::from_secs(1);
/// As many as make a silence (RFC 1122 section 4.2.3.6: one lost probe must never convict).
const SHOTS_MIN: u32 = 3;
/// What is left to the application's own keepalive: one that may be lost, and one more.
const KEEPALIVES_LEFT: u32 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{established, ms};

    const ROOT: Means = Means { descriptor: true, net_admin: true, net_raw: true, sequence: true };
    const OWN: Means =
        Means { descriptor: true, net_admin: false, net_raw: false, sequence: false };
    const NOTHING: Means =
        Means { descriptor: false, net_admin: false, net_raw: false, sequence: false };

    fn idle() -> Observation {
        established().heard(ms(10_000))
    }

    #[test]
    fn root_sends_window_probes_on_open_connections_and_one_shots_on_half_closed_ones() {
        assert_eq!(choose(&idle(), ROOT, None), Ok(Method::WindowProbe));
        for state in [TcpState::CloseWait, TcpState::FinWait2] {
            let seen = idle().in_state(state);
            assert_eq!(choose(&seen, ROOT, None), Ok(Method::KeepaliveOneShot));
        }
    }

    #[test]
    fn an_ordinary_user_tests_its_own_connections_by_one_shot() {
        assert_eq!(choose(&idle(), OWN, None), Ok(Method::KeepaliveOneShot));
        assert_eq!(choose(&idle(), NOTHING, None), Err(Unprovable::NoPrivilege));
    }

    #[test]
    fn a_connection_that_nobody_holds_is_tested_from_outside_or_not_at_all() {
        let orphan = idle().in_state(TcpState::FinWait2).orphaned();
        let outside = Means { descriptor: false, ..ROOT };
        assert_eq!(choose(&orphan, outside, None), Ok(Method::CraftedAck));
        assert_eq!(choose(&orphan, NOTHING, None), Err(Unprovable::NoDescriptor));
    }

    #[test]
    fn keepalive_with_a_user_timeout_is_never_tested_by_a_one_shot_unless_asked_to() {
        let seen = idle().keepalive(60, 10, 3).user_timeout(30_000);
        assert_eq!(choose(&seen, OWN, None), Err(Unprovable::UserTimeoutHazard));
        assert_eq!(choose(&seen, ROOT, None), Ok(Method::WindowProbe));
        let half_closed = seen.clone().in_state(TcpState::CloseWait);
        assert_eq!(choose(&half_closed, ROOT, None), Ok(Method::CraftedAck));
        let forced = Some(Method::KeepaliveOneShot);
        assert_eq!(choose(&seen, OWN, forced), Ok(Method::KeepaliveOneShot));
    }

    #[test]
    fn what_is_in_flight_is_a_probe_already() {
        let seen = idle().retransmitting(2, ms(600), ms(100));
        assert_eq!(choose(&seen, ROOT, None), Err(Unprovable::DataOutstanding));
        let shut = idle().timer(KernelTimer::WindowProbe { probes: 0, expires_in: ms(100) });
        assert_eq!(choose(&shut, ROOT, None), Err(Unprovable::DataOutstanding));
        let last_ack = idle().in_state(TcpState::LastAck);
        assert_eq!(choose(&last_ack, ROOT, None), Err(Unprovable::DataOutstanding));
    }

    #[test]
    fn what_is_not_open_yet_or_no_more_is_not_tested() {
        let syn = idle().in_state(TcpState::SynSent);
        assert_eq!(choose(&syn, ROOT, None), Err(Unprovable::Embryonic));
        let time_wait = idle().in_state(TcpState::TimeWait);
        assert_eq!(choose(&time_wait, ROOT, None), Err(Unprovable::NotOpen(TcpState::TimeWait)));
    }

    #[test]
    fn a_method_that_cannot_work_is_refused_and_not_replaced() {
        let seen = idle().in_state(TcpState::CloseWait);
        let forced = Some(Method::WindowProbe);
        assert_eq!(
            choose(&seen, ROOT, forced),
            Err(Unprovable::MethodDoesNotFit(Method::WindowProbe))
        );
    }

    #[test]
    fn a_peer_heard_within_a_second_gets_no_one_shot_since_none_would_be_sent() {
        assert_eq!(choose(&idle().heard(ms(999)), OWN, None), Err(Unprovable::HeardLately));
    }

    #[test]
    fn one_shots_leave_the_applications_own_keepalive_two_probes() {
        let patience = Patience::new(15, ms(1_000));
        let probes = |seen: &Observation, method| patience_for(method, seen, patience).probes();
        let off = idle();
        assert_eq!(probes(&off, Method::KeepaliveOneShot), 15);
        let nine = idle().keepalive(60, 10, 9);
        assert_eq!(probes(&nine, Method::KeepaliveOneShot), 7);
        assert_eq!(probes(&nine, Method::WindowProbe), 15);
        assert_eq!(choose(&nine, OWN, None), Ok(Method::KeepaliveOneShot));
        let four = idle().keepalive(60, 10, 4);
        assert_eq!(choose(&four, OWN, None), Err(Unprovable::KeepaliveSpent));
        assert_eq!(
            choose(&four, OWN, Some(Method::KeepaliveOneShot)),
            Ok(Method::KeepaliveOneShot)
        );
    }
}
