//! Owns the search for the processes that hold sockets: one pass over /proc for any number of them.
//! Opens no socket and attaches to no process. Read: proc_pid_fd(5), proc(5) on `hidepid`.

mod process;
mod unit;

use std::{
    collections::{HashMap, HashSet},
    fs, io, mem,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use halfopen_core::Owner;

pub(crate) use process::is_user_process;
pub use unit::unit_of;

/// Who holds which socket, as far as it could be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OwnerTable {
    /// For each wanted inode that was found: its owners, by pid and descriptor.
    pub by_inode: HashMap<u64, Vec<Owner>>,
    /// How many processes could not be looked into: those of other users, without CAP_SYS_PTRACE.
    pub refused: usize,
}

/// The owners of the sockets with these inodes.
///
/// One pass over the descriptors of all processes, on as many threads as there are cores; its cost
/// does not depend on how many inodes are wanted. Processes that end meanwhile are passed over, and
/// so are threads that have a descriptor table of their own.
///
/// # Errors
/// [`OwnersError`] where /proc itself cannot be read.
pub fn owners(wanted: &HashSet<u64>) -> Result<OwnerTable, OwnersError> {
    if wanted.is_empty() {
        return Ok(OwnerTable::default());
    }
    let pids = process::pids().map_err(|cause| OwnersError { cause })?;
    let next = AtomicUsize::new(0);
    let search = || {
        let mut part = OwnerTable::default();
        // One process at a time: a single one may hold most of the descriptors of the host.
        while let Some(pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            part.add_process(*pid, wanted);
        }
        part
    };
    let mut table = thread::scope(|scope| {
        let others: Vec<_> = (1..cores())
            // Where no more threads may be started, those that there are do the work.
            .map_while(|_| thread::Builder::new().spawn_scoped(scope, search).ok())
            .collect();
        others.into_iter().fold(search(), |mut table, thread| {
            table.merge(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            table
        })
    });
    for owners in table.by_inode.values_mut() {
        owners.sort_unstable();
    }
    Ok(table)
}

impl OwnerTable {
    /// From what another source says of who holds which socket: process, descriptor, inode.
    pub(crate) fn from_held(mut held: Vec<(u32, u32, u64)>) -> Self {
        held.sort_unstable();
        let mut table = Self::default();
        for of_process in held.chunk_by(|(one, ..), (other, ..)| one == other) {
            let Some(owner) = of_process.first().and_then(|(pid, ..)| process::describe(*pid))
            else {
                continue;
            };
            for (_, fd, inode) in of_process {
                let owner = Owner { fd: *fd, ..owner.clone() };
                table.by_inode.entry(*inode).or_default().push(owner);
            }
        }
        table
    }

    fn add_process(&mut self, pid: u32, wanted: &HashSet<u64>) {
        match process::sockets(pid, wanted) {
            Ok(held) => {
                let Some(owner) = held.first().and_then(|_| process::describe(pid)) else { return };
                for (fd, inode) in held {
                    self.by_inode.entry(inode).or_default().push(Owner { fd, ..owner.clone() });
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                self.refused += usize::from(is_user_process(pid));
            }
            Err(_) => {}
        }
    }

    fn merge(&mut self, other: Self) {
        self.refused += other.refused;
        for (inode, mut owners) in other.by_inode {
            self.by_inode.entry(inode).or_default().append(&mut owners);
        }
    }

    /// Takes the owners of one socket out of the table.
    pub fn take(&mut self, inode: u64) -> Vec<Owner> {
        self.by_inode.get_mut(&inode).map(mem::take).unwrap_or_default()
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
pub(crate) fn command_of(pid: u32) -> Option<String> {
    let comm = fs::read(format!("/proc/{pid}/comm")).ok()?;
    Some(String::from_utf8_lossy(comm.strip_suffix(b"\n").unwrap_or(&comm)).into_owned())
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
        let mut table = owners(&wanted).unwrap();
        let found = table.take(inode(&socket));
        let mut descriptors = [socket.as_raw_fd(), copy.as_raw_fd()].map(|fd| fd as u32);
        descriptors.sort_unstable();
        assert_eq!(found.iter().map(|owner| owner.fd).collect::<Vec<_>>(), descriptors);
        let owner = &found[0];
        assert_eq!(owner.pid, std::process::id());
        assert_eq!(Some(&owner.command), command_of(std::process::id()).as_ref());
        assert_eq!(owner.uid, Some(rustix::process::geteuid().as_raw()));
    }

    #[test]
    fn sockets_that_are_not_wanted_are_not_kept() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let table = owners(&HashSet::from([inode(&socket)])).unwrap();
        assert!(!table.by_inode.contains_key(&inode(&other)));
    }

    #[test]
    fn nothing_wanted_is_nothing_found() {
        assert_eq!(owners(&HashSet::new()).unwrap(), OwnerTable::default());
    }
}
