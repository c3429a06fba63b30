//! Owns the simulated world: clients with their heartbeats and reconnect policies, one server, a network
//! between them, faults, and virtual time; and the check that every promise was kept. What the clients do
//! is the code that real ones run. Pure: a seed is a history.
//! Read: docs/library/simulation.md.

mod calendar;
mod client;
mod report;

use std::{cmp::Reverse, collections::BinaryHeap, time::Duration};

pub use self::{
    calendar::{Calendar, Day, Suspicion},
    report::{Breach, Fault, Noticed, Report},
};
use self::{client::Client, report::Ledger};
use crate::{
    chance::Chance,
    heartbeat,
    reconnect::{self, EndedBy, FailedBy},
    sample::Moment,
};

/// A world to be.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// How many clients there are.
    pub clients: u32,
    /// How they find out that the server is gone.
    pub heartbeat: heartbeat::Policy,
    /// When they connect again.
    pub reconnect: reconnect::Policy,
    /// How long the world lasts. It begins at moment 0, which the calendar dates.
    pub length: Duration,
    /// What goes wrong in it.
    pub faults: Faults,
    /// What day and hour it is for the server.
    pub calendar: &'a dyn Calendar,
    /// A server that rejects everybody whenever this says so: a fault that nobody planned, for the world
    /// to find.
    pub rejects: Option<fn(&Day) -> bool>,
    /// The seed of all chance.
    pub seed: u64,
}

/// What goes wrong, how often on average, and for how long. `None`: never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Faults {
    /// The server's program crashes: its host resets all connections, and it is back at once.
    pub crash_every: Option<Duration>,
    /// The server's host reboots: silence, and then resets for what it has forgotten.
    pub reboot_every: Option<Duration>,
    /// How long that takes.
    pub reboot_takes: Duration,
    /// The server's program stands still: its host acknowledges, and nobody answers.
    pub freeze_every: Option<Duration>,
    /// How long that lasts, on average.
    pub freeze_for: Duration,
    /// Nothing passes between one client and the server.
    pub partition_every: Option<Duration>,
    /// How long that lasts, on average.
    pub partition_for: Duration,
    /// A client gets another address: its old flow is dead, without a word.
    pub renumber_every: Option<Duration>,
    /// A client's own process is stopped.
    pub pause_every: Option<Duration>,
    /// How long that lasts, on average.
    pub pause_for: Duration,
    /// A box on the path forgets flows that are idle for longer than this.
    pub forgets_after: Option<Duration>,
    /// The server takes up to this long for each answer.
    pub slow: Duration,
}

impl Faults {
    /// Nothing goes wrong.
    pub const NONE: Self = Self {
        crash_every: None,
        reboot_every: None,
        reboot_takes: Duration::from_secs(90),
        freeze_every: None,
        freeze_for: Duration::from_secs(60),
        partition_every: None,
        partition_for: Duration::from_secs(60),
        renumber_every: None,
        pause_every: None,
        pause_for: Duration::from_secs(300),
        forgets_after: None,
        slow: Duration::ZERO,
    };

    /// A bad month's share of everything: each client meets something every other day or so.
    pub const MANY: Self = Self {
        crash_every: Some(DAY),
        reboot_every: Some(DAY.saturating_mul(2)),
        freeze_every: Some(DAY),
        partition_every: Some(DAY.saturating_mul(2)),
        renumber_every: Some(DAY.saturating_mul(3)),
        pause_every: Some(DAY.saturating_mul(2)),
        forgets_after: Some(Duration::from_secs(350)),
        slow: Duration::from_secs(1),
        ..Self::NONE
    };
}

const DAY: Duration = Duration::from_secs(86_400);
/// From a client to the server and back.
const ROUND_TRIP: Duration = Duration::from_millis(40);
/// What a client gives an attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// What happens next, to whom. Ordered by time, then as it was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// The client asked to be run then; only the latest such wish counts.
    Wake {
        client: u32,
        wish: u32,
    },
    /// An answer to a heartbeat arrives, on a connection that may be gone.
    Answer {
        client: u32,
        life: u32,
        beat: heartbeat::Beat,
    },
    /// A reset arrives.
    Reset {
        client: u32,
        life: u32,
    },
    /// An attempt ends; `None`: it has succeeded.
    Attempted {
        client: u32,
        failed: Option<FailedBy>,
    },
    Crash,
    Reboot,
    Freeze,
    Partition {
        client: u32,
    },
    Renumber {
        client: u32,
    },
    Pause {
        client: u32,
    },
}

/// Runs the world to its end.
pub fn run(plan: &Plan<'_>) -> Report {
    let mut world = World::new(plan);
    while let Some(Reverse((now, _, event))) = world.events.pop() {
        if now.0 >= plan.length {
            break;
        }
        world.happens(now, event);
    }
    world.ledger.close(plan, &world.clients)
}

struct World<'a> {
    plan: &'a Plan<'a>,
    chance: Chance,
    events: BinaryHeap<Reverse<(Moment, u64, Event)>>,
    planned: u64,
    clients: Vec<Client>,
    /// The server's host is off until then.
    off_until: Moment,
    /// Its program stands still until then.
    frozen_until: Moment,
    ledger: Ledger,
}

impl<'a> World<'a> {
    fn new(plan: &'a Plan<'a>) -> Self {
        let mut chance = Chance::new(plan.seed);
        let clients = (0..plan.clients).map(|_| Client::new(plan)).collect();
        let mut world = Self {
            plan,
            chance: chance.fork(),
            events: BinaryHeap::new(),
            planned: 0,
            clients,
            off_until: Moment::default(),
            frozen_until: Moment::default(),
            ledger: Ledger::default(),
        };
        for client in 0..plan.clients {
            let begin = Moment(chance.up_to(Duration::from_secs(60)));
            world.at(begin, Event::Wake { client, wish: 0 });
        }
        let begin = Moment::default();
        world.later(begin, plan.faults.crash_every, Event::Crash);
        world.later(begin, plan.faults.reboot_every, Event::Reboot);
        world.later(begin, plan.faults.freeze_every, Event::Freeze);
        for client in 0..plan.clients {
            world.later(begin, plan.faults.partition_every, Event::Partition { client });
            world.later(begin, plan.faults.renumber_every, Event::Renumber { client });
            world.later(begin, plan.faults.pause_every, Event::Pause { client });
        }
        world
    }

    fn at(&mut self, moment: Moment, event: Event) {
        self.planned += 1;
        self.events.push(Reverse((moment, self.planned, event)));
    }

    /// Some time after `now`, once in `every` on average.
    fn later(&mut self, now: Moment, every: Option<Duration>, event: Event) {
        let Some(every) = every else { return };
        let moment = Moment(now.0 + self.chance.wait(every));
        self.at(moment, event);
    }

    fn happens(&mut self, now: Moment, event: Event) {
        let faults = self.plan.faults;
        match event {
            Event::Crash => {
                self.ledger.fault(now, now, self.plan);
                self.break_all(now, Fault::Crash, true);
                self.later(now, faults.crash_every, event);
            }
            Event::Reboot => {
                self.off_until = Moment(now.0 + faults.reboot_takes);
                self.ledger.fault(now, self.off_until, self.plan);
                self.break_all(now, Fault::Reboot, false);
                self.later(self.off_until, faults.reboot_every, event);
            }
            Event::Freeze => {
                self.frozen_until = Moment(now.0 + self.chance.wait(faults.freeze_for));
                self.ledger.fault(now, self.frozen_until, self.plan);
                self.later(self.frozen_until, faults.freeze_every, event);
            }
            Event::Partition { client } => {
                let until = Moment(now.0 + self.chance.wait(faults.partition_for));
                self.client(client, |one| one.partitioned_until = until);
                self.later(until, faults.partition_every, event);
            }
            Event::Renumber { client } => {
                self.client(client, |one| {
                    one.address = one.address.wrapping_add(1);
                    one.dies(now, Fault::Renumbered);
                });
                self.later(now, faults.renumber_every, event);
            }
            Event::Pause { client } => {
                let until = Moment(now.0 + self.chance.wait(faults.pause_for));
                self.client(client, |one| one.pauses(now, until));
                self.later(until, faults.pause_every, event);
            }
            Event::Wake { client, .. }
            | Event::Answer { client, .. }
            | Event::Reset { client, .. }
            | Event::Attempted { client, .. } => self.reaches(now, client, event),
        }
    }

    /// Something happens to one client, unless its process stands still: then it happens afterwards.
    fn reaches(&mut self, now: Moment, number: u32, event: Event) {
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        if now < client.stopped_until {
            let until = client.stopped_until;
            return self.at(until, event);
        }
        match event {
            Event::Wake { wish, .. } if wish == client.wish => {}
            Event::Answer { life, beat, .. } if life == client.life => client.hears(beat, now),
            Event::Reset { life, .. } if life == client.life => {
                client.loses(now, EndedBy::Reset, &mut self.ledger, &mut self.chance);
            }
            Event::Attempted { failed, .. } => {
                client.attempted(now, failed, self.plan, &mut self.ledger, &mut self.chance);
            }
            _ => return,
        }
        self.acts(now, number);
    }

    /// Lets a client do what it wants to do now, and notes when it wants to be run again.
    fn acts(&mut self, now: Moment, number: u32) {
        loop {
            let Some(client) = self.clients.get_mut(number as usize) else { return };
            match client.wants(now, &mut self.ledger, &mut self.chance) {
                client::Wants::Send(beat) => self.sends(now, number, beat),
                client::Wants::Connect => return self.connects(now, number),
                client::Wants::WaitUntil(until) => {
                    client.wish = client.wish.wrapping_add(1);
                    let wish = client.wish;
                    // An answer that is on its way comes first, and is followed by another wish.
                    if client.answer_by.is_none_or(|answer| answer >= until) {
                        self.at(until, Event::Wake { client: number, wish });
                    }
                    return;
                }
                client::Wants::Nothing => return,
            }
        }
    }

    /// A heartbeat goes out: what comes back, and when?
    fn sends(&mut self, now: Moment, number: u32, beat: heartbeat::Beat) {
        let day = self.plan.rejects.map(|rejects| rejects(&self.plan.calendar.day(now)));
        let slow = self.chance.up_to(self.plan.faults.slow);
        let (off_until, frozen_until) = (self.off_until, self.frozen_until);
        let Some(client) = self.clients.get_mut(number as usize) else { return };
        client.answer_by = None;
        client.passes_through_box(now, self.plan.faults.forgets_after);
        let life = client.life;
        // TCP sends again until it gets through.
        let arrives = got_through(now, client.partitioned_until);
        let back = Moment(arrives.0 + ROUND_TRIP);
        let event = match client.dead_by() {
            Some(Fault::Reboot) if arrives >= off_until => Event::Reset { client: number, life },
            Some(Fault::Reboot) => {
                let back = Moment(got_through(now, off_until).0 + ROUND_TRIP);
                return self.at(back, Event::Reset { client: number, life });
            }
            Some(_) => return,
            None if day == Some(true) => {
                client.dies(now, Fault::Rejected);
                Event::Reset { client: number, life }
            }
            None => {
                let answered = Moment(back.0.max(frozen_until.0) + slow);
                client.answer_by = Some(answered);
                return self.at(answered, Event::Answer { client: number, life, beat });
            }
        };
        self.at(back, event);
    }

    fn connects(&mut self, now: Moment, number: u32) {
        let rejects =
            self.plan.rejects.is_some_and(|rejects| rejects(&self.plan.calendar.day(now)));
        let Some(client) = self.clients.get(number as usize) else { return };
        let is_silent = now < self.off_until || now < client.partitioned_until;
        let (takes, failed) = if is_silent {
            (CONNECT_TIMEOUT, Some(FailedBy::TimedOut))
        } else {
            (ROUND_TRIP, rejects.then_some(FailedBy::Rejected))
        };
        if failed == Some(FailedBy::Rejected) {
            self.ledger.rejected(now, self.plan);
        }
        self.at(Moment(now.0 + takes), Event::Attempted { client: number, failed });
    }

    fn break_all(&mut self, now: Moment, fault: Fault, resets: bool) {
        for number in 0..self.plan.clients {
            let Some(client) = self.clients.get_mut(number as usize) else { return };
            client.dies(now, fault);
            let (life, until) = (client.life, client.partitioned_until);
            if resets {
                let at = Moment(got_through(now, until).0 + ROUND_TRIP / 2);
                self.at(at, Event::Reset { client: number, life });
            }
        }
    }

    fn client(&mut self, number: u32, change: impl FnOnce(&mut Client)) {
        if let Some(client) = self.clients.get_mut(number as usize) {
            change(client);
        }
    }
}

/// When a segment that is first sent at `now` gets through a path that is broken until `until`: with the
/// first retransmission after that. 200 ms, doubled each time (RFC 6298), two minutes at the most.
fn got_through(now: Moment, until: Moment) -> Moment {
    let (mut sent, mut timeout) = (now, Duration::from_millis(200));
    while sent < until {
        sent = Moment(sent.0 + timeout);
        timeout = (timeout * 2).min(Duration::from_secs(120));
    }
    sent
}

#[cfg(test)]
mod tests;
