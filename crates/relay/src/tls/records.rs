//! Owns the record layer of one client's connection: what its records say to the pair, and what the pair
//! says in records. close_notify is the end of a direction, and FIN without it is no end: somebody may have
//! cut the stream (RFC 8446 section 6.1). Whatever is done about it is decided in `pair`.
//! Must not know sockets: they are `Read` and `Write`. Read: RFC 8446 sections 5 and 6.

use std::{
    fmt,
    io::{self, ErrorKind, Read, Write},
    mem,
};

use rustix::io::Errno;
use rustls::{Error, ServerConnection};

use super::Termination;
use crate::{
    pair::{Cause, Mistrust},
    socket,
};

/// The record layer of one connection.
pub(crate) struct Records {
    connection: ServerConnection,
    /// Records that are not sent yet, from `sent` on.
    outgoing: Vec<u8>,
    sent: usize,
    said_goodbye: bool,
    /// Why nothing comes any more, behind what was received.
    broken: Option<Cause>,
}

/// What came out of a client's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// So many bytes; whether the socket had no more.
    Bytes { count: usize, is_dry: bool },
    /// Nothing for now.
    Dry,
    /// close_notify: all has come.
    End,
    /// Nothing more will come, and that is not all there was.
    Broken(Cause),
}

impl Records {
    /// A connection whose handshake is to come.
    ///
    /// # Errors
    /// What the library refuses, which it does not for certificates that it has taken.
    pub(crate) fn new(termination: &Termination) -> Result<Self, Cause> {
        let connection = ServerConnection::new(termination.config.clone())
            .map_err(|_| Cause::Handshake(Mistrust::NothingShared))?;
        Ok(Self { connection, outgoing: Vec::new(), sent: 0, said_goodbye: false, broken: None })
    }

    /// Goes on with the handshake as far as the socket allows; whether it is done.
    ///
    /// # Errors
    /// Why there will be none.
    pub(crate) fn shake(&mut self, wire: &mut (impl Read + Write)) -> Result<bool, Cause> {
        loop {
            match self.flush(wire) {
                Ok(()) | Err(Errno::AGAIN) => {}
                Err(errno) => return Err(socket::cause(errno)),
            }
            if !self.connection.is_handshaking() {
                return Ok(true);
            }
            match self.connection.read_tls(wire) {
                Ok(0) => return Err(Cause::Handshake(Mistrust::Ended)),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(socket::cause(errno(&error))),
            }
            if let Err(error) = self.connection.process_new_packets() {
                // The client is told by an alert, if its socket takes it.
                let _ = self.flush(wire);
                return Err(Cause::Handshake(mistrust(&error)));
            }
        }
    }

    /// Takes what the client sent, until `into` is full or the socket has no more.
    pub(crate) fn take(&mut self, wire: &mut (impl Read + Write), into: &mut [u8]) -> Taken {
        let mut count = 0;
        loop {
            let rest = into.get_mut(count..).unwrap_or_default();
            if rest.is_empty() {
                return Taken::Bytes { count, is_dry: false };
            }
            let end = match self.connection.reader().read(rest) {
                Ok(0) => Taken::End,
                Ok(more) => {
                    count += more;
                    continue;
                }
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
                    Taken::Broken(Cause::Truncated)
                }
                Err(_) => match self.broken {
                    Some(cause) => Taken::Broken(cause),
                    None => {
                        if self.fetch(wire) {
                            continue;
                        }
                        Taken::Dry
                    }
                },
            };
            return match end {
                end if count == 0 => end,
                // What is behind the bytes is found again when they are gone.
                end => Taken::Bytes { count, is_dry: end == Taken::Dry },
            };
        }
    }

    /// Reads records from the socket; `false`: it has none.
    fn fetch(&mut self, wire: &mut (impl Read + Write)) -> bool {
        match self.connection.read_tls(wire) {
            Ok(_) => {
                if self.connection.process_new_packets().is_err() {
                    self.broken = Some(Cause::Record);
                }
                // Answers to key updates, and alerts. What does not fit now goes before what comes next.
                match self.flush(wire) {
                    Ok(()) | Err(Errno::AGAIN) => {}
                    Err(errno) => self.broken = self.broken.or(Some(socket::cause(errno))),
                }
                true
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => false,
            Err(error) => {
                self.broken = Some(socket::cause(errno(&error)));
                true
            }
        }
    }

    /// Gives bytes to the client; how many were taken. Those that the socket has no room for wait here, at
    /// most 64 KiB of them.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] as long as earlier ones wait, and what the socket answers.
    pub(crate) fn give(&mut self, wire: &mut impl Write, bytes: &[u8]) -> Result<usize, Errno> {
        self.flush(wire)?;
        let count = self.connection.writer().write(bytes).map_err(|error| errno(&error))?;
        match self.flush(wire) {
            Ok(()) | Err(Errno::AGAIN) => Ok(count),
            Err(errno) => Err(errno),
        }
    }

    /// Says close_notify behind all that was given. FIN is the caller's.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] until all of it is sent, and what the socket answers.
    pub(crate) fn finish(&mut self, wire: &mut impl Write) -> Result<(), Errno> {
        if !mem::replace(&mut self.said_goodbye, true) {
            self.connection.send_close_notify();
        }
        self.flush(wire)
    }

    /// Sends what waits.
    ///
    /// # Errors
    /// [`Errno::AGAIN`] if some of it still waits, and what the socket answers.
    pub(crate) fn flush(&mut self, wire: &mut impl Write) -> Result<(), Errno> {
        loop {
            while self.connection.wants_write() {
                self.connection.write_tls(&mut self.outgoing).map_err(|error| errno(&error))?;
            }
            let rest = self.outgoing.get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                // An idle connection holds no room for records.
                self.outgoing = Vec::new();
                self.sent = 0;
                return Ok(());
            }
            self.sent += wire.write(rest).map_err(|error| errno(&error))?;
        }
    }

    /// Bytes of records that are not sent yet.
    pub(crate) fn waiting(&self) -> usize {
        self.outgoing.len().saturating_sub(self.sent)
    }
}

impl fmt::Debug for Records {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Records").field("waiting", &self.waiting()).finish_non_exhaustive()
    }
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}

/// Why a handshake failed, in the words of the log.
fn mistrust(error: &Error) -> Mistrust {
    match error {
        Error::AlertReceived(alert) => Mistrust::Refused(u8::from(*alert)),
        Error::PeerIncompatible(_) => Mistrust::NothingShared,
        _ => Mistrust::Garbage,
    }
}
