//! Owns the search for the processes that hold sockets: one pass over /proc for any number of them.
//! Opens no socket and attaches to no process. Read: proc_pid_fd(5), proc(5) on `hidepid`.

pub(crate) mod process;
mod unit;

use std::{
    collections::HashSet,
    fs, io,
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use halfopen_core::Owner;

pub(crate) use process::{is_user_process, pids};
pub use unit::unit_of;

/// Who holds which socket, as far as it could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerTable {
    /// By inode, scattered, then process, then descriptor. One flat list, since there may be very many.
    held: Vec<(u64, Owner)>,
    /// Where to look in that list: see [`Index`].
    index: Index,
    /// How many processes could not be looked into: those of other users, without CAP_SYS_PTRACE.
    pub refused: usize,
    /// What else kept processes that live from being looked into, or not into all of them.
    pub trouble: Option<Trouble>,
}

/// Something other than a lack of privilege that hides owners: descriptors or memory have run out, or
/// /proc fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// How many processes it concerned.
    pub processes: usize,
    /// What the kernel answered, the first time.
    pub first: String,
}

/// The owners of the sockets with these inodes; of every socket, where none are named.
///
/// One pass over the descriptors of all processes, on as many threads as there are cores; its cost
/// does not depend on how many inodes are wanted. Processes that end meanwhile are passed over, and
/// so are threads that have a descriptor table of their own.
///
/// # Errors
/// [`OwnersError`] where /proc itself cannot be read.
pub fn owners(wanted: Option<&HashSet<u64>>) -> Result<OwnerTable, OwnersError> {
    if wanted.is_some_and(HashSet::is_empty) {
        return Ok(OwnerTable::default());
    }
    let pids = pids().map_err(|cause| OwnersError { cause })?;
    let next = AtomicUsize::new(0);
    let search = || {
        let mut part = OwnerTable::default();
        // One process at a time: a single one may hold most of the descriptors of the host.
        while let Some(pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            part.add_process(*pid, wanted);
        }
        part
    };
    let table = thread::scope(|scope| {
        let others: Vec<_> = (1..cores())
            // Where no more threads may be started, those that there are do the work.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, search).ok())
            .collect();
        others.into_iter().fold(search(), |mut table, thread| {
            table.merge(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            table
        })
    });
    Ok(table.in_order())
}

impl OwnerTable {
    /// From what another source says of who holds which socket: process, descriptor, inode.
    pub(crate) fn from_held(mut held: Vec<(u32, u32, u64)>) -> Self {
        held.sort_unstable();
        let mut table = Self { held: Vec::with_capacity(held.len()), ..Self::default() };
        for of_process in held.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some((pid, ..)) = of_process.first() else { continue };
            let process = match process::describe(*pid) {
                Ok(process) => Arc::new(process),
                Err(cause) => {
                    table.note(*pid, Err(cause));
                    continue;
                }
            };
            table.held.extend(
                of_process.iter().map(|(_, fd, inode)| {
                    (*inode, Owner { process: Arc::clone(&process), fd: *fd })
                }),
            );
        }
        table.in_order()
    }

    /// With the list in order, and the index to it.
    fn in_order(mut self) -> Self {
        self.held.sort_unstable_by(|one, other| {
            (scattered(one.0), &one.1).cmp(&(scattered(other.0), &other.1))
        });
        self.index = Index::of(&self.held);
        self
    }

    fn add_process(&mut self, pid: u32, wanted: Option<&HashSet<u64>>) {
        let mut found = Vec::new();
        // What was read before something failed is as true as the rest.
        let outcome = process::sockets(pid, wanted, &mut found);
        self.note(pid, outcome);
        if found.is_empty() {
            return;
        }
        let process = match process::describe(pid) {
            Ok(process) => Arc::new(process),
            Err(cause) => return self.note(pid, Err(cause)),
        };
        self.held.extend(
            found
                .into_iter()
                .map(|(fd, inode)| (inode, Owner { process: Arc::clone(&process), fd })),
        );
    }

    /// Counts what hid descriptors of a process that lives.
    fn note(&mut self, pid: u32, outcome: io::Result<()>) {
        match outcome {
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                self.refused += usize::from(is_user_process(pid));
            }
            Err(cause) if !process::is_gone(&cause) => {
                let first = cause.to_string();
                self.add_trouble(Trouble { processes: 1, first });
            }
            Ok(()) | Err(_) => {}
        }
    }

    fn add_trouble(&mut self, more: Trouble) {
        match &mut self.trouble {
            Some(trouble) => trouble.processes += more.processes,
            none => *none = Some(more),
        }
    }

    fn merge(&mut self, mut other: Self) {
        self.refused += other.refused;
        other.trouble.into_iter().for_each(|trouble| self.add_trouble(trouble));
        self.held.append(&mut other.held);
    }

    /// The owners of one socket, by process and descriptor.
    pub fn of(&self, inode: u64) -> impl ExactSizeIterator<Item = &Owner> {
        let near = self.held.get(self.index.near(inode)).unwrap_or_default();
        let first = near.partition_point(|(held, _)| scattered(*held) < scattered(inode));
        let behind = near.get(first..).unwrap_or_default();
        let count = behind.iter().take_while(|(held, _)| *held == inode).count();
        behind.get(..count).unwrap_or_default().iter().map(|(_, owner)| owner)
    }
}

/// Where in the list of holders to look for an inode: for each value of the first bits of scattered
/// inodes, where those begin, and at last where all end. As there are about as many values as holders, few are left to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index {
    bits: u32,
    begins: Vec<u32>,
}

impl Index {
    fn of(held: &[(u64, Owner)]) -> Self {
        let bits = held.len().max(2).ilog2();
        let begins = (0..=1_u64 << bits).scan(0, |at, value| {
            let rest = held.get(*at..).unwrap_or_default();
            let before = rest.iter().take_while(|(inode, _)| first_bits(*inode, bits) < value);
            *at += before.count();
            // A host has fewer descriptors than 2^32 (fs.file-max is bounded by memory).
            u32::try_from(*at).ok()
        });
        Self { bits, begins: begins.collect() }
    }

    /// Where those with the same first bits are.
    fn near(&self, inode: u64) -> Range<usize> {
        let value = usize::try_from(first_bits(inode, self.bits)).unwrap_or(usize::MAX);
        let begin = |value: usize| self.begins.get(value).map(|at| *at as usize);
        begin(value).unwrap_or(0)..begin(value.saturating_add(1)).unwrap_or(0)
    }
}

fn first_bits(inode: u64, bits: u32) -> u64 {
    scattered(inode) >> (u64::BITS - bits.max(1))
}

/// Inodes are numbered one after the other, and addresses are multiples of a size; multiplied by
/// 2^64 / golden ratio they are spread evenly (Knuth, TAOCP volume 3, section 6.4).
const fn scattered(inode: u64) -> u64 {
    inode.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// /proc could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("list the processes in /proc to find owners: {cause}; is /proc mounted?")]
#[non_exhaustive]
pub struct OwnersError {
    /// What the kernel answered.
    pub cause: io::Error,
}

fn cores() -> usize {
    thread::available_parallelism().map_or(1, usize::from)
}

/// The comm of a process, which may hold any bytes but a newline at its end.
pub(crate) fn command_of(pid: u32) -> io::Result<String> {
    let comm = fs::read(format!("/proc/{pid}/comm"))?;
    Ok(String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned())
}

#[cfg(test)]
mod tests {
    use std::{
        net::TcpListener,
        os::{fd::AsRawFd, unix::fs::MetadataExt},
    };

    use super::*;

    fn inode(socket: &TcpListener) -> u64 {
        fs::metadata(format!("/proc/self/fd/{}", socket.as_raw_fd())).unwrap().ino()
    }

    #[test]
    fn a_socket_of_ours_is_owned_by_this_process_under_its_descriptor() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let copy = socket.try_clone().unwrap();
        let wanted = HashSet::from([inode(&socket)]);
        let table = owners(Some(&wanted)).unwrap();
        let found: Vec<_> = table.of(inode(&socket)).collect();
        let mut descriptors = [socket.as_raw_fd(), copy.as_raw_fd()].map(|fd| fd as u32);
        descriptors.sort_unstable();
        assert_eq!(found.iter().map(|owner| owner.fd).collect::<Vec<_>>(), descriptors);
        let owner = &found[0].process;
        assert_eq!(owner.pid, std::process::id());
        assert_eq!(owner.command, command_of(std::process::id()).unwrap());
        assert_eq!(owner.uid, Some(rustix::process::geteuid().as_raw()));
    }

    #[test]
    fn sockets_that_are_not_wanted_are_not_kept() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let table = owners(Some(&HashSet::from([inode(&socket)]))).unwrap();
        assert_eq!(table.of(inode(&socket)).count(), 1);
        assert_eq!(table.of(inode(&other)).count(), 0);
        assert_eq!(owners(None).unwrap().of(inode(&other)).count(), 1);
    }

    #[test]
    fn every_inode_of_a_large_table_is_found_with_all_its_owners() {
        let held: Vec<_> =
            (0..5_000_u64).map(|one| (std::process::id(), 7, one / 2 * 64)).collect();
        let table = OwnerTable::from_held(held);
        assert!((0..2_500).all(|one| table.of(one * 64).count() == 2));
        assert_eq!(table.of(1).count() + table.of(u64::MAX).count(), 0);
        assert_eq!(OwnerTable::default().of(0).count(), 0);
    }

    #[test]
    fn a_process_that_fails_to_be_read_is_counted_and_one_that_has_ended_is_not() {
        let mut table = OwnerTable::default();
        let own = std::process::id();
        for errno in [libc::ENOENT, libc::ESRCH] {
            table.note(own, Err(io::Error::from_raw_os_error(errno)));
        }
        assert_eq!(table, OwnerTable::default());
        for errno in [libc::EMFILE, libc::EIO, libc::EACCES] {
            table.note(own, Err(io::Error::from_raw_os_error(errno)));
        }
        let trouble = table.trouble.unwrap();
        assert_eq!((trouble.processes, table.refused), (2, 1));
        assert!(trouble.first.contains("Too many open files"), "{}", trouble.first);
    }

    #[test]
    fn nothing_wanted_is_nothing_found() {
        assert_eq!(owners(Some(&HashSet::new())).unwrap(), OwnerTable::default());
    }
}
