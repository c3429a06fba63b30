//! Owns the sending of probes: one segment on a connection of any process, which its application
//! never sees. Judges no answer (see `halfopen_core::proving`), never turns TCP_REPAIR on, never
//! reads SO_ERROR, and gives back at once what a probe has to touch (see `journal`).
//! Read: linux net/ipv4/tcp.c `do_tcp_setsockopt`, tcp_output.c `tcp_send_window_probe`.

mod crafted;
mod ending;
mod keepalive;
mod window;

use std::{
    io,
    os::fd::{AsFd as _, OwnedFd},
};

use halfopen_core::{ConnectionId, Endpoints, Family, Moment, Observation, Owner};
use rustix::net::sockopt;

pub use self::{crafted::CraftedAcks, ending::Ending};
use crate::{
    holder::Holders,
    journal::{Entry, Journal, JournalError, Was},
    options::OptionsError,
};

/// A connection that a process holds, and the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Which it is: checked on every duplicate, right before anything is done.
    pub id: ConnectionId,
    /// A process that holds it.
    pub pid: u32,
    /// The descriptor's number there.
    pub fd: u32,
    /// The socket's inode, by which it is found if the number changes.
    pub inode: Option<u64>,
    /// The socket's family.
    pub family: Family,
    /// Its addresses.
    pub endpoints: Endpoints,
    /// SO_REUSEADDR as it was last read, which saves reading it once more; `None`: not read.
    pub reuse_address: Option<bool>,
}

impl Target {
    /// The connection that was observed, through the first process that holds it; `None` if none does.
    pub fn of(seen: &Observation) -> Option<Self> {
        Some(Self::through(seen.owners.seen().first()?, seen))
    }

    /// The same connection through the next process that held it when it was observed; `None` if this
    /// was the last. Of a process that starts another one, both hold everything for a moment.
    pub fn next(&self, seen: &Observation) -> Option<Self> {
        let is_this = |owner: &&Owner| (owner.process.pid, owner.fd) == (self.pid, self.fd);
        let mut owners = seen.owners.seen().iter().skip_while(|owner| !is_this(owner));
        Some(Self::through(owners.nth(1)?, seen))
    }

    fn through(owner: &Owner, seen: &Observation) -> Self {
        let sample = &seen.sample;
        Self {
            id: sample.id,
            pid: owner.process.pid,
            fd: owner.fd,
            inode: sample.inode,
            family: sample.family,
            endpoints: sample.endpoints,
            reuse_address: seen.options.read().and_then(|options| options.reuse_address),
        }
    }

    const fn entry(&self, was: Was) -> Entry {
        Entry { id: self.id, pid: self.pid, fd: self.fd, inode: self.inode, was }
    }
}

/// What became of each probe of a batch, in the order of the targets: when it was sent, or why not.
pub type Sent = Vec<Result<Moment, ProbeError>>;

/// Sends probes that need a descriptor of the connection.
#[derive(Debug)]
pub struct Prober {
    holders: Holders,
    journal: Journal,
}

impl Prober {
    /// Gets ready to write down what probes touch.
    ///
    /// # Errors
    /// [`JournalError`] where nothing can be written down: nothing may be touched then.
    pub fn new() -> Result<Self, JournalError> {
        Ok(Self { holders: Holders::default(), journal: Journal::open()? })
    }

    /// A duplicate of a connection's descriptor. Never of a listener.
    fn duplicate(&mut self, target: &Target) -> Result<OwnedFd, ProbeError> {
        let duplicate = self.holders.duplicate(target.pid, target.fd, target.id.cookie)?;
        match sockopt::socket_acceptconn(duplicate.as_fd()) {
            Ok(false) => Ok(duplicate),
            Ok(true) => Err(ProbeError::Listener),
            Err(errno) => Err(ProbeError::Failed { cause: errno.into() }),
        }
    }
}

/// Why a probe was not sent.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The descriptor could not be duplicated, or is another by now.
    #[error(transparent)]
    Reach(#[from] OptionsError),
    /// It listens, and listeners are never touched.
    #[error("it is a listener, which is never probed")]
    Listener,
    /// Somebody else has it in TCP_REPAIR.
    #[error("somebody else holds it in TCP_REPAIR (CRIU, perhaps); try again later")]
    InRepair,
    /// The kernel wants more privilege.
    #[error("probe the connection: {cause}; needs {capability} (run as root)")]
    Refused {
        /// Which.
        capability: &'static str,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The kernel did not send: the connection had something to say itself, or was busy.
    #[error("the kernel did not send the probe in time; the connection was busy, try again")]
    NotSent,
    /// Another probe of it is under way.
    #[error("another run of halfopen was probing it at every try; try again")]
    InFlight,
    /// The sequence numbers are not known.
    #[error("its sequence numbers are not known; only BPF tells them (run as root)")]
    NoSequence,
    /// Anything else.
    #[error("probe the connection: {cause}")]
    Failed {
        /// What the kernel answered.
        cause: io::Error,
    },
}

impl ProbeError {
    /// What the kernel answered: EPERM and EACCES are a matter of `capability`.
    fn of(cause: io::Error, capability: &'static str) -> Self {
        if cause.kind() == io::ErrorKind::PermissionDenied {
            Self::Refused { capability, cause }
        } else {
            Self::Failed { cause }
        }
    }
}

#[cfg(test)]
mod tests;
