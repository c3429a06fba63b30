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

use halfopen_core::{Owner, Process};

use crate::scatter::scattered;
pub(crate) use process::{is_user_process, pids};
pub use unit::unit_of;

/// Who holds which socket, as far as it could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerTable {
    /// The processes that hold sockets; from [`OwnerTable::in_order`] on, in their order.
    processes: Vec<Arc<Process>>,
    /// One flat list, since there may be very many; from then on in order.
    held: Vec<Held>,
    /// Where to look in that list: see [`Index`].
    index: Index,
    /// How many processes could not be looked into: those of other users, without CAP_SYS_PTRACE.
    pub refused: usize,
    /// What else kept processes that live from being looked into, or not into all of them.
    pub trouble: Option<Trouble>,
}

/// A process holds a socket. In order by inode, scattered, then process, then descriptor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    /// The inode, [`scattered`], which is as good a name of the socket.
    socket: u64,
    /// Its place among the processes of the table.
    process: u32,
    fd: u32,
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
            table.add(*pid, of_process.iter().map(|(_, fd, inode)| (*fd, *inode)));
        }
        table.in_order()
    }

    /// With the lists in order, and the index to that of the sockets.
    fn in_order(mut self) -> Self {
        let mut places: Vec<usize> = (0..self.processes.len()).collect();
        places.sort_by_key(|place| self.processes.get(*place));
        let mut ranks = vec![0; places.len()];
        for (rank, place) in (0..).zip(&places) {
            ranks.get_mut(*place).into_iter().for_each(|known| *known = rank);
        }
        for held in &mut self.held {
            held.process = ranks.get(held.process as usize).copied().unwrap_or(u32::MAX);
        }
        self.processes.sort();
        self.index = Index::of(&mut self.held);
        self
    }

    fn add_process(&mut self, pid: u32, wanted: Option<&HashSet<u64>>) {
        let mut found = Vec::new();
        // What was read before something failed is as true as the rest.
        let outcome = process::sockets(pid, wanted, &mut found);
        self.note(pid, outcome);
        if !found.is_empty() {
            self.add(pid, found.into_iter());
        }
    }

    /// Adds what process `pid` holds: descriptors and inodes.
    fn add(&mut self, pid: u32, found: impl Iterator<Item = (u32, u64)>) {
        let process = self.next_place();
        match process::describe(pid) {
            Ok(described) => self.processes.push(Arc::new(described)),
            Err(cause) => return self.note(pid, Err(cause)),
        }
        self.held.extend(found.map(|(fd, inode)| Held { socket: scattered(inode), process, fd }));
    }

    fn next_place(&self) -> u32 {
        // Linux numbers processes up to 2^22 (PID_MAX_LIMIT).
        u32::try_from(self.processes.len()).unwrap_or(u32::MAX)
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
        let first = self.next_place();
        self.refused += other.refused;
        other.trouble.into_iter().for_each(|trouble| self.add_trouble(trouble));
        self.processes.append(&mut other.processes);
        self.held.extend(
            other.held.into_iter().map(|held| Held { process: first + held.process, ..held }),
        );
    }

    /// The owners of one socket, by process and descriptor.
    pub fn of(&self, inode: u64) -> impl Iterator<Item = Owner> {
        let places = self.places(&[Some(inode)]).into_iter();
        places.flat_map(|place| self.held(place)).filter_map(|(process, fd)| {
            Some(Owner { process: Arc::clone(self.processes.get(process)?), fd })
        })
    }

    /// Where the holders of each of these sockets are, for [`OwnerTable::held`].
    pub(crate) fn places(&self, inodes: &[Option<u64>]) -> Vec<Range<usize>> {
        // The table is larger than a cache. In a loop that does nothing else the processor asks for
        // the memory of several sockets at once: first the index of all, then their holders.
        let near = |inode: &Option<u64>| inode.map_or(0..0, |one| self.index.near(scattered(one)));
        let mut places: Vec<_> = inodes.iter().map(near).collect();
        for (place, inode) in places.iter_mut().zip(inodes) {
            let socket = inode.map(scattered);
            let is_other = |held: &&Held| Some(held.socket) != socket;
            let near = self.held.get(place.clone()).unwrap_or_default();
            place.start += near.iter().take_while(is_other).count();
            let rest = self.held.get(place.clone()).unwrap_or_default();
            place.end = place.start + rest.iter().take_while(|held| !is_other(held)).count();
        }
        places
    }

    /// Those at such a place: each process by its place among [`OwnerTable::processes`], and its
    /// descriptor.
    pub(crate) fn held(&self, place: Range<usize>) -> impl Iterator<Item = (usize, u32)> {
        let held = self.held.get(place).unwrap_or_default();
        held.iter().map(|held| (held.process as usize, held.fd))
    }

    /// The processes that hold sockets.
    pub(crate) fn processes(&self) -> &[Arc<Process>] {
        &self.processes
    }
}

/// Where in the list of holders to look for a socket: for each value of the first bits of scattered
/// inodes, where those begin, and at last where all end. As there are about as many values as holders, few are left to compare.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Index {
    bits: u32,
    begins: Vec<u32>,
}

impl Index {
    /// Puts `held` in order. Scattered inodes are spread evenly, so that dealing them out by their
    /// first bits leaves hardly anything to sort.
    fn of(held: &mut Vec<Held>) -> Self {
        let bits = held.len().max(2).ilog2();
        let mut begins = vec![0_u32; (1 << bits) + 1];
        let value = |held: &Held| first_bits(held.socket, bits);
        for one in held.iter() {
            begins.get_mut(value(one) + 1).into_iter().for_each(|count| *count += 1);
        }
        let mut sum = 0;
        for begin in &mut begins {
            // A host has fewer descriptors than 2^32 (fs.file-max is bounded by memory).
            sum += *begin;
            *begin = sum;
        }
        let mut ordered = vec![Held::default(); held.len()];
        let mut next = begins.clone();
        for one in held.drain(..) {
            let Some(at) = next.get_mut(value(&one)) else { continue };
            ordered.get_mut(*at as usize).into_iter().for_each(|place| *place = one);
            *at += 1;
        }
        for bounds in begins.windows(2) {
            let &[begin, end] = bounds else { continue };
            ordered.get_mut(begin as usize..end as usize).unwrap_or_default().sort_unstable();
        }
        *held = ordered;
        Self { bits, begins }
    }

    /// Where those with the same first bits are.
    fn near(&self, socket: u64) -> Range<usize> {
        let value = first_bits(socket, self.bits);
        let begin = |value: usize| self.begins.get(value).map(|at| *at as usize);
        begin(value).unwrap_or(0)..begin(value.saturating_add(1)).unwrap_or(0)
    }
}

fn first_bits(scattered: u64, bits: u32) -> usize {
    usize::try_from(scattered >> (u64::BITS - bits.max(1))).unwrap_or(usize::MAX)
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
