//! Owns the end of connections that the kernel finishes alone: FIN-WAIT-2 without an owner, TIME-WAIT.
//! Read: linux net/ipv4/tcp.c `__tcp_close`, tcp_timer.c `tcp_keepalive_timer`, tcp_minisocks.c
//! `tcp_time_wait`; tcp.h `tcp_fin_time`. RFC 9293 knows no time-out of FIN-WAIT-2.

use std::time::Duration;

use super::{
    effective::{Effective, Missing},
    learns::{AppTold, Assumptions, Cause, PeerTold, Prediction},
    wheel::Phase,
};
use crate::{observation::Observation, sample::KernelTimer, state::TcpState};

/// A mini socket: its one timer says when it goes.
pub(super) fn mini(seen: &Observation) -> Result<Prediction, Missing> {
    let KernelTimer::TimeWait { expires_in } = seen.sample.timer else {
        return Err(Missing("no TIME-WAIT timer is shown".into()));
    };
    let (cause, armed_for) = match seen.sample.state {
        // It was armed for tcp_fin_time, and for TCP_TIMEWAIT_LEN at the most.
        TcpState::FinWait2 => {
            (Cause::FinWait2, seen.sysctls.fin_timeout.unwrap_or(TIMEWAIT_LEN).min(TIMEWAIT_LEN))
        }
        _ => (Cause::TimeWait, TIMEWAIT_LEN),
    };
    let within = seen.tick.firing_armed(expires_in, armed_for);
    Ok(Prediction {
        within,
        cause,
        application: AppTold::Nothing,
        peer: PeerTold::Nothing,
        assumes: Assumptions::NONE,
    })
}

/// A full socket, which the kernel keeps where the time-out is longer than TIME-WAIT. It waits for
/// the excess on the keepalive timer, then *again* for the excess as a mini socket.
pub(super) fn full(seen: &Observation) -> Result<Prediction, Missing> {
    let effective = Effective::of(seen);
    let KernelTimer::Keepalive { expires_in, .. } = seen.sample.timer else {
        return Err(Missing("no timer is shown that would end it".into()));
    };
    let rto = seen.sample.info.as_ref().and_then(|info| info.rto).unwrap_or_default();
    // tcp_fin_time: at least (rto << 2) - (rto >> 1).
    let whole = effective.fin_timeout()?.max(rto.saturating_mul(7) / 2);
    let excess = whole.saturating_sub(TIMEWAIT_LEN);
    let first = seen.tick.firing_armed(expires_in, excess);
    let second = excess.max(rto.saturating_mul(7) / 2);
    let within = first.plus(seen.tick.firing(second, Phase::UNKNOWN).0);
    Ok(Prediction {
        within,
        cause: Cause::FinWait2,
        application: AppTold::Nothing,
        peer: PeerTold::Nothing,
        assumes: effective.assumptions(),
    })
}

/// TCP_TIMEWAIT_LEN.
const TIMEWAIT_LEN: Duration = Duration::from_secs(60);
