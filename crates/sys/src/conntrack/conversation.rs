//! Owns the conversation with ctnetlink: a dump of a namespace's table, and exact look-ups.
//! Decodes nothing itself (see `wire`) and asks for no change. Read: netlink(7),
//! linux net/netfilter/nfnetlink.c, net/netfilter/nf_conntrack_netlink.c.

use std::io;

use halfopen_core::{Route, TrackedFlow};
use rustix::{io::Errno, net::netlink};

use super::activity;
use crate::{
    conversation::{Broken, Conversation, NLM_F_DUMP, Taken},
    wire::{
        WireError,
        answer::Answer,
        ctnetlink::{self, CT_GET},
    },
};

/// A conversation with connection tracking in one network namespace. It needs CAP_NET_ADMIN in the
/// user namespace that owns the network namespace.
#[derive(Debug)]
pub struct Conntrack {
    conversation: Conversation,
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
        match Conversation::open(netlink::NETFILTER) {
            Ok(conversation) => Ok(Self { conversation }),
            Err(cause) => Err(ConntrackError::Open { cause }),
        }
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
            answer.entries.into_iter().for_each(&mut each);
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
            found = answer.entries.into_iter().next();
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

    fn ask(
        &mut self,
        flags: u16,
        body: &[u8],
        mut take: impl FnMut(Answer<TrackedFlow>) -> bool,
    ) -> Result<(), ConntrackError> {
        self.conversation.ask(CT_GET, flags, body, |datagram| {
            let mut answer = ctnetlink::answer(datagram.bytes, datagram.sequence);
            let end = answer.end.take();
            Taken::of(take(answer), end)
        })?;
        Ok(())
    }
}

impl From<Broken> for ConntrackError {
    fn from(broken: Broken) -> Self {
        match broken {
            Broken::Send(cause) => Self::Send { cause },
            Broken::Receive(cause) => Self::Receive { cause },
            Broken::Truncated { length, room } => Self::Truncated { length, room },
            Broken::Refused(number) => refusal(number),
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
