//! Owns a conversation with the kernel over netlink: requests out, datagrams in, until an answer ends.
//! Knows no message's meaning (see `wire`), and changes nothing by itself. Read: netlink(7),
//! linux net/netlink/af_netlink.c.

use std::{io, os::fd::OwnedFd, time::Duration};

use halfopen_core::Moment;
use rustix::{
    io::Errno,
    net::{
        AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::SocketAddrNetlink,
        sockopt::{self, Timeout},
    },
};

use crate::{
    boottime,
    wire::{answer::End, netlink::request},
};

/// A netlink socket of one protocol. It stays with the namespace that it was opened in.
#[derive(Debug)]
pub(crate) struct Conversation {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

/// One datagram of an answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Datagram<'a> {
    pub(crate) bytes: &'a [u8],
    /// The number of the request. What is left of an answer that was given up has an older one.
    pub(crate) sequence: u32,
    /// When the kernel filled it, or a little before.
    pub(crate) taken_at: Moment,
}

/// Why a conversation failed.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The request could not be sent.
    Send(io::Error),
    /// The answer did not come.
    Receive(io::Error),
    /// A datagram did not fit.
    Truncated { length: usize, room: usize },
    /// The kernel answered with this error number.
    Refused(i32),
}

impl Conversation {
    /// Opens a conversation in the namespace of the calling thread.
    pub(crate) fn open(protocol: Protocol) -> io::Result<Self> {
        let (family, kind) = (AddressFamily::NETLINK, SocketType::DGRAM);
        let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Makes room for longer datagrams.
    pub(crate) fn make_room(&mut self, length: usize) {
        self.buffer.resize(length.min(DATAGRAM_MAX), 0);
    }

    /// The number of a further request.
    pub(crate) const fn next_sequence(&mut self) -> u32 {
        self.sequence = self.sequence.wrapping_add(1);
        self.sequence
    }

    /// Sends one request and hands every datagram of its answer to `take`, until the answer ends,
    /// as `take` says of each, or `take` has all it wants.
    pub(crate) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(Datagram<'_>) -> Taken,
    ) -> Result<(), Broken> {
        let sequence = self.next_sequence();
        let message = request(kind, flags, sequence, body);
        // The kernel fills the first datagram while it takes the request, and each further one
        // while it delivers the one before. So the moment of a datagram is that before the call
        // that filled it, never the one before it was fetched: on a busy host there may be a long
        // wait between the two.
        let mut taken_at = boottime::now();
        self.send(&message)?;
        loop {
            let fills_the_next = boottime::now();
            let bytes = self.receive()?;
            match take(Datagram { bytes, sequence, taken_at }) {
                Taken::Enough | Taken::Ended(End::Complete) => return Ok(()),
                Taken::Ended(End::Refused(number)) => return Err(Broken::Refused(number)),
                Taken::More => taken_at = fills_the_next,
            }
        }
    }

    pub(crate) fn send(&self, datagram: &[u8]) -> Result<(), Broken> {
        let kernel = SocketAddrNetlink::new(0, 0);
        let send = || rustix::net::sendto(&self.socket, datagram, SendFlags::empty(), &kernel);
        rustix::io::retry_on_intr(send).map_err(|errno| Broken::Send(errno.into()))?;
        Ok(())
    }

    pub(crate) fn receive(&mut self) -> Result<&[u8], Broken> {
        let (_, length) = rustix::io::retry_on_intr(|| {
            rustix::net::recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)
        })
        .map_err(|errno: Errno| Broken::Receive(errno.into()))?;
        let room = self.buffer.len();
        self.buffer.get(..length).ok_or(Broken::Truncated { length, room })
    }
}

/// What came of a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The answer goes on.
    More,
    /// No more of it is wanted.
    Enough,
    /// It was the last.
    Ended(End),
}

impl Taken {
    /// From whether no more is wanted, and the end if there was one.
    pub(crate) fn of(has_enough: bool, end: Option<End>) -> Self {
        match end {
            _ if has_enough => Self::Enough,
            Some(end) => Self::Ended(end),
            None => Self::More,
        }
    }
}

/// NLM_F_ROOT | NLM_F_MATCH.
pub(crate) const NLM_F_DUMP: u16 = 0x300;
/// The kernel makes no datagram of a dump longer than this (netlink_recvmsg: 32 KiB), given a
/// buffer of this size.
const DATAGRAM: usize = 32 * 1024;
/// Far above what any kernel sends; a longer one is not believed.
const DATAGRAM_MAX: usize = 4 * 1024 * 1024;
/// A datagram takes the kernel well below a second even under load; silence is a defect.
const PATIENCE: Duration = Duration::from_secs(10);
