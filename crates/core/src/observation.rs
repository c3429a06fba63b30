//! Owns what a rule may look at: all that was seen of one connection and of its surroundings.

use std::{sync::Arc, time::Duration};

use crate::{
    detection::Tick, listener::Listener, options::OptionsSeen, options::Sysctls, owner::Owners,
    sample::Sample, tracking::Tracking,
};

/// All that was seen of one connection. What many connections have in common is shared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Observation {
    /// What the kernel said of the socket.
    pub sample: Sample,
    /// Its options, as far as they were read.
    pub options: OptionsSeen,
    /// The sysctls of its namespace.
    pub sysctls: Arc<Sysctls>,
    /// The kernel's tick, which bounds how late timers fire.
    pub tick: Tick,
    /// Who holds it.
    pub owners: Owners,
    /// The listener that its local end belongs to, if there is one in the same namespace.
    pub listener: Option<Arc<Listener>>,
    /// How other connections to the same peer address fare; nothing where that was not asked.
    pub siblings: Siblings,
    /// What connection tracking in its namespace has of it.
    pub tracking: Tracking,
    /// What a test of the connection has shown, if it was tested.
    pub proof: Option<Proof>,
}

impl Observation {
    /// The same connection as `sample` shows it later. A proof of silence stands only as long as
    /// nothing was heard since.
    #[must_use]
    pub fn seen_again(&self, sample: Sample) -> Self {
        let refuted = matches!(self.proof, Some(Proof::Unanswered { .. }))
            && is_heard_since(&self.sample, &sample);
        let proof = self.proof.filter(|_| !refuted);
        Self { sample, proof, ..self.clone() }
    }
}

fn is_heard_since(before: &Sample, now: &Sample) -> bool {
    let segments = |sample: &Sample| sample.info.as_ref()?.segments_received;
    if let (Some(before), Some(now)) = (segments(before), segments(now))
        && before == now
    {
        // Nothing at all has come. The clocks of two samples may differ by as long as a busy machine
        // kept us waiting between the question and its answer.
        return false;
    }
    let heard = |sample: &Sample| Some(sample.taken_at.0.saturating_sub(sample.last_heard()?));
    match (heard(before), heard(now)) {
        (Some(before), Some(now)) => now > before.saturating_add(TICKS_MAX),
        (None, now) => now.is_some(),
        // What the kernel no longer says cannot hold up a proof.
        (Some(_), None) => true,
    }
}

/// The kernel's clocks count in ticks of 10 ms at the most (100 Hz), in either sample.
const TICKS_MAX: Duration = Duration::from_millis(20);

/// How the other connections to the same peer address, in the same namespace, fare.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Siblings {
    /// Connections that heard from the address more recently than this one, by a clear margin.
    pub heard: u32,
    /// Connections with unanswered retransmissions or probes.
    pub unanswered: u32,
}

/// What a test has shown, beyond what the socket itself says. It is later than the sample's idle
/// clocks, which are taken before the first probe, so that a proof never hides how long it was quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proof {
    /// The peer answered with RST.
    Reset {
        /// This long before it was seen.
        ago: Duration,
    },
    /// The table of the peer's host, which we could read, lacks the connection.
    PeerTableLacks,
    /// The peer answered a probe.
    Answered {
        /// After this time.
        rtt: Duration,
    },
    /// Spaced probes went unanswered.
    Unanswered {
        /// How many.
        probes: u32,
        /// The shortest time between two of them.
        apart: Duration,
    },
}

/// The few numbers that a user may choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thresholds {
    /// A peer heard within this time is `alive`; later it is `quiet`.
    pub alive_within: Duration,
    /// Data or connections that our application has left for this long make a connection `blocked`.
    pub unread_after: Duration,
    /// A half-closed connection on which nothing was heard for this long is a problem, not a notice.
    pub half_closed_after: Duration,
}

impl Default for Thresholds {
    fn default() -> Self {
        Self {
            // A proof of life older than a minute is history: application heartbeats come every
            // minute or two, and the shortest middlebox time-outs in use are about a minute.
            alive_within: Duration::from_secs(60),
            // Longer than any scheduling delay or garbage collection worth the name.
            unread_after: Duration::from_secs(10),
            // conntrack forgets a half-closed flow after 60 s (nf_conntrack_tcp_timeout_close_wait).
            half_closed_after: Duration::from_secs(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        sample::Moment,
        trace::{established, ms},
    };

    fn at(mut seen: Observation, moment: u64) -> Observation {
        seen.sample.taken_at = Moment(ms(moment));
        seen
    }

    #[test]
    fn a_proof_of_silence_falls_with_the_first_word_of_the_peer() {
        let proof = Proof::Unanswered { probes: 3, apart: ms(1000) };
        // Last heard at 90 s.
        let before = at(established().heard(ms(10_000)), 100_000);
        let before = Observation { proof: Some(proof), ..before };
        let proof_at =
            |heard| before.seen_again(at(established().heard(heard), 105_000).sample).proof;
        assert_eq!(proof_at(ms(15_000)), Some(proof));
        assert_eq!(proof_at(ms(14_980)), Some(proof));
        assert_eq!(proof_at(ms(14_979)), None);
        assert_eq!(proof_at(ms(0)), None);
    }

    #[test]
    fn a_late_clock_does_not_refute_a_proof_when_not_one_segment_has_come() {
        let counted = |mut seen: Observation, segments: u32| {
            if let Some(info) = &mut seen.sample.info {
                info.segments_received = Some(segments);
            }
            seen
        };
        let proof = Proof::Unanswered { probes: 3, apart: ms(1000) };
        let before = counted(at(established().heard(ms(10_000)), 100_000), 7);
        let before = Observation { proof: Some(proof), ..before };
        // By the clocks, heard a quarter of a second after the last time.
        let late =
            |segments| counted(at(established().heard(ms(14_750)), 105_000), segments).sample;
        assert_eq!(before.seen_again(late(7)).proof, Some(proof));
        assert_eq!(before.seen_again(late(8)).proof, None);
    }

    #[test]
    fn a_reset_cannot_be_taken_back() {
        let proof = Proof::Reset { ago: ms(1) };
        let before = Observation { proof: Some(proof), ..at(established(), 100_000) };
        let later = at(established().heard(ms(0)), 200_000).sample;
        assert_eq!(before.seen_again(later).proof, Some(proof));
    }
}
