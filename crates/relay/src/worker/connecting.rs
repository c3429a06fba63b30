//! Owns the way to an upstream: which one, the header that tells it who the client is, and what comes
//! of connecting. Which is next is decided in `health`.

use std::{net::SocketAddr, os::fd::AsFd as _, time::Duration};

use rustix::{
    event::epoll,
    io::Errno,
    net::{getsockname, sockopt},
};

use super::{
    Worker,
    accepting::WATCHED,
    slot::{Key, Slot, Token},
};
use crate::{
    hand::Pools,
    pair::{Cause, Event, Readiness, Side},
    proxy_header, socket,
};

impl Worker {
    /// Connects to the next upstream; if there is none left, the pair ends for this `cause`.
    pub(super) fn try_next_upstream(&mut self, key: Key, mut cause: Cause) {
        loop {
            let now = self.now;
            let Some(slot) = self.slots.get_mut(key.index()).filter(|slot| slot.key == key) else {
                return;
            };
            slot.sockets.upstream = None;
            let Some((place, upstream)) = slot.route.next(slot.turn, slot.tried) else {
                return self.handle_pair(key, Event::Failed(Side::Upstream, cause));
            };
            slot.tried |= 1 << place;
            slot.upstream = u8::try_from(place).ok();
            let outcome = socket::connecting(upstream.address).and_then(|socket| {
                let token = Token::Socket(key, Side::Upstream).data();
                epoll::add(&self.epoll, &socket, token, WATCHED)?;
                Ok(socket)
            });
            match outcome {
                Ok(socket) => {
                    slot.sockets.upstream = Some(socket);
                    let deadline = now + slot.route.service.connect_timeout;
                    slot.armed = Some(deadline);
                    self.timers.push(deadline, key);
                    return;
                }
                Err(error) => {
                    cause = socket::cause(Errno::from_io_error(&error).unwrap_or(Errno::IO));
                    if !socket::is_want_of_ours(&error) {
                        upstream.handle_kept_out(&self.reporter, now);
                    }
                }
            }
        }
    }

    /// An upstream did not accept, for this `cause`.
    pub(super) fn handle_kept_out(&mut self, key: Key, cause: Cause) {
        let now = self.now;
        if let Some(upstream) = self.slot(key).and_then(|slot| slot.upstream().cloned()) {
            upstream.handle_kept_out(&self.reporter, now);
        }
        self.try_next_upstream(key, cause);
    }

    /// What epoll says of a socket that is being connected; whether it now is.
    pub(super) fn handle_connecting(&mut self, key: Key, readiness: Readiness) -> bool {
        let now = self.now;
        let Some(slot) = self.slot(key) else { return false };
        let Some(socket) = &slot.sockets.upstream else { return false };
        // One that can be written to and reports neither error nor end has no error to be asked for.
        let is_clear = readiness.writable && !readiness.failed && !readiness.hung_up;
        let error = if is_clear { Ok(Ok(())) } else { sockopt::socket_error(socket) };
        match error {
            Ok(Ok(())) if readiness.failed || !readiness.writable => return false,
            Ok(Ok(())) => {
                prepend_header(slot);
                slot.pair.handle(Event::Connected, now);
            }
            // Before it is connected, a reset is ECONNREFUSED: this one let the client in, perhaps said
            // something, and reset it since.
            Ok(Err(errno)) if socket::cause(errno) == Cause::Reset => {
                slot.pair.handle(Event::Connected, now);
                slot.pair.handle(Event::Failed(Side::Upstream, Cause::Reset), now);
            }
            Ok(Err(errno)) | Err(errno) => {
                self.handle_kept_out(key, socket::cause(errno));
                return false;
            }
        }
        if let Some(upstream) = slot.upstream().cloned() {
            upstream.handle_let_in(&self.reporter, now);
        }
        self.timers.push(now + WATCH_AFTER, key);
        true
    }
}

/// Well before the shortest keepalive would ask, and after the end of most connections of a busy relay.
const WATCH_AFTER: Duration = Duration::from_millis(500);

/// Puts the header into the client's hand, if the upstream wants one.
fn prepend_header(slot: &mut Slot) {
    let Some(version) = slot.route.service.header_out else { return };
    let local = slot.sockets.client.as_ref().and_then(|socket| getsockname(socket.as_fd()).ok());
    let local = local.and_then(|any| SocketAddr::try_from(any).ok());
    // A client that is gone already needs no header: its error is pending.
    let Some(local) = local else { return };
    let header = proxy_header::write(version, slot.client, local);
    slot.pair.prefix(Side::Client, header.len());
    slot.hands.client = Pools::own(header);
}
