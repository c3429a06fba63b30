//! Owns the failure detector: when to send a heartbeat, what its answer or silence means, and when the
//! peer is called dead. Sends nothing, reads no clock: it is told what happened, and when.
//! Read: RFC 1122 section 4.2.3.6 (one unanswered question is no death); Hayashibara and others, "The
//! phi accrual failure detector" (2004); docs/library/heartbeat.md.
//!
//! ```text
//!              quiet for `interval`            answer_within over
//!   Trusted ---- Send(beat) ----> Trusted ---- Send(beat) ------> Suspected --- N misses --> Dead
//!      ^                                                              |
//!      +---------------- anything heard from the peer ----------------+
//! ```

mod arrivals;
pub mod quality;

use std::{num::NonZeroU32, time::Duration};

use self::arrivals::Arrivals;
use crate::{chance::Chance, sample::Moment};

/// When to send a heartbeat, and what its absence means.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Policy {
    /// A heartbeat goes out when one direction has been quiet for so long: nothing was heard, so that we
    /// learn of a death; or nothing was sent, so that the peer and the boxes on the path hear of us.
    pub interval: Duration,
    /// A heartbeat that is not answered within this time is missed, and the next one goes out.
    pub answer_within: Duration,
    /// When the peer is dead.
    pub judgement: Judgement,
    /// Intervals are shortened at random by up to so much of a hundred, so that many clients that
    /// connected at once do not send at once for ever.
    pub jitter_percent: u8,
    /// If we are run so much later than we asked to be, our own process was stopped or the host slept:
    /// what was not heard meanwhile is not held against the peer.
    pub pause_after: Duration,
}

/// When a silent peer is called dead.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Judgement {
    /// After so many missed heartbeats in a row.
    Misses(NonZeroU32),
    /// When the silence has become so improbable, judged by the times that answers took so far, that a
    /// living peer is silent for so long once in 10^threshold times. [`Policy::answer_within`] is the
    /// pause that is forgiven on top, and missed heartbeats are repeated in that rhythm.
    Phi {
        /// 8 is usual on a network, 12 where the path is shared with much else.
        threshold: f64,
    },
}

impl Default for Policy {
    /// Every 30 s, ten seconds for an answer, three misses: dead after 60 s at the most.
    fn default() -> Self {
        Self {
            // Below the shortest idle time-out of boxes on the path that is in common use (60 s).
            interval: Duration::from_secs(30),
            // A TCP segment that is lost five times in a row is delivered 6.2 s later.
            answer_within: Duration::from_secs(10),
            judgement: Judgement::Misses(THREE),
            jitter_percent: 10,
            // Far above what a busy scheduler takes, below any answer that is worth waiting for.
            pause_after: Duration::from_secs(2),
        }
    }
}

/// RFC 1122 section 4.2.3.6, as for keepalive.
const THREE: NonZeroU32 = NonZeroU32::MIN.saturating_add(2);

impl Policy {
    /// The time from the death of an idle peer to its detection, at the most; `None` by phi, where it
    /// depends on what is heard.
    pub fn detects_within(&self) -> Option<Duration> {
        let Judgement::Misses(misses) = self.judgement else { return None };
        Some(self.interval.saturating_add(self.answer_within.saturating_mul(misses.get())))
    }

    /// The policy whose [`Policy::detects_within`] is `within`: half of it is the interval, and three
    /// heartbeats share the rest.
    pub fn detecting_within(within: Duration) -> Self {
        let answer_within = within / 2 / THREE.get();
        let interval = within.saturating_sub(answer_within * THREE.get());
        let pause_after = (answer_within / 2).min(Self::default().pause_after);
        Self { interval, answer_within, pause_after, ..Self::default() }
    }
}

/// The number of a heartbeat, for the answer to come back with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Beat(pub u32);

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Send this heartbeat, then ask again.
    Send(Beat),
    /// Ask again then, or when something has happened.
    WaitUntil(Moment),
    /// The peer is dead.
    Dead(Death),
}

/// What shows that the peer is dead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Death {
    /// Heartbeats in a row without an answer.
    pub missed: u32,
    /// Since anything was heard, without the pauses of our own.
    pub silent_for: Duration,
}

/// The failure detector of one connection.
#[derive(Debug, Clone, PartialEq)]
pub struct Heartbeat {
    policy: Policy,
    /// Last heard, moved forward by our own pauses.
    heard: Moment,
    sent: Moment,
    /// The interval until the next heartbeat, jitter included.
    interval: Duration,
    /// The heartbeat that an answer is awaited of, and until when.
    awaited: Option<(Beat, Moment)>,
    /// When the last one was sent, for its round trip.
    asked: Moment,
    beats: u32,
    missed: u32,
    /// When we asked to be run.
    wake: Moment,
    paused: Duration,
    arrivals: Arrivals,
}

impl Heartbeat {
    /// A connection that came up at `now`.
    pub fn new(policy: Policy, now: Moment, chance: &mut Chance) -> Self {
        Self {
            policy,
            heard: now,
            sent: now,
            interval: jittered(&policy, chance),
            awaited: None,
            asked: now,
            beats: 0,
            missed: 0,
            wake: now,
            paused: Duration::ZERO,
            arrivals: Arrivals::new(policy.interval),
        }
    }

    /// Something came from the peer, whatever it was: it lives. Answers may come in any order.
    pub fn handle_heard(&mut self, now: Moment) {
        // What was read after a pause of ours may have come at any time during it.
        self.notice_pause(now);
        self.heard = self.heard.max(now);
        self.awaited = None;
        self.missed = 0;
    }

    /// The answer to a heartbeat came. Returns its round-trip time if it was the last one sent.
    pub fn handle_answer(&mut self, beat: Beat, now: Moment) -> Option<Duration> {
        self.notice_pause(now);
        let is_last = beat.0.wrapping_add(1) == self.beats;
        if self.missed == 0 && self.awaited.is_some_and(|(awaited, _)| awaited == beat) {
            self.arrivals.add(now.since(self.heard));
        }
        self.handle_heard(now);
        is_last.then(|| now.since(self.asked))
    }

    /// Something else than a heartbeat was sent.
    pub fn handle_sent(&mut self, now: Moment) {
        self.sent = self.sent.max(now);
    }

    /// What to do at `now`.
    pub fn poll(&mut self, now: Moment, chance: &mut Chance) -> Next {
        let was_paused = self.notice_pause(now);
        let next = match self.awaited {
            _ if self.is_dead(now) => {
                Next::Dead(Death { missed: self.missed, silent_for: now.since(self.heard) })
            }
            // After a pause the answer may lie unread, or the peer may have given us up: ask.
            Some(_) if was_paused => self.send(now, chance),
            Some((_, until)) if now < until => Next::WaitUntil(until),
            Some(_) => {
                self.missed = self.missed.saturating_add(1);
                if self.is_dead(now) {
                    let silent_for = now.since(self.heard);
                    Next::Dead(Death { missed: self.missed, silent_for })
                } else {
                    self.send(now, chance)
                }
            }
            None => {
                let due = Moment(self.heard.min(self.sent).0.saturating_add(self.interval));
                if now >= due { self.send(now, chance) } else { Next::WaitUntil(due) }
            }
        };
        if let Next::WaitUntil(until) = next {
            let until = self.sooner(until);
            self.wake = until;
            return Next::WaitUntil(until);
        }
        next
    }

    /// Heartbeats missed in a row; more than none means that the peer is suspected.
    pub const fn missed(&self) -> u32 {
        self.missed
    }

    /// How long our own process was stopped, in sum, as far as it mattered here.
    pub const fn paused(&self) -> Duration {
        self.paused
    }

    /// For how long nothing was heard, without the pauses of our own.
    pub fn silent_for(&self, now: Moment) -> Duration {
        now.since(self.heard)
    }

    fn send(&mut self, now: Moment, chance: &mut Chance) -> Next {
        let beat = Beat(self.beats);
        self.beats = self.beats.wrapping_add(1);
        (self.sent, self.asked) = (now, now);
        let until = Moment(now.0.saturating_add(self.policy.answer_within));
        self.awaited = Some((beat, until));
        self.wake = self.sooner(until);
        self.interval = jittered(&self.policy, chance);
        Next::Send(beat)
    }

    fn is_dead(&self, now: Moment) -> bool {
        match self.policy.judgement {
            Judgement::Misses(most) => self.missed >= most.get(),
            Judgement::Phi { .. } => self.awaited.is_some() && Some(now) >= self.improbable_at(),
        }
    }

    /// When the silence becomes too improbable, by phi.
    fn improbable_at(&self) -> Option<Moment> {
        let Judgement::Phi { threshold } = self.policy.judgement else { return None };
        let silence = self.arrivals.improbable_after(threshold);
        Some(Moment(self.heard.0.saturating_add(silence).saturating_add(self.policy.answer_within)))
    }

    /// By phi a death may come between two heartbeats.
    fn sooner(&self, until: Moment) -> Moment {
        match self.improbable_at() {
            Some(dead_at) if self.awaited.is_some() => until.min(dead_at),
            _ => until,
        }
    }

    /// Moves everything that counts forward by a pause of our own, if there was one just now.
    fn notice_pause(&mut self, now: Moment) -> bool {
        let late = now.since(self.wake);
        if late <= self.policy.pause_after || self.wake <= self.heard {
            return false;
        }
        self.paused = self.paused.saturating_add(late);
        self.heard.0 = self.heard.0.saturating_add(late).min(now.0);
        if let Some((_, until)) = &mut self.awaited {
            *until = Moment(now.0.saturating_add(self.policy.answer_within));
        }
        self.wake = now;
        true
    }
}

fn jittered(policy: &Policy, chance: &mut Chance) -> Duration {
    let most = policy.interval.mul_f64(f64::from(policy.jitter_percent.min(100)) / 100.0);
    policy.interval.saturating_sub(chance.up_to(most))
}

#[cfg(test)]
mod tests;
