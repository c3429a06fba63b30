//! Owns the search for the processes that hold sockets: one pass over /proc for any number of them.
//! Opens no socket and attaches to no process. Read: proc_pid_fd(5), proc(5) on `hidepid`.

pub(crate) mod process;
mod unit;

use std::{
    collections::{HashMap, HashSet},
    fs, io,
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
    /// By inode, then process, then descriptor. One flat list, since there may be very many.
    held: Vec<(u64, Owner)>,
    /// Where the owners of each inode begin in that list, and how many they are.
    places: HashMap<u64, (u32, u32)>,
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

    /// With the list in order, and the places in it.
    fn in_order(mut self) -> Self {
        self.held.sort_unstable();
        let mut first = 0_u32;
        for of_inode in self.held.chunk_by(|(one, _), (other, _)| one == other) {
            // A host has fewer descriptors than 2^32 (fs.file-max is bounded by memory).
            let count = u32::try_from(of_inode.len()).unwrap_or(u32::MAX);
            self.places.extend(of_inode.first().map(|(inode, _)| (*inode, (first, count))));
            first = first.saturating_add(count);
        }
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
        let (first, count) = self.places.get(&inode).copied().unwrap_or_default();
        let (first, count) = (first as usize, count as usize);
        self.held.get(first..first + count).unwrap_or_default().iter().map(|(_, owner)| owner)
    }
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
    fn nothing_wanted_is_nothing_found() {
        assert_eq!(owners(Some(&HashSet::new())).unwrap(), OwnerTable::default());
    }
}
