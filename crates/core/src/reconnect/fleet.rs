//! Owns the simulation of a fleet after an outage: what a policy does to the server that comes back.
//! Read: docs/library/reconnect.md.

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

use super::{FailedBy, Next, Policy, Reconnect};
use crate::{chance::Chance, reconnect::EndedBy, sample::Moment};

/// A fleet of clients, the outage that it goes through, and the server that it comes back to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet {
    /// How many clients are connected when it begins.
    pub clients: u32,
    /// When each of them connects again.
    pub policy: Policy,
    /// How long the server is away.
    pub outage: Duration,
    /// What an attempt meets meanwhile.
    pub down: Down,
    /// Clients notice the outage at some moment within this time.
    pub noticed_within: Duration,
    /// Connections that the server accepts in a second once it is back; more are refused. `None`: all.
    pub accepts_per_second: Option<u32>,
    /// How long is watched, from the beginning of the outage.
    pub watch: Duration,
}

/// What an attempt meets while the server is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Down {
    /// A refusal, at once: its host lives.
    Refuses,
    /// Nothing, until the client's own limit is over: its host is gone, or the path.
    Silent {
        /// That limit.
        timeout: Duration,
    },
}

/// What happened in one second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Second {
    /// Attempts that began.
    pub attempts: u32,
    /// Clients that came up.
    pub came_up: u32,
}

/// What the fleet did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Course {
    /// Second by second, from the beginning of the outage.
    pub seconds: Vec<Second>,
    /// From the end of the outage until every client was up; `None`: not while it was watched.
    pub all_back_after: Option<Duration>,
    /// From the end of the outage until half of them were.
    pub half_back_after: Option<Duration>,
    /// Clients that gave up.
    pub gave_up: u32,
    /// Attempts in all.
    pub attempts: u64,
    /// Attempts that the server refused because it was too busy, once it was back.
    pub refused_when_back: u64,
}

impl Course {
    /// The most attempts in one second from `second` on, and in which.
    pub fn peak_from(&self, second: usize) -> (usize, u32) {
        let from = self.seconds.iter().enumerate().skip(second);
        from.map(|(at, second)| (at, second.attempts))
            .max_by_key(|(at, attempts)| (*attempts, Reverse(*at)))
            .unwrap_or((second, 0))
    }
}

/// Something that happens to one client, in the order of time and then of its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Notices,
    Acts,
    /// An attempt that met silence ends.
    TimesOut,
}

/// Simulates it. The same seed gives the same course.
pub fn simulate(fleet: &Fleet, seed: u64) -> Course {
    let mut world = World::new(fleet, seed);
    while let Some(Reverse((now, client, event))) = world.events.pop() {
        if now.0 >= fleet.watch {
            break;
        }
        world.happens(now, client, event);
    }
    world.course()
}

struct World<'a> {
    fleet: &'a Fleet,
    chance: Chance,
    clients: Vec<Reconnect>,
    events: BinaryHeap<Reverse<(Moment, u32, Event)>>,
    seconds: Vec<Second>,
    back: Vec<Moment>,
    gave_up: u32,
    refused: u64,
}

impl<'a> World<'a> {
    fn new(fleet: &'a Fleet, seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        // Everybody has been up for long, so that the outage begins an episode.
        let begin = Moment::default();
        let mut clients = Vec::new();
        let mut events = BinaryHeap::new();
        for client in 0..fleet.clients {
            let mut reconnect =
                Reconnect::new(Policy { stable_after: Duration::ZERO, ..fleet.policy }, begin);
            reconnect.poll(begin);
            reconnect.handle_up(begin, None);
            clients.push(reconnect);
            let notices = Moment(chance.up_to(fleet.noticed_within));
            events.push(Reverse((notices, client, Event::Notices)));
        }
        let length = usize::try_from(fleet.watch.as_secs()).unwrap_or(0).min(SECONDS_MAX) + 1;
        Self {
            fleet,
            chance,
            clients,
            events,
            seconds: vec![Second::default(); length],
            back: Vec::new(),
            gave_up: 0,
            refused: 0,
        }
    }

    fn happens(&mut self, now: Moment, number: u32, event: Event) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        match event {
            // A server that was away for less than the clients take to notice has lost them all the same.
            Event::Notices => client.handle_lost(now, EndedBy::Silence, None, &mut self.chance),
            Event::TimesOut => client.handle_failed(now, FailedBy::TimedOut, &mut self.chance),
            Event::Acts => {}
        }
        match client.poll(now) {
            Next::WaitUntil(until) => self.events.push(Reverse((until, number, Event::Acts))),
            Next::Connect { .. } => self.connects(now, number),
            Next::GiveUp(_) => self.gave_up += 1,
            Next::Up => {}
        }
    }

    fn connects(&mut self, now: Moment, number: u32) {
        let second = usize::try_from(now.0.as_secs()).unwrap_or(usize::MAX);
        let Some(tally) = self.seconds.get_mut(second) else { return };
        tally.attempts += 1;
        let is_back = now.0 >= self.fleet.outage;
        let has_room = self.fleet.accepts_per_second.is_none_or(|most| tally.came_up < most);
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        if is_back && has_room {
            tally.came_up += 1;
            client.handle_up(now, None);
            self.back.push(now);
            return;
        }
        self.refused += u64::from(is_back);
        match self.fleet.down {
            Down::Silent { timeout } if !is_back => {
                let end = Moment(now.0.saturating_add(timeout));
                self.events.push(Reverse((end, number, Event::TimesOut)));
            }
            _ => {
                client.handle_failed(now, FailedBy::Refused, &mut self.chance);
                let next = client.poll(now);
                // Not at once again: the moment has to move, or it would be asked for ever.
                let at = match next {
                    Next::WaitUntil(until) => until,
                    Next::GiveUp(_) => {
                        self.gave_up += 1;
                        return;
                    }
                    Next::Connect { .. } | Next::Up => now,
                };
                let at = at.max(Moment(now.0 + Duration::from_millis(1)));
                self.events.push(Reverse((at, number, Event::Acts)));
            }
        }
    }

    fn course(self) -> Course {
        let after = |count: usize| {
            let moment = self.back.get(count.checked_sub(1)?)?;
            Some(moment.0.saturating_sub(self.fleet.outage))
        };
        let clients = self.clients.len();
        Course {
            all_back_after: after(clients),
            half_back_after: after(clients.div_ceil(2)),
            gave_up: self.gave_up,
            attempts: self.seconds.iter().map(|second| u64::from(second.attempts)).sum(),
            refused_when_back: self.refused,
            seconds: self.seconds,
        }
    }
}

/// Two days.
const SECONDS_MAX: usize = 2 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reconnect::Jitter;

    const FLEET: Fleet = Fleet {
        clients: 1000,
        policy: Policy {
            at_once: false,
            first: Duration::from_secs(1),
            factor: 2.0,
            cap: Duration::from_secs(32),
            jitter: Jitter::Full,
            attempts: None,
            deadline: None,
            stable_after: Duration::ZERO,
        },
        outage: Duration::from_secs(60),
        down: Down::Refuses,
        noticed_within: Duration::ZERO,
        accepts_per_second: Some(100),
        watch: Duration::from_secs(600),
    };

    #[test]
    fn everybody_comes_back_and_is_counted_once() {
        let course = simulate(&FLEET, 1);
        let came_up: u32 = course.seconds.iter().map(|second| second.came_up).sum();
        assert_eq!((came_up, course.gave_up), (1000, 0));
        assert!(course.all_back_after.unwrap() >= Duration::from_secs(9), "{course:?}");
        assert!(course.half_back_after.unwrap() < course.all_back_after.unwrap());
        assert!(course.seconds[..60].iter().all(|second| second.came_up == 0));
    }

    #[test]
    fn without_jitter_a_fleet_arrives_at_one_moment_and_with_it_spread_out() {
        let policy = Policy { jitter: Jitter::None, ..FLEET.policy };
        let herd = simulate(&Fleet { policy, ..FLEET }, 1);
        let spread = simulate(&FLEET, 1);
        assert_eq!(herd.peak_from(60).1, 1000);
        assert!(spread.peak_from(60).1 < 200, "{:?}", spread.peak_from(60));
        assert!(spread.all_back_after < herd.all_back_after);
    }

    #[test]
    fn a_fleet_that_may_give_up_does() {
        let policy = Policy { attempts: Some(2), ..FLEET.policy };
        let course = simulate(&Fleet { policy, ..FLEET }, 1);
        assert_eq!((course.gave_up, course.all_back_after), (1000, None));
        assert_eq!(course.attempts, 2000);
    }

    #[test]
    fn silence_costs_each_attempt_its_limit() {
        let down = Down::Silent { timeout: Duration::from_secs(20) };
        let silent = simulate(&Fleet { down, ..FLEET }, 1);
        let refused = simulate(&FLEET, 1);
        assert!(silent.attempts < refused.attempts);
        assert!(silent.all_back_after.is_some());
    }

    #[test]
    fn a_policy_that_waits_for_nothing_is_bounded_all_the_same() {
        let policy = Policy { first: Duration::ZERO, cap: Duration::ZERO, ..FLEET.policy };
        let outage = Duration::from_secs(2);
        let course = simulate(&Fleet { clients: 10, policy, outage, ..FLEET }, 1);
        assert!(course.attempts <= 10 * 2001, "{}", course.attempts);
    }

    #[test]
    fn a_seed_is_a_course() {
        assert_eq!(simulate(&FLEET, 4), simulate(&FLEET, 4));
        assert_ne!(simulate(&FLEET, 4), simulate(&FLEET, 5));
    }
}
