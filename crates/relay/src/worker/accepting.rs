//! Owns how clients come in: accepting, turning away, and connecting to the upstreams in turn.
//! Read: accept(2), epoll_ctl(2) on EPOLLEXCLUSIVE.

use std::{
    cmp::Reverse,
    net::SocketAddr,
    os::fd::{AsFd as _, OwnedFd},
    sync::Arc,
};

use rustix::{
    event::epoll::{self, EventFlags},
    io::Errno,
    net::{SocketFlags, acceptfrom_with},
};

use super::{
    Worker,
    slot::{Key, Slot, Token},
};
use crate::{
    hand::Hand,
    notice::Notice,
    pair::{Both, Cause, Event, Pair, Side},
    relay::Listener,
    service::Service,
    socket,
};

/// A listener in the epoll instance of a worker.
#[derive(Debug)]
pub(crate) struct Listening {
    number: u32,
    listener: Arc<Listener>,
}

impl Worker {
    /// Listens on these and no others.
    pub(super) fn listen(&mut self, listeners: &[Arc<Listener>]) {
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
                Err(errno) => self.reporter.tell(Notice::NotAccepted {
                    service: Arc::clone(&listener.service.name),
                    errno: errno.raw_os_error(),
                }),
            }
        }
    }

    pub(super) fn accept(&mut self, number: u32) {
        let found = self.listening.iter().find(|listening| listening.number == number);
        let Some(listener) = found.map(|listening| Arc::clone(&listening.listener)) else { return };
        for _ in 0..ACCEPTS {
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&listener.socket, flags) {
                Ok((socket, address)) => {
                    let address = address.and_then(|any| SocketAddr::try_from(any).ok());
                    let Some(client) = address else { continue };
                    self.welcome(&listener.service, socket, client);
                }
                Err(Errno::AGAIN) => return,
                // The client was gone before it was accepted.
                Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(errno) => {
                    return self.reporter.tell(Notice::NotAccepted {
                        service: Arc::clone(&listener.service.name),
                        errno: errno.raw_os_error(),
                    });
                }
            }
        }
    }

    fn welcome(&mut self, service: &Arc<Service>, socket: OwnedFd, client: SocketAddr) {
        if !self.budget.take() {
            return self.turn_away(service, socket, client, Cause::TooMany);
        }
        self.generation = self.generation.wrapping_add(1);
        let entry = self.slots.vacant_entry();
        let Some(key) = Key::new(entry.key(), self.generation) else { return };
        let token = Token::Socket(key, Side::Client).data();
        if let Err(errno) = epoll::add(&self.epoll, &socket, token, WATCHED) {
            self.budget.give_back();
            return self.turn_away(service, socket, client, socket::cause(errno));
        }
        entry.insert(Slot {
            key,
            pair: Pair::new(service.half_closed_idle, self.now),
            sockets: Both { client: Some(socket), upstream: None },
            hands: Both { client: Hand::Empty, upstream: Hand::Empty },
            service: Arc::clone(service),
            client,
            upstream: None,
            tried: 0,
            since: self.now,
            armed: None,
            is_looked_at: false,
        });
        self.try_next_upstream(key, Cause::Refused);
    }

    /// Connects to the next upstream; if there is none left, the pair ends for this `cause`.
    pub(super) fn try_next_upstream(&mut self, key: Key, mut cause: Cause) {
        loop {
            let now = self.now;
            let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.key == key) else {
                return;
            };
            slot.sockets.upstream = None;
            let Some(address) = slot.service.upstreams.get(slot.tried).copied() else {
                return self.handle_pair(key, Event::Failed(Side::Upstream, cause));
            };
            slot.tried += 1;
            slot.upstream = Some(address);
            let outcome = socket::connecting(address, &slot.service.upstream).and_then(|socket| {
                let token = Token::Socket(key, Side::Upstream).data();
                epoll::add(&self.epoll, &socket, token, WATCHED)?;
                Ok(socket)
            });
            match outcome {
                Ok(socket) => {
                    slot.sockets.upstream = Some(socket);
                    let deadline = now + slot.service.connect_timeout;
                    slot.armed = Some(deadline);
                    self.timers.push(Reverse((deadline, key)));
                    return;
                }
                Err(error) => {
                    let errno = Errno::from_io_error(&error).unwrap_or(Errno::IO);
                    cause = socket::cause(errno);
                }
            }
        }
    }

    fn turn_away(
        &mut self,
        service: &Arc<Service>,
        socket: OwnedFd,
        client: SocketAddr,
        cause: Cause,
    ) {
        socket::reset(socket);
        let service = Arc::clone(&service.name);
        self.reporter.tell(Notice::TurnedAway { service, client, cause });
    }
}

/// For the whole life of a socket, so that a reset is seen whatever state the pair is in: EPOLLERR is
/// always reported of a socket that is registered.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::RDHUP)
    .union(EventFlags::PRI)
    .union(EventFlags::ET);

/// Connections accepted at a time, so that a burst of them does not stop the others.
const ACCEPTS: usize = 64;
