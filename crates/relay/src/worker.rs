//! Owns one thread of the relay: an epoll instance and the pairs that were accepted by it. Nothing is
//! shared between workers but the listeners and counters. Read: epoll(7).

mod accepting;
mod budget;
mod connecting;
mod greeting;
mod header;
mod looking;
mod slot;
mod timers;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Instant,
};

use rustix::{
    buffer::spare_capacity,
    event::{
        Timespec,
        epoll::{self, Event as Reported, EventData, EventFlags},
    },
};
use slab::Slab;

pub(crate) use budget::Budget;
use slot::{Awaits, Key, Slot, Token};
use timers::Timers;

use crate::{
    hand::{Allowance, Pools},
    mailbox::{Command, Mailbox},
    notice::{Notice, Record},
    pair::{Action, Both, Cause, Ending, Event, Readiness, Side},
    reporter::Reporter,
    totals::Counters,
    transfer,
};
use accepting::Listening;

/// One thread of the relay.
pub(crate) struct Worker {
    epoll: OwnedFd,
    mailbox: Arc<Mailbox>,
    listening: Vec<Listening>,
    slots: Slab<Slot>,
    /// Tells a slot from one that was in the same place before.
    generation: u32,
    pools: Pools,
    /// Pairs with more to do than their share allowed.
    unfinished: Vec<Key>,
    /// Pairs whose TLS handshake is going on.
    shaking: usize,
    /// When to tick which pair.
    timers: Timers,
    /// Pairs with data on its way.
    in_flight: Vec<Key>,
    next_look: Instant,
    reporter: Reporter,
    budget: Arc<Budget>,
    counters: Arc<Counters>,
    /// Given up for a moment when no descriptor is left, so that a client can be turned away.
    spare: Option<OwnedFd>,
    /// Until then nobody is accepted, since the kernel refused it.
    accept_again: Option<Instant>,
    draining: bool,
    stopping: bool,
    now: Instant,
}

impl Worker {
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        budget: Arc<Budget>,
        allowance: Arc<Allowance>,
        counters: Arc<Counters>,
        reporter: Reporter,
        now: Instant,
    ) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, mailbox.as_fd(), Token::Mailbox.data(), EventFlags::IN)?;
        Ok(Self {
            epoll,
            mailbox,
            listening: Vec::new(),
            slots: Slab::new(),
            generation: 0,
            pools: Pools::new(allowance),
            unfinished: Vec::new(),
            shaking: 0,
            timers: Timers::new(),
            in_flight: Vec::new(),
            next_look: now,
            reporter,
            budget,
            counters,
            spare: accepting::spare(),
            accept_again: None,
            draining: false,
            stopping: false,
            now,
        })
    }

    /// Relays until it is told to stop, and until all its pairs have ended if it is told to drain.
    pub(crate) fn run(mut self) -> io::Result<()> {
        let mut events: Vec<Reported> = Vec::with_capacity(EVENTS);
        while !self.is_over() {
            let timeout = self.timeout();
            events.clear();
            match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            self.now = Instant::now();
            for event in &events {
                self.handle(event.data, event.flags);
            }
            for key in std::mem::take(&mut self.unfinished) {
                if let Some(slot) = self.slot(key) {
                    slot.is_unfinished = false;
                    self.drive(key);
                }
            }
            self.handle_timers();
            self.look_if_due();
            self.accept_again_if_due();
        }
        for key in self.slots.iter().map(|(_, slot)| slot.key).collect::<Vec<_>>() {
            self.handle_pair(key, Event::Evicted(Cause::Drained));
        }
        Ok(())
    }

    fn is_over(&self) -> bool {
        self.stopping || (self.draining && self.slots.is_empty())
    }

    fn timeout(&self) -> Option<Timespec> {
        if !self.unfinished.is_empty() {
            return Some(Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let look = (!self.in_flight.is_empty()).then_some(self.next_look);
        let next = [self.timers.next(), look, self.accept_again].into_iter().flatten().min()?;
        let left = next.saturating_duration_since(self.now);
        Some(Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: left.subsec_nanos().into(),
        })
    }

    fn handle(&mut self, data: EventData, flags: EventFlags) {
        match Token::from(data) {
            Token::Mailbox => self.handle_commands(),
            Token::Listener(number) => self.accept(number),
            Token::Socket(key, side) => {
                let readiness = Readiness {
                    readable: flags.contains(EventFlags::IN),
                    writable: flags.contains(EventFlags::OUT),
                    hung_up: flags.intersects(EventFlags::RDHUP | EventFlags::HUP),
                    urgent: flags.contains(EventFlags::PRI),
                    failed: flags.contains(EventFlags::ERR),
                };
                self.handle_readiness(key, side, readiness);
            }
        }
    }

    fn handle_commands(&mut self) {
        for command in self.mailbox.take() {
            match command {
                Command::Listen(listeners) => self.listen(&listeners),
                Command::Drain => {
                    self.draining = true;
                    self.accept_the_last();
                    self.listen(&[]);
                }
                Command::Beat => {}
                Command::Stop => self.stopping = true,
            }
        }
    }

    fn handle_readiness(&mut self, key: Key, side: Side, readiness: Readiness) {
        let Some(slot) = self.slot(key) else { return };
        let flushed = (side == Side::Client && readiness.writable).then(|| slot.flush()).flatten();
        let is_connecting = side == Side::Upstream && slot.pair.is_connecting();
        if is_connecting && !self.handle_connecting(key, readiness) {
            return;
        }
        self.handle_pair(key, Event::Ready(side, readiness));
        if let Some(failure) = flushed {
            self.handle_pair(key, failure);
        }
        if side == Side::Client {
            self.greet(key);
        }
    }

    fn handle_pair(&mut self, key: Key, event: Event) {
        let now = self.now;
        if let Some(slot) = self.slot(key) {
            slot.pair.handle(event, now);
            self.drive(key);
        }
    }

    /// Does what a pair wants done, until it waits or has had its share.
    fn drive(&mut self, key: Key) {
        let now = self.now;
        let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.key == key) else {
            return;
        };
        let (mut gave, mut relayed) = (false, Both::<usize>::default());
        let mut outcome = Outcome::Unfinished;
        for _ in 0..SHARE {
            let event = match slot.pair.poll() {
                Action::Wait => {
                    outcome = Outcome::Waits;
                    break;
                }
                Action::Reset(_) | Action::Close(_) => {
                    outcome = Outcome::Over;
                    break;
                }
                action => slot.carry_out(action, &mut self.pools),
            };
            gave |= matches!(event, Event::Gave(..) | Event::Finished(_));
            if let Event::Gave(to, bytes) = event {
                relayed[to.other()] += bytes;
            }
            slot.pair.handle(event, now);
        }
        for side in Side::BOTH.into_iter().filter(|side| relayed[*side] > 0) {
            self.counters.count_relayed(side, relayed[side] as u64);
        }
        match outcome {
            Outcome::Over => self.end(key),
            Outcome::Waits => self.rest(key, gave),
            Outcome::Unfinished => {
                if !std::mem::replace(&mut slot.is_unfinished, true) {
                    self.unfinished.push(key);
                }
                self.rest(key, gave);
            }
        }
    }

    /// Sees to it that a pair is looked at again when that is due.
    fn rest(&mut self, key: Key, gave: bool) {
        let Some(slot) = self.slots.get_mut(key.index()) else { return };
        // A timer that is due sooner looks again.
        let deadline = slot.pair.deadline().filter(|at| slot.armed.is_none_or(|armed| *at < armed));
        if let Some(deadline) = deadline {
            slot.armed = Some(deadline);
            self.timers.push(deadline, key);
        }
        if gave && !slot.is_looked_at {
            slot.is_looked_at = true;
            let next = self.now + slot.look_every();
            let is_first = self.in_flight.is_empty();
            self.next_look = if is_first { next } else { self.next_look.min(next) };
            self.in_flight.push(key);
        }
    }

    fn handle_timers(&mut self) {
        while let Some((at, key)) = self.timers.pop(self.now) {
            let Some(slot) = self.slot(key) else { continue };
            slot.watch_upstream();
            if slot.armed != Some(at) {
                continue;
            }
            slot.armed = None;
            if let Some(cause) = slot.awaits.too_late() {
                self.handle_pair(key, Event::Failed(Side::Client, cause));
            } else if slot.pair.is_connecting() {
                self.handle_kept_out(key, Cause::ConnectTimeout);
            } else {
                self.handle_pair(key, Event::Tick);
            }
        }
    }

    /// Carries out the last action of a pair, and tells about it.
    fn end(&mut self, key: Key) {
        let Some(slot) = self.slots.try_remove(key.index()) else { return };
        let (Action::Close(ending) | Action::Reset(ending)) = slot.pair.poll() else { return };
        if let Ending::Broken {
            side: Some(Side::Upstream),
            cause: Cause::Silent(_) | Cause::KernelGaveUp,
        } = ending
            && let Some(upstream) = slot.upstream()
        {
            upstream.handle_found_dead(&self.reporter, self.now);
        }
        let to = slot.upstream().map(|upstream| upstream.address);
        let Slot { sockets, hands, pair, awaits, .. } = slot;
        // Closing them resets what has not ended in both directions (`socket::keep`).
        drop(sockets);
        let each = |get: &dyn Fn(Side) -> u64| Both {
            client: get(Side::Client),
            upstream: get(Side::Upstream),
        };
        let held = Both { client: pair.held(Side::Client), upstream: pair.held(Side::Upstream) };
        transfer::let_go(hands, held, &mut self.pools);
        self.budget.give_back();
        let slots = &self.slots;
        let is_there = |key: Key| slots.get(key.index()).is_some_and(|slot| slot.key == key);
        self.timers.sweep(is_there);
        self.shaking -= usize::from(awaits == Awaits::Handshake);
        self.counters.count_ended(ending);
        self.reporter.tell(Notice::Ended(Record {
            service: Arc::clone(&slot.route.service.name),
            client: slot.client,
            upstream: to,
            ending,
            relayed: each(&|side| pair.relayed(side)),
            lasted: self.now.saturating_duration_since(slot.since),
            detect_within: Both {
                client: slot.route.service.client.detect_within,
                upstream: slot.route.service.upstream.detect_within,
            },
        }));
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index()).filter(|slot| slot.key == key)
    }
}

/// What came of a pair's share.
enum Outcome {
    Waits,
    Unfinished,
    Over,
}

/// As many events are fetched at once; the kernel keeps the others in order.
const EVENTS: usize = 256;
/// Calls for one pair before the others have their turn: a mebibyte or so.
const SHARE: usize = 32;
