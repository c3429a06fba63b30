//! Owns the reading of the PROXY header with which clients of some listeners begin. Nothing behind it
//! is taken. The format is in `proxy_header`.

use std::os::fd::AsFd as _;

use rustix::{
    io::Errno,
    net::{RecvFlags, recv},
};

use super::{
    Worker,
    slot::{Awaits, Key},
};
use crate::{
    pair::{Cause, Event, Side},
    proxy_header::{self, Header, LENGTH_MAX, NotAHeader},
    socket,
};

impl Worker {
    /// Reads a client's header, if it is here, and goes on with what comes behind it.
    pub(super) fn read_header(&mut self, key: Key) {
        let Some(slot) = self.slot(key) else { return };
        let Some(client) = &slot.sockets.client else { return };
        let mut bytes = [0; LENGTH_MAX];
        let event = match recv(client.as_fd(), &mut bytes, RecvFlags::PEEK) {
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(errno) => Event::Failed(Side::Client, socket::cause(errno)),
            Ok((_, length)) => match proxy_header::read(bytes.get(..length).unwrap_or_default()) {
                Ok(header) => {
                    let taken = bytes.get_mut(..header.length).unwrap_or_default();
                    // It was there a moment ago, and nobody else reads.
                    match recv(client.as_fd(), taken, RecvFlags::empty()) {
                        Ok(_) => return self.handle_header(key, header),
                        Err(errno) => Event::Failed(Side::Client, socket::cause(errno)),
                    }
                }
                // Where its FIN is here, no more will come.
                Err(NotAHeader::Incomplete) if length > 0 => return,
                Err(_) => Event::Failed(Side::Client, Cause::NoHeader),
            },
        };
        self.handle_pair(key, event);
    }

    fn handle_header(&mut self, key: Key, header: Header) {
        let Some(slot) = self.slot(key) else { return };
        slot.awaits = Awaits::Nothing;
        slot.client = header.client.unwrap_or(slot.client);
        self.begin(key);
        // What is behind the header may have come with it, and is not reported again.
        self.greet(key);
    }
}
