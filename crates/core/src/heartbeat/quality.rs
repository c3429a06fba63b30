//! Owns the measure of a failure detector's quality: on a simulated path, how often it calls a living
//! peer dead, and how long it takes to notice a dead one.
//! Read: Chen, Toueg, Aguilera, "On the quality of service of failure detectors" (2002), section 2.

use std::time::Duration;

use super::{Beat, Heartbeat, Next, Policy};
use crate::{chance::Chance, sample::Moment};

/// A path that carries TCP: what it loses arrives late, not never.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Path {
    /// What people call it.
    pub name: &'static str,
    /// One way, at the least.
    pub delay: Duration,
    /// On top of that, on average; long waits are as rare as with an exponential distribution.
    pub jitter: Duration,
    /// Of all segments, so many of a hundred are lost and sent again, after 200 ms and twice as much
    /// each time (RFC 6298; 200 ms is Linux's least).
    pub loss_percent: u8,
    /// Nothing passes for a while, once in so long on average; `None`: never.
    pub outage_every: Option<Duration>,
    /// How long that lasts, on average.
    pub outage_for: Duration,
}

/// What a detector did on a path.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Quality {
    /// Living peers called dead, over all the time that was simulated.
    pub mistakes: u32,
    /// From the death of a peer to its detection: half of the deaths were noticed sooner.
    pub median: Duration,
    /// 99 of 100 deaths were noticed sooner.
    pub most: Duration,
    /// Heartbeats sent, of a connection that was idle but for them, in an hour.
    pub beats_per_hour: f64,
}

/// Simulates a detector on a path: `alive_for` with a peer that lives, and then `deaths` peers that die
/// after twenty to thirty minutes.
pub fn quality(
    policy: Policy,
    path: &Path,
    alive_for: Duration,
    deaths: u32,
    seed: u64,
) -> Quality {
    let mut chance = Chance::new(seed);
    let mut mistakes = 0;
    let mut beats = 0;
    let mut begin = Moment::default();
    let mut line = Line::new(*path, seed);
    while begin.0 < alive_for {
        let run = run(policy, &mut line, begin, Moment(alive_for), None, &mut chance);
        beats += run.beats;
        // Whoever called a living peer dead connects again and goes on.
        mistakes += u32::from(run.dead_at.is_some());
        begin = run.dead_at.unwrap_or(Moment(alive_for));
    }
    let tenth = Duration::from_secs(600);
    let mut times = Vec::with_capacity(deaths as usize);
    while times.len() < deaths as usize {
        let mut line = Line::new(Path { outage_every: None, ..*path }, seed);
        let death = Moment(tenth * 2 + chance.up_to(tenth));
        let run = run(
            policy,
            &mut line,
            Moment::default(),
            Moment(tenth * 300),
            Some(death),
            &mut chance,
        );
        // One that was called dead before it died counts as noticed at once; they are few.
        let noticed = run.dead_at.filter(|at| *at >= death);
        times.push(noticed.map_or(Duration::ZERO, |at| at.since(death)));
    }
    times.sort_unstable();
    let at = |percent: usize| {
        let index = times.len().saturating_sub(1) * percent / 100;
        times.get(index).copied().unwrap_or_default()
    };
    let hours = alive_for.as_secs_f64() / 3600.0;
    Quality { mistakes, median: at(50), most: at(99), beats_per_hour: f64::from(beats) / hours }
}

struct Run {
    dead_at: Option<Moment>,
    beats: u32,
}

/// Runs one connection from `begin` until it is called dead or `end` has come.
fn run(
    policy: Policy,
    line: &mut Line,
    begin: Moment,
    end: Moment,
    death: Option<Moment>,
    chance: &mut Chance,
) -> Run {
    let mut heartbeat = Heartbeat::new(policy, begin, chance);
    let mut answers: std::collections::VecDeque<(Moment, Beat)> = Default::default();
    let mut beats = 0;
    let mut now = begin;
    line.connect(begin);
    while now < end {
        match heartbeat.poll(now, chance) {
            Next::Dead(_) => return Run { dead_at: Some(now), beats },
            Next::Send(beat) => {
                beats += 1;
                if let Some(answer) = line.answer(now, death, chance) {
                    answers.push_back((answer, beat));
                }
            }
            Next::WaitUntil(until) => match answers.front().copied() {
                Some((at, beat)) if at <= until => {
                    answers.pop_front();
                    now = now.max(at);
                    heartbeat.handle_answer(beat, now);
                }
                _ => now = until,
            },
        }
    }
    Run { dead_at: None, beats }
}

/// The state of a path: what was sent before arrives before, and outages come and go.
struct Line {
    path: Path,
    there: Moment,
    back: Moment,
    outage: (Moment, Moment),
    /// Apart from all other chance, so that every detector meets the same outages.
    outages: Chance,
}

impl Line {
    fn new(path: Path, seed: u64) -> Self {
        let mut line = Self {
            path,
            there: Moment::default(),
            back: Moment::default(),
            outage: (Moment::default(), Moment::default()),
            outages: Chance::new(seed).fork(),
        };
        line.next_outage(Moment::default());
        line
    }

    /// A new connection waits for nothing that was sent on the old one.
    const fn connect(&mut self, now: Moment) {
        (self.there, self.back) = (now, now);
    }

    /// When the answer to what is sent at `now` arrives; `None` if the peer is dead by then.
    fn answer(
        &mut self,
        now: Moment,
        death: Option<Moment>,
        chance: &mut Chance,
    ) -> Option<Moment> {
        let arrives = self.passes(now, chance).max(self.there);
        self.there = arrives;
        if death.is_some_and(|death| arrives >= death) {
            return None;
        }
        let back = self.passes(arrives, chance).max(self.back);
        self.back = back;
        Some(back)
    }

    /// When a segment that is first sent at `now` gets through.
    fn passes(&mut self, now: Moment, chance: &mut Chance) -> Moment {
        let mut sent = now;
        let mut timeout = RTO_MIN + self.path.delay * 2;
        loop {
            while sent >= self.outage.1 {
                self.next_outage(self.outage.1);
            }
            let is_out = sent >= self.outage.0;
            if !is_out && !chance.is(f64::from(self.path.loss_percent) / 100.0) {
                let jitter = chance.wait(self.path.jitter);
                return Moment(sent.0 + self.path.delay + jitter);
            }
            sent = Moment(sent.0 + timeout);
            timeout = (timeout * 2).min(RTO_MAX);
        }
    }

    fn next_outage(&mut self, after: Moment) {
        let never = Moment(Duration::from_secs(u64::MAX / 4));
        self.outage = match self.path.outage_every {
            None => (never, never),
            Some(every) => {
                let begin = Moment(after.0 + self.outages.wait(every));
                (begin, Moment(begin.0 + self.outages.wait(self.path.outage_for)))
            }
        };
    }
}

/// TCP_RTO_MIN and TCP_RTO_MAX of include/net/tcp.h.
const RTO_MIN: Duration = Duration::from_millis(200);
const RTO_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Path = Path {
        name: "plain",
        delay: Duration::from_millis(20),
        jitter: Duration::from_millis(5),
        loss_percent: 0,
        outage_every: None,
        outage_for: Duration::ZERO,
    };

    const DAY: Duration = Duration::from_secs(86_400);

    #[test]
    fn a_path_without_loss_is_never_mistaken_and_every_death_is_noticed_in_time() {
        let policy = Policy::default();
        let found = quality(policy, &PLAIN, DAY, 200, 1);
        assert_eq!(found.mistakes, 0);
        assert!(found.median > Duration::from_secs(30), "{found:?}");
        assert!(found.most <= policy.detects_within().unwrap(), "{found:?}");
        // Every 27 to 30 seconds, and as much again for the round trip.
        assert!((115.0..140.0).contains(&found.beats_per_hour), "{found:?}");
    }

    #[test]
    fn fewer_misses_notice_sooner_and_err_more_often_where_the_path_breaks() {
        let path = Path {
            loss_percent: 20,
            outage_every: Some(Duration::from_secs(3600)),
            outage_for: Duration::from_secs(10),
            ..PLAIN
        };
        let of = |misses| {
            let judgement =
                super::super::Judgement::Misses(std::num::NonZeroU32::new(misses).unwrap());
            quality(Policy { judgement, ..Policy::default() }, &path, DAY * 10, 200, 1)
        };
        let (one, three) = (of(1), of(3));
        assert!(one.median < three.median, "{one:?} {three:?}");
        assert!(one.mistakes > three.mistakes, "{one:?} {three:?}");
    }

    #[test]
    fn a_seed_is_a_result() {
        let path = Path { loss_percent: 10, ..PLAIN };
        let of = |seed| quality(Policy::default(), &path, DAY, 50, seed);
        assert_eq!(of(5), of(5));
        assert_ne!(of(5), of(6));
    }
}
