//! Owns how long a peer has left questions of the kernel unanswered that are on their way now:
//! what lets an owner give up sooner than the kernel would, and without TCP_USER_TIMEOUT, which also
//! ends connections to peers that live and do not read. Read: linux net/ipv4/tcp_timer.c.

use std::time::Duration;

use super::unanswered_for;
use crate::{observation::Observation, sample::KernelTimer};

/// For how long, at the least, the peer has left at least two retransmissions or probes
/// unanswered. `None` while fewer are unanswered, or where the kernel does not say.
///
/// A peer that acknowledges anything, a window probe too, is not silent: its kernel lives.
pub fn silent_for(seen: &Observation) -> Option<Duration> {
    let heard = seen.sample.last_heard()?;
    match seen.sample.timer {
        KernelTimer::Retransmit { retransmits, .. } if retransmits >= QUESTIONS => {
            // A connection may have been quiet for hours before it was written to.
            Some(unanswered_for(seen)?.min(heard))
        }
        KernelTimer::WindowProbe { probes, .. } | KernelTimer::Keepalive { probes, .. }
            if probes >= QUESTIONS =>
        {
            Some(heard)
        }
        _ => None,
    }
}

/// Two: a single one may be lost, or just on its way.
const QUESTIONS: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::established;

    fn busy(retransmits: u8, heard_s: u64) -> Observation {
        let mut seen = established();
        seen.sample.timer =
            KernelTimer::Retransmit { retransmits, expires_in: Duration::from_millis(800) };
        let info = seen.sample.info.get_or_insert_default();
        info.unacked_segments = Some(1);
        info.retransmits = Some(retransmits);
        info.backoff = Some(retransmits);
        info.rto = Some(Duration::from_millis(200) * 2u32.pow(retransmits.into()));
        info.last_data_received = Some(Duration::from_secs(heard_s));
        info.last_ack_received = Some(Duration::from_secs(heard_s));
        info.last_data_sent = Some(Duration::from_millis(100));
        info.total_rto_recoveries = Some(1);
        info.total_rto_time = Some(Duration::from_millis(500));
        seen
    }

    #[test]
    fn one_unanswered_retransmission_is_not_a_silence() {
        assert_eq!(silent_for(&busy(1, 10)), None);
        assert!(silent_for(&busy(2, 10)).is_some());
    }

    #[test]
    fn an_hour_of_quiet_before_the_write_does_not_count() {
        assert!(silent_for(&busy(2, 3600)).unwrap() < Duration::from_secs(1));
    }

    #[test]
    fn a_peer_that_acknowledged_since_is_silent_since_then_only() {
        let mut seen = busy(2, 10);
        seen.sample.info.as_mut().unwrap().last_ack_received = Some(Duration::from_millis(3));
        assert!(silent_for(&seen).unwrap() <= Duration::from_millis(3));
    }

    #[test]
    fn a_peer_that_answers_window_probes_is_never_silent() {
        let mut seen = busy(0, 40);
        let expires_in = Duration::from_secs(60);
        seen.sample.timer = KernelTimer::WindowProbe { probes: 1, expires_in };
        assert_eq!(silent_for(&seen), None);
        seen.sample.timer = KernelTimer::WindowProbe { probes: 2, expires_in };
        assert_eq!(silent_for(&seen), Some(Duration::from_secs(40)));
    }
}
