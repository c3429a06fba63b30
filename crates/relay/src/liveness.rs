//! Owns how a peer that vanished is found on a leg of the relay: the kernel's keepalive while nothing
//! is in flight, and a look at TCP_INFO while something is. Pure.
//!
//! TCP_USER_TIMEOUT is not used: it also ends connections to peers that live and do not read.
//! Read: docs/detection-time.md, linux net/ipv4/tcp_timer.c `tcp_keepalive_timer`, `tcp_probe_timer`.

use std::time::Duration;

use halfopen_core::{
    Span, TcpInfo,
    detection::{KeepaliveTimes, Tick},
    keeping::{Objective, times},
};

use crate::pair::Lost;

/// What is set and looked at so that a vanished peer is found within the objective.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Liveness {
    /// The objective: a peer that vanished is found within this time.
    pub detect_within: Duration,
    /// A box on the path forgets what is idle for this long, so that never happens.
    pub survive_idle: Option<Duration>,
    /// For as long as nothing is in flight, half-closed or not.
    pub keepalive: KeepaliveTimes,
    /// The most that the kernel's back-off may grow to, so that silence is asked often enough
    /// (TCP_RTO_MAX_MS, since Linux 6.15).
    pub back_off_max: Duration,
    /// A peer that left questions unanswered is gone if it was not heard for this long.
    pub silent_after: Duration,
    /// How often connections with data in flight are looked at.
    pub look_every: Duration,
}

/// What one look at a leg says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// All that was sent is acknowledged: keepalive watches from here.
    Settled,
    /// Something is in flight, and the peer is not to be given up.
    InFlight,
    /// The peer is gone, or the path to it.
    Lost(Lost),
}

/// An objective that no options can meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a peer cannot be found gone within {}: whole seconds between three probes and the kernel's \
     timers need {} at least", Span(*wanted), Span(*least)
)]
pub struct TooShort {
    /// What was wanted.
    pub wanted: Duration,
    /// The least that can be promised.
    pub least: Duration,
}

impl Liveness {
    /// What meets the objective on a kernel with this tick.
    ///
    /// # Errors
    /// [`TooShort`] for less than about five seconds.
    pub fn new(
        detect_within: Duration,
        survive_idle: Option<Duration>,
        tick: Tick,
    ) -> Result<Self, TooShort> {
        let objective =
            |detect_within| Objective { detect_within, survive_idle, user_timeout: false };
        let Some(keepalive) = times(tick, &objective(detect_within)) else {
            let wanted = survive_idle.map_or(detect_within, |survive| survive.min(detect_within));
            let enough = (1..=60).map(Duration::from_secs);
            let least = enough.clone().find(|enough| {
                let objective =
                    Objective { detect_within: *enough, survive_idle: None, user_timeout: false };
                times(tick, &objective).is_some()
            });
            return Err(TooShort { wanted, least: least.unwrap_or(Duration::from_secs(60)) });
        };
        let look_every = (detect_within / 16).clamp(LOOK_MIN, LOOK_MAX);
        Ok(Self {
            detect_within,
            survive_idle,
            keepalive,
            back_off_max: (detect_within / 8).clamp(BACK_OFF_MIN, BACK_OFF_MAX),
            // A look comes at most one interval later, and another is for the processor to be free.
            silent_after: detect_within.saturating_sub(look_every * 2 + tick.lateness(look_every)),
            look_every,
        })
    }

    /// What TCP_INFO of one leg says.
    ///
    /// Two unanswered questions and the silence are both needed. One lost segment is no silence
    /// (RFC 1122 section 4.2.3.6), and a peer that answers window probes is heard with every answer,
    /// however long it does not read. Keepalive makes an idle peer speak within half of the
    /// objective, so the other half of the silence at least was spent asking.
    pub fn judge(&self, info: &TcpInfo) -> Standing {
        let unacknowledged = info.unacked_segments.unwrap_or(0) > 0;
        let unsent = info.unsent_bytes.unwrap_or(0) > 0;
        let retransmits = info.retransmits.unwrap_or(0);
        let probes = info.probes.unwrap_or(0);
        if !unacknowledged && !unsent && probes == 0 {
            return Standing::Settled;
        }
        let heard = [info.last_ack_received, info.last_data_received].into_iter().flatten().min();
        match heard {
            Some(unheard)
                if unheard >= self.silent_after
                    && (retransmits >= QUESTIONS || probes >= QUESTIONS) =>
            {
                Standing::Lost(Lost { unheard, retransmits, probes })
            }
            _ => Standing::InFlight,
        }
    }
}

/// A peer that did not answer one question may not have got it.
const QUESTIONS: u8 = 2;
/// A look costs 3 microseconds for each connection with data in flight.
const LOOK_MIN: Duration = Duration::from_millis(250);
/// Later than this nobody would call it "at once".
const LOOK_MAX: Duration = Duration::from_secs(2);
/// What the kernel accepts, `do_tcp_setsockopt`.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
/// The kernel's default, TCP_RTO_MAX.
const BACK_OFF_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    fn liveness(seconds: u64) -> Liveness {
        Liveness::new(Duration::from_secs(seconds), None, Tick::from_hz(250)).unwrap()
    }

    /// Data in flight, retransmitted so often, and the peer not heard for so long.
    fn unanswered(retransmits: u8, unheard: Duration) -> TcpInfo {
        TcpInfo {
            unacked_segments: Some(1),
            retransmits: Some(retransmits),
            last_ack_received: Some(unheard),
            last_data_received: Some(unheard),
            ..TcpInfo::default()
        }
    }

    fn is_lost(standing: Standing) -> bool {
        matches!(standing, Standing::Lost(_))
    }

    #[test]
    fn a_peer_is_lost_at_the_limit_and_not_a_millisecond_sooner() {
        let liveness = liveness(30);
        let limit = liveness.silent_after;
        assert!(is_lost(liveness.judge(&unanswered(2, limit))));
        let sooner = limit - Duration::from_millis(1);
        assert_eq!(liveness.judge(&unanswered(9, sooner)), Standing::InFlight);
    }

    #[test]
    fn one_unanswered_question_is_no_death_however_long_ago_the_peer_was_heard() {
        let hour = Duration::from_secs(3600);
        assert_eq!(liveness(30).judge(&unanswered(1, hour)), Standing::InFlight);
        let mut probed = unanswered(0, hour);
        probed.probes = Some(1);
        assert_eq!(liveness(30).judge(&probed), Standing::InFlight);
        probed.probes = Some(2);
        assert!(is_lost(liveness(30).judge(&probed)));
    }

    #[test]
    fn a_reader_that_pauses_and_answers_every_probe_is_never_lost() {
        let paused = TcpInfo {
            unsent_bytes: Some(1 << 20),
            send_window: Some(0),
            backoff: Some(10),
            probes: Some(0),
            last_ack_received: Some(Duration::from_secs(3)),
            last_data_received: Some(Duration::from_secs(3600)),
            ..TcpInfo::default()
        };
        assert_eq!(liveness(30).judge(&paused), Standing::InFlight);
    }

    #[test]
    fn what_the_kernel_does_not_say_convicts_nobody() {
        let mut info = unanswered(5, Duration::from_secs(3600));
        (info.last_ack_received, info.last_data_received) = (None, None);
        assert_eq!(liveness(30).judge(&info), Standing::InFlight);
        assert_eq!(liveness(30).judge(&TcpInfo::default()), Standing::Settled);
    }

    /// Whatever is wished: keepalive and looks end within it, and the kernel's own limit for data
    /// (tcp_retries2 of 15, with the capped back-off) does not come first, up to its quarter of an hour.
    #[test]
    fn every_objective_is_met_by_its_parts() {
        let tick = Tick::from_hz(250);
        for seconds in 6..800 {
            let liveness = liveness(seconds);
            let wanted = Duration::from_secs(seconds);
            let keepalive = liveness.keepalive;
            let probed = keepalive.idle + keepalive.interval * keepalive.probes;
            assert!(probed + tick.lateness(wanted) <= wanted, "{seconds}");
            assert!(liveness.silent_after + liveness.look_every < wanted, "{seconds}");
            assert!(keepalive.idle < liveness.silent_after, "{seconds}");
            assert!(kernel_gives_up(liveness.back_off_max) > liveness.silent_after, "{seconds}");
        }
    }

    /// `tcp_model_timeout` of linux net/ipv4/tcp_timer.c, for 15 retries.
    fn kernel_gives_up(most: Duration) -> Duration {
        let first = Duration::from_millis(200);
        let doublings = (most.as_millis() / first.as_millis()).ilog2();
        first * ((2 << doublings) - 1) + most * (15 - doublings)
    }

    #[test]
    fn too_short_an_objective_is_refused_with_the_least_that_can_be_promised() {
        let refused = Liveness::new(Duration::from_secs(2), None, Tick::from_hz(250)).unwrap_err();
        assert!(Liveness::new(refused.least, None, Tick::from_hz(250)).is_ok(), "{refused}");
        let shorter = refused.least - Duration::from_secs(1);
        assert!(Liveness::new(shorter, None, Tick::from_hz(250)).is_err());
    }
}
