//! Owns one thread of the relay: an epoll instance and the pairs that were accepted by it. Nothing is
//! shared between workers but the listeners and counters. Read: epoll(7).

mod accepting;
mod budget;
mod looking;
mod slot;

use std::{
    cmp::Reverse,
    collections::BinaryHeap,
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
use slot::{Key, Slot, Token};

use crate::{
    hand::Pools,
    mailbox::{Command, Mailbox},
    notice::{Notice, Record},
    pair::{Action, Both, Cause, Event, Readiness, Side},
    reporter::Reporter,
    socket, transfer,
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
    /// When to tick which pair.
    timers: BinaryHeap<Reverse<(Instant, Key)>>,
    /// Pairs with data on its way.
    in_flight: Vec<Key>,
    next_look: Instant,
    reporter: Reporter,
    budget: Arc<Budget>,
    draining: bool,
    stopping: bool,
    now: Instant,
}

impl Worker {
    pub(crate) fn new(
        mailbox: Arc<Mailbox>,
        budget: Arc<Budget>,
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
            pools: Pools::default(),
            unfinished: Vec::new(),
            timers: BinaryHeap::new(),
            in_flight: Vec::new(),
            next_look: now,
            reporter,
            budget,
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
                self.drive(key);
            }
            self.handle_timers();
            self.look_if_due();
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
        let timer = self.timers.peek().map(|Reverse((at, _))| *at);
        let look = (!self.in_flight.is_empty()).then_some(self.next_look);
        let next = timer.into_iter().chain(look).min()?;
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
                    self.listen(&[]);
                }
                Command::Stop => self.stopping = true,
            }
        }
    }

    fn handle_readiness(&mut self, key: Key, side: Side, readiness: Readiness) {
        let now = self.now;
        let Some(slot) = self.slot(key) else { return };
        if slot.pair.is_connecting() && side == Side::Upstream {
            let Some(upstream) = &slot.sockets.upstream else { return };
            match rustix::net::sockopt::socket_error(upstream) {
                Ok(Ok(())) if readiness.failed || !readiness.writable => return,
                Ok(Ok(())) => slot.pair.handle(Event::Connected, now),
                Ok(Err(errno)) | Err(errno) => {
                    return self.try_next_upstream(key, socket::cause(errno));
                }
            }
        }
        slot.pair.handle(Event::Ready(side, readiness), now);
        self.drive(key);
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
        let mut gave = false;
        for _ in 0..SHARE {
            let event = match slot.pair.poll() {
                Action::Wait => {
                    self.rest(key, gave);
                    return;
                }
                Action::Reset(_) | Action::Close(_) => return self.end(key),
                action => slot.carry_out(action, &mut self.pools),
            };
            gave |= matches!(event, Event::Gave(..) | Event::Finished(_));
            slot.pair.handle(event, now);
        }
        self.unfinished.push(key);
        self.rest(key, gave);
    }

    /// Sees to it that a pair is looked at again when that is due.
    fn rest(&mut self, key: Key, gave: bool) {
        let Some(slot) = self.slots.get_mut(key.index()) else { return };
        // A timer that is due sooner looks again.
        let deadline = slot.pair.deadline().filter(|at| slot.armed.is_none_or(|armed| *at < armed));
        if let Some(deadline) = deadline {
            slot.armed = Some(deadline);
            self.timers.push(Reverse((deadline, key)));
        }
        if gave && !slot.is_looked_at {
            slot.is_looked_at = true;
            if self.in_flight.is_empty() {
                self.next_look = self.now + slot.look_every();
            }
            self.in_flight.push(key);
        }
    }

    fn handle_timers(&mut self) {
        while let Some(Reverse((at, key))) = self.timers.peek().copied() {
            if at > self.now {
                return;
            }
            self.timers.pop();
            let Some(slot) = self.slot(key) else { continue };
            if slot.armed != Some(at) {
                continue;
            }
            slot.armed = None;
            if slot.pair.is_connecting() {
                self.try_next_upstream(key, Cause::ConnectTimeout);
            } else {
                self.handle_pair(key, Event::Tick);
            }
        }
    }

    /// Carries out the last action of a pair, and tells about it.
    fn end(&mut self, key: Key) {
        let Some(slot) = self.slots.try_remove(key.index()) else { return };
        let (resets, ending) = match slot.pair.poll() {
            Action::Close(ending) => (false, ending),
            Action::Reset(ending) => (true, ending),
            _ => return,
        };
        let Slot { sockets, hands, pair, .. } = slot;
        for socket in [sockets.client, sockets.upstream].into_iter().flatten() {
            if resets { socket::reset(socket) } else { socket::close(socket) }
        }
        let each = |get: &dyn Fn(Side) -> u64| Both {
            client: get(Side::Client),
            upstream: get(Side::Upstream),
        };
        let held = Both { client: pair.held(Side::Client), upstream: pair.held(Side::Upstream) };
        transfer::let_go(hands, held, &mut self.pools);
        self.budget.give_back();
        self.reporter.tell(Notice::Ended(Record {
            service: Arc::clone(&slot.service.name),
            client: slot.client,
            upstream: slot.upstream,
            ending,
            relayed: each(&|side| pair.relayed(side)),
            lasted: self.now.saturating_duration_since(slot.since),
            detect_within: Both {
                client: slot.service.client.detect_within,
                upstream: slot.service.upstream.detect_within,
            },
        }));
    }

    fn slot(&mut self, key: Key) -> Option<&mut Slot> {
        self.slots.get_mut(key.index()).filter(|slot| slot.key == key)
    }
}

/// As many events are fetched at once; the kernel keeps the others in order.
const EVENTS: usize = 256;
/// Calls for one pair before the others have their turn: a mebibyte or so.
const SHARE: usize = 32;
