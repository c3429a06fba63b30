//! Owns how clients come in: accepting and turning away. Read: accept(2), epoll_ctl(2) on
//! EPOLLEXCLUSIVE.

use std::{
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
    time::Duration,
};

use rustix::{
    event::epoll::{self, EventFlags},
    fs::{Mode, OFlags},
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};

use super::{
    Worker,
    slot::{Awaits, Key, Slot, Token},
};
use crate::{
    notice::Notice,
    pair::Cause,
    route::{Listener, Route},
    socket,
};

/// A listener in the epoll instance of a worker.
#[derive(Debug)]
pub(crate) struct Listening {
    number: u32,
    listener: Arc<Listener>,
}

/// Whether more clients may be waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Queue {
    Empty,
    More,
}

impl Worker {
    /// Listens on these and no others.
    pub(super) fn listen(&mut self, listeners: &[Arc<Listener>]) {
        self.accept_again = None;
        for old in std::mem::take(&mut self.listening) {
            // A descriptor that is closed already has left the instance by itself.
            let _ = epoll::delete(&self.epoll, old.listener.socket.as_fd());
        }
        for (number, listener) in (0..).zip(listeners) {
            let token = Token::Listener(number).data();
            let flags = EventFlags::IN | EventFlags::EXCLUSIVE;
            match epoll::add(&self.epoll, listener.socket.as_fd(), token, flags) {
                Ok(()) => {
                    self.listening.push(Listening { number, listener: Arc::clone(listener) });
                }
                Err(errno) => self.tell_not_accepted(listener, errno),
            }
        }
    }

    pub(super) fn accept(&mut self, number: u32) {
        let found = self.listening.iter().find(|listening| listening.number == number);
        if let Some(listener) = found.map(|listening| Arc::clone(&listening.listener)) {
            self.accept_some(&listener);
        }
    }

    /// Accepts whoever has connected before the listeners are closed, which would reset them.
    pub(super) fn accept_the_last(&mut self) {
        let listening = self.listening.iter();
        let all: Vec<_> = listening.map(|listening| Arc::clone(&listening.listener)).collect();
        for listener in all {
            for _ in 0..LAST_ROUNDS {
                if self.accept_some(&listener) == Queue::Empty {
                    break;
                }
            }
        }
    }

    fn accept_some(&mut self, listener: &Listener) -> Queue {
        // It could not be had again when it was given up.
        self.spare = self.spare.take().or_else(spare);
        for _ in 0..ACCEPTS {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&listener.socket, flags) {
                Ok((socket, address)) => {
                    let address = address.and_then(|any| SocketAddr::try_from(any).ok());
                    let Some(client) = address else { continue };
                    self.welcome(&listener.route, socket, client);
                }
                Err(Errno::AGAIN) => return Queue::Empty,
                // The client was gone before it was accepted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(Errno::MFILE | Errno::NFILE) if self.spare.take().is_some() => {
                    self.accept_without_place(listener);
                }
                Err(errno) => {
                    self.tell_not_accepted(listener, errno);
                    self.pause_accepting();
                    return Queue::Empty;
                }
            }
        }
        Queue::More
    }

    /// Accepts nobody for a moment: a client that the kernel does not hand over would be reported again and
    /// again, and take the processor from all the others.
    fn pause_accepting(&mut self) {
        for listening in &self.listening {
            let _ = epoll::delete(&self.epoll, listening.listener.socket.as_fd());
        }
        self.accept_again = Some(self.now + PAUSE);
    }

    /// Accepts again, if it was paused and the pause is over.
    pub(super) fn accept_again_if_due(&mut self) {
        if self.accept_again.is_some_and(|at| at <= self.now) {
            let listening = std::mem::take(&mut self.listening);
            let all: Vec<_> = listening.into_iter().map(|listening| listening.listener).collect();
            self.listen(&all);
        }
    }

    /// No descriptor is left, and the spare one was given up for this: the client is told at once
    /// instead of waiting in the backlog for ever.
    fn accept_without_place(&mut self, listener: &Listener) {
        if let Ok((socket, Some(address))) = acceptfrom_with(&listener.socket, SocketFlags::CLOEXEC)
            && let Ok(client) = SocketAddr::try_from(address)
        {
            self.turn_away(&listener.route, socket, client, Cause::NoDescriptors);
        }
        self.spare = spare();
    }

    fn welcome(&mut self, route: &Arc<Route>, socket: OwnedFd, client: SocketAddr) {
        if !self.pools.has_buffer() {
            return self.turn_away(route, socket, client, Cause::NoMemory);
        }
        if !self.budget.take() {
            return self.turn_away(route, socket, client, Cause::TooMany);
        }
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        // Only beyond a thousand million pairs is there no key.
        let Some(key) = Key::new(entry.key(), self.generation) else {
            self.budget.give_back();
            return self.turn_away(route, socket, client, Cause::TooMany);
        };
        let token = Token::Socket(key, crate::pair::Side::Client).data();
        if let Err(errno) = epoll::add(&self.epoll, &socket, token, WATCHED) {
            self.budget.give_back();
            return self.turn_away(route, socket, client, socket::cause(errno));
        }
        self.counters.count_accepted();
        let slot = entry.insert(Slot::new(key, route, socket, client, self.now));
        if slot.awaits == Awaits::Header {
            self.await_client(key);
        } else {
            self.begin(key);
        }
    }

    fn turn_away(&mut self, route: &Route, socket: OwnedFd, client: SocketAddr, cause: Cause) {
        // Closing it resets it (`socket::keep`).
        drop(socket);
        self.counters.count_turned_away();
        let service = Arc::clone(&route.service.name);
        self.reporter.tell(Notice::TurnedAway { service, client, cause });
    }

    fn tell_not_accepted(&self, listener: &Listener, errno: Errno) {
        self.reporter.tell(Notice::NotAccepted {
            service: Arc::clone(&listener.route.service.name),
            errno: errno.raw_os_error(),
        });
    }
}

/// A descriptor for nothing but to be given up.
pub(super) fn spare() -> Option<OwnedFd> {
    rustix::fs::open("/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// For the whole life of a socket, so that a reset is seen whatever state the pair is in: EPOLLERR is
/// always reported of a socket that is registered.
pub(super) const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);

/// Connections accepted at a time, so that a burst of them does not stop the others.
const ACCEPTS: usize = 64;
/// Short beside the second after which a client repeats its connection request.
const PAUSE: Duration = Duration::from_millis(100);
/// Times [`ACCEPTS`]: the longest backlog.
const LAST_ROUNDS: usize = 1024;
