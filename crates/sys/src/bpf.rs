//! Owns the BPF iterators: the kernel itself walks its sockets and descriptors, and tells of each
//! what sock_diag hides. Judges nothing and, but for `keep`, changes nothing; nothing stays in the kernel once the
//! process ends. Read: linux Documentation/bpf/bpf_iterators.rst, bpf(2); bpf/sockets.bpf.c.

pub mod descriptor;
pub mod future;
pub mod keep;
pub(crate) mod listing;
mod object;
mod reading;
pub mod record;
pub(crate) mod records;

use std::{
    os::fd::{AsFd, OwnedFd},
    thread,
};

use descriptor::Descriptor;
use reading::{read_all, read_each};
use rustix::io::Errno;

/// The two programs, loaded and attached. Opening costs some 20 ms; after that any thread may list
/// as often as it likes, in any network namespace that it has joined.
#[derive(Debug)]
pub struct Bpf {
    sockets: OwnedFd,
    descriptors: OwnedFd,
}

impl Bpf {
    /// Loads the programs. CAP_BPF and CAP_PERFMON suffice.
    ///
    /// # Errors
    /// [`BpfError::NotBuilt`] where this build has no BPF, [`BpfError::Refused`] without the
    /// privilege, [`BpfError::Unusable`] where the kernel is too old or was built without.
    pub fn open() -> Result<Self, BpfError> {
        let object::Loaded { sockets, descriptors } = object::load()?;
        Ok(Self { sockets, descriptors })
    }

    /// Hands over the records of every TCP socket of the calling thread's network namespace, some at a
    /// time, listeners first. Where the tables change meanwhile a socket may be met twice. Who keeps the
    /// bytes leaves another buffer in their place.
    ///
    /// # Errors
    /// [`BpfError::Read`] where the kernel ends the listing.
    pub fn sockets(&self, take: impl FnMut(&mut Vec<u8>)) -> Result<(), BpfError> {
        read_all::<{ record::LENGTH }>(self.sockets.as_fd(), take)
    }

    /// Every descriptor of a socket that a process of our own pid namespace holds, in all network
    /// namespaces. Their pids are those of the initial pid namespace.
    ///
    /// # Errors
    /// As [`Bpf::sockets`].
    pub fn descriptors(&self) -> Result<Vec<Descriptor>, BpfError> {
        let mut found = Vec::new();
        read_each::<{ descriptor::LENGTH }>(self.descriptors.as_fd(), |bytes| {
            found.extend(descriptor::decode(bytes));
        })?;
        Ok(found)
    }
}

impl Bpf {
    /// Has the kernel write both listings at once, and looks at nothing of them: what no look by them
    /// can undercut, for benchmarks. Told is how many sockets and descriptors there were.
    ///
    /// # Errors
    /// As [`Bpf::sockets`].
    pub fn floor(&self) -> Result<(usize, usize), BpfError> {
        let (mut sockets, mut descriptors) = (0, 0);
        thread::scope(|scope| {
            let beside = scope.spawn(|| {
                let link = self.descriptors.as_fd();
                read_each::<{ descriptor::LENGTH }>(link, |_| descriptors += 1)
            });
            self.sockets(|records| sockets += records.len() / record::LENGTH)?;
            beside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })?;
        Ok((sockets, descriptors))
    }
}

/// Why the BPF iterators cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BpfError {
    /// The program was built without the feature `bpf`.
    #[error(
        "this build of halfopen has no BPF: build it with `--features bpf`, or by `make build`"
    )]
    NotBuilt,
    /// The kernel does not let us.
    #[error("load the BPF programs: {cause}; needs CAP_BPF and CAP_PERFMON (run as root)")]
    Refused {
        /// What the kernel answered.
        cause: String,
    },
    /// The kernel cannot.
    #[error(
        "load the BPF programs: {cause}; needs Linux 5.11 or later with CONFIG_DEBUG_INFO_BTF, and no lockdown"
    )]
    Unusable {
        /// What the kernel or libbpf answered.
        cause: String,
    },
    /// A listing broke off.
    #[error("list sockets with a BPF iterator: {cause}; try again, or use sock_diag")]
    Read {
        /// What the kernel answered.
        cause: Errno,
    },
}
