//! Owns the conversation with ctnetlink: a dump of a namespace's table, and exact look-ups.
//! Decodes nothing itself (see `wire`) and asks for no change. Read: netlink(7),
//! linux net/netfilter/nfnetlink.c, net/netfilter/nf_conntrack_netlink.c.

use std::{io, os::fd::OwnedFd, time::Duration};

use halfopen_core::{Route, TrackedFlow};
use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
        sockopt::{self, Timeout},
    },
};

use super::activity;
use crate::wire::{
    WireError,
    answer::End,
    ctnetlink::{self, Answer, CT_GET},
    netlink::request,
};

/// A conversation with connection tracking in one network namespace. It needs CAP_NET_ADMIN in the
/// user namespace that owns the network namespace.
#[derive(Debug)]
pub struct Conntrack {
    socket: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Conntrack {
    /// Opens a conversation in the namespace of the calling thread. It stays with that namespace
    /// wherever it is used afterwards.
    ///
    /// # Errors
    /// [`ConntrackError::NotLoaded`] where opening or asking would load a kernel module,
    /// [`ConntrackError::Open`] where the kernel has no nfnetlink or descriptors have run out.
    pub fn open() -> Result<Self, ConntrackError> {
        if !activity::is_answering() {
            return Err(ConntrackError::NotLoaded);
        }
        let failed = |errno: Errno| ConntrackError::Open { cause: errno.into() };
        let socket = rustix::net::socket_with(
            AddressFamily::NETLINK,
            SocketType::DGRAM,
            SocketFlags::CLOEXEC,
            Some(netlink::NETFILTER),
        )
        .map_err(failed)?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE)).map_err(failed)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; DATAGRAM] })
    }

    /// Hands every TCP entry of the namespace to `each`, and returns what could not be decoded. An
    /// entry that moves in the table meanwhile may be missed or come twice.
    ///
    /// # Errors
    /// [`ConntrackError::NotPermitted`] without CAP_NET_ADMIN, [`ConntrackError::Send`],
    /// [`ConntrackError::Receive`] and [`ConntrackError::Refused`] where netlink fails,
    /// [`ConntrackError::Truncated`] where a datagram is longer than any known kernel makes it.
    pub fn dump(
        &mut self,
        mut each: impl FnMut(TrackedFlow),
    ) -> Result<Vec<WireError>, ConntrackError> {
        let mut malformed = Vec::new();
        self.ask(NLM_F_DUMP, &ctnetlink::dump_request(), |answer| {
            answer.flows.into_iter().for_each(&mut each);
            malformed.extend(answer.malformed);
            false
        })?;
        Ok(malformed)
    }

    /// The entry, in the default zone, whose original route or whose reply is `route`.
    ///
    /// # Errors
    /// As [`Conntrack::dump`], and [`ConntrackError::Malformed`] where the entry could not be decoded.
    pub fn look_up(&mut self, route: &Route) -> Result<Option<TrackedFlow>, ConntrackError> {
        let plain = |end: std::net::SocketAddr| (end.ip().to_canonical(), end.port()).into();
        let route = Route { from: plain(route.from), to: plain(route.to) };
        let (mut found, mut malformed) = (None, None);
        let asked = self.ask(0, &ctnetlink::look_up_request(&route), |answer| {
            found = answer.flows.into_iter().next();
            malformed = answer.malformed.into_iter().next();
            // The answer is one message, without an end of its own.
            found.is_some() || malformed.is_some()
        });
        match asked {
            Ok(()) => malformed.map_or(Ok(found), |error| Err(error.into())),
            Err(ConntrackError::Refused { cause })
                if Errno::from_io_error(&cause) == Some(Errno::NOENT) =>
            {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Sends one request and hands every datagram of its answer to `take`, until the answer ends
    /// or `take` says that it has all it wants.
    fn ask(
        &mut self,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(Answer) -> bool,
    ) -> Result<(), ConntrackError> {
        // What is left of an answer that was given up carries an older number.
        self.sequence = self.sequence.wrapping_add(1);
        let message = request(CT_GET, flags, self.sequence, body);
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::io::retry_on_intr(|| {
            rustix::net::sendto(&self.socket, &message, SendFlags::empty(), &kernel)
        })
        .map_err(|errno| ConntrackError::Send { cause: errno.into() })?;
        loop {
            let (_, length) = rustix::io::retry_on_intr(|| {
                rustix::net::recv(&self.socket, &mut self.buffer[..], RecvFlags::TRUNC)
            })
            .map_err(|errno| ConntrackError::Receive { cause: errno.into() })?;
            let room = self.buffer.len();
            let datagram =
                self.buffer.get(..length).ok_or(ConntrackError::Truncated { length, room })?;
            let mut answer = ctnetlink::decode_datagram(datagram, self.sequence);
            let end = answer.end.take();
            if take(answer) {
                return Ok(());
            }
            match end {
                None => {}
                Some(End::Complete) => return Ok(()),
                Some(End::Refused(number)) => return Err(refusal(number)),
            }
        }
    }
}

fn refusal(number: i32) -> ConntrackError {
    let cause = io::Error::from_raw_os_error(number);
    if cause.kind() == io::ErrorKind::PermissionDenied {
        ConntrackError::NotPermitted
    } else {
        ConntrackError::Refused { cause }
    }
}

/// Why connection tracking could not be asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConntrackError {
    /// The kernel lists entries to those only who may administer the namespace's network.
    #[error("read the entries of connection tracking: needs CAP_NET_ADMIN (run as root)")]
    NotPermitted,
    /// Asking would load the module that answers.
    #[error(
        "read the entries of connection tracking: the kernel module nf_conntrack_netlink is not loaded, and looking loads nothing; load it with modprobe"
    )]
    NotLoaded,
    /// No netlink socket could be opened.
    #[error(
        "open a netfilter socket: {cause}; the kernel needs CONFIG_NF_CT_NETLINK, and containers must not filter netlink"
    )]
    Open {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The request could not be sent.
    #[error("ask connection tracking: {cause}; a security filter may forbid it")]
    Send {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The answer did not come.
    #[error("read the answer of connection tracking: {cause}; try again")]
    Receive {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The kernel does not answer this.
    #[error(
        "list the entries of connection tracking: the kernel answered {cause}; it needs CONFIG_NF_CT_NETLINK"
    )]
    Refused {
        /// The error number that it answered with.
        cause: io::Error,
    },
    /// The answer is not what ctnetlink promises.
    #[error(transparent)]
    Malformed(#[from] WireError),
    /// A datagram did not fit.
    #[error(
        "read the answer of connection tracking: a datagram has {length} bytes, and there is room for {room}; this is a defect, please report it"
    )]
    Truncated {
        /// Its length.
        length: usize,
        /// The room that there was.
        room: usize,
    },
}

/// NLM_F_ROOT | NLM_F_MATCH.
const NLM_F_DUMP: u16 = 0x300;
/// The kernel makes no datagram of a dump longer than this (netlink_recvmsg: 32 KiB), given a
/// buffer of this size.
const DATAGRAM: usize = 32 * 1024;
/// A datagram takes the kernel well below a second even under load; silence is a defect.
const PATIENCE: Duration = Duration::from_secs(10);
