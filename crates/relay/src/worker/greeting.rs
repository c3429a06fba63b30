//! Owns what comes between accepting a client and connecting to an upstream: its header, its TLS handshake,
//! and how long it may take for each. The header is read in `header`, the handshake in `tls`.

use std::os::fd::AsFd as _;

use super::{
    Worker,
    slot::{Awaits, Key},
};
use crate::{
    pair::{Cause, Event, Mistrust, Side},
    tls::{Records, Wire},
};

impl Worker {
    /// Goes on with what the client has sent, if something has to come from it first.
    pub(super) fn greet(&mut self, key: Key) {
        match self.slot(key).map(|slot| slot.awaits) {
            Some(Awaits::Header) => self.read_header(key),
            Some(Awaits::Handshake) => self.shake(key),
            Some(Awaits::Nothing) | None => {}
        }
    }

    /// The client's header is read, or there is to be none: its handshake is next, or the upstream.
    pub(super) fn begin(&mut self, key: Key) {
        let has_place = self.shaking < HANDSHAKES_MAX;
        let Some(slot) = self.slot(key) else { return };
        let Some(termination) = &slot.route.service.tls else {
            return self.try_next_upstream(key, Cause::Refused);
        };
        let records = if has_place {
            Records::new(termination)
        } else {
            Err(Cause::Handshake(Mistrust::TooMany))
        };
        match records {
            Ok(records) => {
                slot.records = Some(Box::new(records));
                slot.awaits = Awaits::Handshake;
                self.shaking += 1;
                self.await_client(key);
            }
            Err(cause) => self.handle_pair(key, Event::Failed(Side::Client, cause)),
        }
    }

    /// The client has so long for what is awaited of it.
    pub(super) fn await_client(&mut self, key: Key) {
        let now = self.now;
        let Some(slot) = self.slot(key) else { return };
        let deadline = now + slot.route.service.connect_timeout;
        slot.armed = Some(deadline);
        self.timers.push(deadline, key);
    }

    fn shake(&mut self, key: Key) {
        let Some(slot) = self.slot(key) else { return };
        let (Some(socket), Some(records)) = (&slot.sockets.client, &mut slot.records) else {
            return;
        };
        match records.shake(&mut Wire(socket.as_fd())) {
            Ok(false) => {}
            Ok(true) => {
                slot.awaits = Awaits::Nothing;
                self.shaking -= 1;
                self.try_next_upstream(key, Cause::Refused);
            }
            Err(cause) => self.handle_pair(key, Event::Failed(Side::Client, cause)),
        }
    }
}

/// Of each worker. A handshake holds some ten KiB and a millisecond of a processor: these are what one can
/// do within a second, and a client that has to wait longer is better told at once.
const HANDSHAKES_MAX: usize = 1024;
