//! Owns one attempt at a proof, as a state machine that is told the time: when to send, when to look,
//! and what was proved.
//!
//! ```text
//!            +-- look: heard since, or newer segments --------------> Answered
//!   Send --> Look --- look: gone or CLOSED, reset counted ----------> Reset
//!     ^      |  +---- look: gone, nothing counted ------------------> Ended
//!     |      |
//!     +------+ interval over, probes left      interval over, none left --> Unanswered
//! ```

use std::time::Duration;

use crate::{
    observation::Proof,
    sample::{Moment, Sample},
    state::TcpState,
};

/// How many probes, and how far apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    probes: u32,
    interval: Duration,
}

impl Patience {
    /// `probes` of them (at least one), at least a second apart: a peer answers at most one such
    /// probe in 500 ms (`tcp_invalid_ratelimit`), so closer ones would prove nothing.
    pub fn new(probes: u32, interval: Duration) -> Self {
        Self { probes: probes.max(1), interval: interval.max(INTERVAL_MIN) }
    }

    /// How many probes go unanswered before the peer is called silent.
    pub const fn probes(self) -> u32 {
        self.probes
    }

    /// From one probe to the next.
    pub const fn interval(self) -> Duration {
        self.interval
    }
}

impl Default for Patience {
    fn default() -> Self {
        Self { probes: PROBES, interval: INTERVAL_MIN }
    }
}

const INTERVAL_MIN: Duration = Duration::from_secs(1);

/// At 30 % loss in each direction a probe or its answer is lost with 51 %. Ten in a row then go
/// unanswered once in 840 proofs, fifteen once in 24,000: so many it takes not to call a peer behind
/// such a path dead. A healthy path answers the first; only a proof of silence takes all of them.
const PROBES: u32 = 15;

/// What a look at the connection showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight<'a> {
    /// The kernel still has it.
    There(&'a Sample),
    /// It is no more, or CLOSED.
    Gone {
        /// A reset explains it: the socket is CLOSED with its descriptor still open, or the
        /// namespace has counted one more reset connection since the first probe.
        by_reset: bool,
    },
}

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send a probe, then tell [`Attempt::handle_sent`].
    Send,
    /// Look again at this moment, then tell [`Attempt::handle_sight`].
    LookAt(Moment),
    /// It is over.
    Done(Outcome),
}

/// What an attempt showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// A proof.
    Proved(Proof),
    /// The connection ended meanwhile, and nothing says that it was by a reset: its application
    /// closed it, perhaps.
    Ended,
}

/// One attempt at a proof.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    patience: Patience,
    /// What was known before the first probe: a proof must not hide how long it had been quiet.
    segments_received: Option<u32>,
    sent: Vec<Moment>,
    looks: u32,
    outcome: Option<Outcome>,
}

impl Attempt {
    /// Begins, with the sample that was taken before anything was touched.
    pub fn new(before: &Sample, patience: Patience) -> Self {
        Self {
            patience,
            segments_received: before.info.as_ref().and_then(|info| info.segments_received),
            sent: Vec::new(),
            looks: 0,
            outcome: None,
        }
    }

    /// How many probes were sent.
    pub fn probes_sent(&self) -> u32 {
        u32::try_from(self.sent.len()).unwrap_or(u32::MAX)
    }

    /// What to do next, at `now`.
    pub fn poll(&self, now: Moment) -> Next {
        if let Some(outcome) = self.outcome {
            return Next::Done(outcome);
        }
        let Some(&last) = self.sent.last() else { return Next::Send };
        let over = later(last, self.patience.interval);
        if now < over {
            return Next::LookAt(self.next_look(last).min(over));
        }
        if self.probes_sent() < self.patience.probes {
            return Next::Send;
        }
        Next::Done(Outcome::Proved(Proof::Unanswered {
            probes: self.probes_sent(),
            apart: self.patience.interval,
        }))
    }

    /// A probe was sent at `now`.
    pub fn handle_sent(&mut self, now: Moment) {
        self.sent.push(now);
        self.looks = 0;
    }

    /// The connection was looked at, at `now`.
    pub fn handle_sight(&mut self, sight: Sight<'_>, now: Moment) {
        self.looks = self.looks.saturating_add(1);
        let Some(&last) = self.sent.last() else { return };
        let first = self.sent.first().copied().unwrap_or(last);
        self.outcome = match sight {
            Sight::Gone { by_reset: true } => {
                Some(Outcome::Proved(Proof::Reset { ago: now.since(last) }))
            }
            Sight::Gone { by_reset: false } => Some(Outcome::Ended),
            Sight::There(sample) if sample.state == TcpState::Closed => {
                Some(Outcome::Proved(Proof::Reset { ago: now.since(last) }))
            }
            Sight::There(sample) if self.is_answer(sample, first) => {
                Some(Outcome::Proved(Proof::Answered { rtt: now.since(last) }))
            }
            Sight::There(_) => None,
        };
    }

    /// Heard after the first probe: the count of segments has risen, and the clock of the last word
    /// says so too, as far as the kernel tells. The count alone would take a segment that is not
    /// accepted (a blind reset, RFC 5961) for the peer's answer; the clock alone counts in ticks.
    fn is_answer(&self, sample: &Sample, first: Moment) -> bool {
        let info = sample.info.as_ref();
        let received = info.and_then(|info| info.segments_received);
        let counted = self.segments_received.zip(received).map(|(before, after)| after != before);
        let heard = sample.last_heard().map(|ago| sample.taken_at.0.saturating_sub(ago));
        match counted {
            Some(counted) => {
                counted && heard.is_none_or(|heard| heard.saturating_add(TICK_MAX) > first.0)
            }
            None => heard.is_some_and(|heard| heard > first.0.saturating_add(TICK_MAX)),
        }
    }

    /// Looks come quickly at first, when the answer of a near peer is due, and then seldom.
    fn next_look(&self, sent: Moment) -> Moment {
        let wait = LOOK_FIRST.saturating_mul(3u32.saturating_pow(self.looks.min(12)));
        later(sent, wait)
    }
}

fn later(moment: Moment, by: Duration) -> Moment {
    Moment(moment.0.saturating_add(by))
}

/// A round trip within a rack.
const LOOK_FIRST: Duration = Duration::from_micros(200);
/// The kernel's clocks count in ticks of 10 ms at the most (100 Hz).
const TICK_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{established, ms};

    fn at(millis: u64) -> Moment {
        later(established().sample.taken_at, ms(millis))
    }

    /// As the kernel would describe it at `millis`, with `more` segments than before.
    fn sample(millis: u64, more: u32) -> Sample {
        let heard = if more == 0 { ms(5_000) } else { ms(0) };
        let mut sample = established().heard(heard).sample;
        sample.taken_at = at(millis);
        if let Some(info) = sample.info.as_mut() {
            info.segments_received = Some(100 + more);
        }
        sample
    }

    fn sent(probes: u32) -> Attempt {
        let mut attempt = Attempt::new(&sample(0, 0), Patience::new(probes, ms(1_000)));
        assert_eq!(attempt.poll(at(0)), Next::Send);
        attempt.handle_sent(at(0));
        attempt
    }

    #[test]
    fn an_answer_to_the_first_probe_ends_the_attempt() {
        let mut attempt = sent(3);
        attempt.handle_sight(Sight::There(&sample(1, 0)), at(1));
        assert!(matches!(attempt.poll(at(1)), Next::LookAt(_)));
        attempt.handle_sight(Sight::There(&sample(2, 1)), at(2));
        let answered = Outcome::Proved(Proof::Answered { rtt: ms(2) });
        assert_eq!(attempt.poll(at(2)), Next::Done(answered));
    }

    #[test]
    fn silence_takes_every_probe_and_the_whole_of_the_last_interval() {
        let mut attempt = sent(3);
        for second in 1..3 {
            assert!(matches!(attempt.poll(at(second * 1_000 - 1)), Next::LookAt(_)));
            assert_eq!(attempt.poll(at(second * 1_000)), Next::Send);
            attempt.handle_sent(at(second * 1_000));
        }
        attempt.handle_sight(Sight::There(&sample(2_999, 0)), at(2_999));
        assert!(matches!(attempt.poll(at(2_999)), Next::LookAt(_)));
        let silent = Proof::Unanswered { probes: 3, apart: ms(1_000) };
        assert_eq!(attempt.poll(at(3_000)), Next::Done(Outcome::Proved(silent)));
    }

    #[test]
    fn a_reset_is_told_from_an_end_that_nobody_can_explain() {
        let gone = |by_reset| {
            let mut attempt = sent(3);
            attempt.handle_sight(Sight::Gone { by_reset }, at(4));
            attempt.poll(at(4))
        };
        assert_eq!(gone(true), Next::Done(Outcome::Proved(Proof::Reset { ago: ms(4) })));
        assert_eq!(gone(false), Next::Done(Outcome::Ended));
    }

    #[test]
    fn without_a_count_of_segments_the_clock_of_the_last_word_decides() {
        let strip = |mut sample: Sample, heard: u64| {
            if let Some(info) = sample.info.as_mut() {
                info.segments_received = None;
                (info.last_data_received, info.last_ack_received) =
                    (Some(ms(heard)), Some(ms(heard)));
            }
            sample
        };
        let mut attempt = Attempt::new(&strip(sample(0, 0), 5_000), Patience::default());
        attempt.handle_sent(at(0));
        attempt.handle_sight(Sight::There(&strip(sample(50, 0), 5_050)), at(50));
        assert!(matches!(attempt.poll(at(50)), Next::LookAt(_)));
        attempt.handle_sight(Sight::There(&strip(sample(50, 0), 20)), at(50));
        assert!(matches!(
            attempt.poll(at(50)),
            Next::Done(Outcome::Proved(Proof::Answered { .. }))
        ));
    }

    #[test]
    fn a_segment_that_was_not_accepted_is_no_answer() {
        let mut attempt = sent(3);
        let mut blind = sample(50, 1);
        if let Some(info) = blind.info.as_mut() {
            (info.last_data_received, info.last_ack_received) = (Some(ms(5_000)), Some(ms(5_000)));
        }
        attempt.handle_sight(Sight::There(&blind), at(50));
        assert!(matches!(attempt.poll(at(50)), Next::LookAt(_)));
    }

    #[test]
    fn probes_are_never_closer_than_a_second() {
        assert_eq!(Patience::new(0, ms(1)), Patience::new(1, ms(1_000)));
    }

    #[test]
    fn looks_spread_out_and_never_pass_the_interval() {
        let mut attempt = sent(1);
        let mut last = at(0);
        for _ in 0..20 {
            let Next::LookAt(next) = attempt.poll(last) else { break };
            assert!(next <= at(1_000));
            attempt.handle_sight(Sight::There(&sample(0, 0)), next);
            last = next;
        }
        assert!(matches!(attempt.poll(at(1_000)), Next::Done(_)));
    }
}
