//! Owns the search for the holders of sockets, which goes on while sockets are listed: where to search,
//! and from when on somebody may rely on it. Read: `owners` and `bpf`, which search.

use std::{
    collections::HashSet,
    mem,
    sync::{
        Mutex, OnceLock, PoisonError,
        mpsc::{Receiver, channel},
    },
    thread,
};

use super::holders::Holders;
use crate::{
    bpf::{Bpf, descriptor::Descriptor},
    owners::{OwnerTable, owners},
    sources::Chosen,
};

/// Whose holders are looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Nobody asked.
    None,
    /// Those of a few sockets, which are not known yet.
    Some,
    /// Those of every socket.
    All,
}

/// Looks for holders.
pub(super) struct Finder<'a> {
    pub(super) source: &'a Chosen,
    pub(super) wanted: Wanted,
    /// Options that no source tells are read.
    pub(super) reads_options: bool,
}

/// The search for holders, which may go on.
pub(super) struct Searching {
    search: Mutex<Search>,
    reads_options: bool,
    holders: OnceLock<Holders>,
}

enum Search {
    GoesOn(Receiver<Found>),
    /// `None` once the holders are made of it.
    Over(Option<Found>),
}

impl Search {
    fn wait(&mut self) -> Option<Found> {
        match mem::replace(self, Self::Over(None)) {
            Self::GoesOn(search) => Some(search.recv().unwrap_or(Found::NotYet)),
            Self::Over(found) => found,
        }
    }
}

impl Searching {
    /// Waits for the holders of every socket; `None` where it depends on which sockets there are how to
    /// look for them.
    pub(super) fn before_all_is_listed(&self) -> Option<&Holders> {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        match search.wait() {
            None => self.holders.get(),
            Some(Found::NotYet) => {
                *search = Search::Over(Some(Found::NotYet));
                None
            }
            Some(found) => {
                Some(self.holders.get_or_init(|| Holders::new(found, self.reads_options)))
            }
        }
    }

    /// Waits for the holders. `inodes` are the sockets to look for if nobody has looked yet, or if
    /// what was found goes by addresses and no socket's is known.
    pub(super) fn after_all(
        &self,
        has_addresses: bool,
        inodes: impl FnOnce() -> HashSet<u64>,
    ) -> &Holders {
        self.holders.get_or_init(|| {
            let found = self.search.lock().unwrap_or_else(PoisonError::into_inner).wait();
            let found = match found.unwrap_or(Found::NotYet) {
                Found::ByAddress(_) if !has_addresses => in_proc(Some(&inodes())),
                Found::NotYet => in_proc(Some(&inodes())),
                found => found,
            };
            Holders::new(found, self.reads_options)
        })
    }

    /// The holders, if anybody has waited for them.
    pub(super) fn into_holders(self) -> Option<Holders> {
        self.holders.into_inner()
    }
}

/// What was found.
pub(super) enum Found {
    /// Nobody looked.
    NotAsked,
    /// Still to be looked for.
    NotYet,
    /// In /proc: by inode.
    ByInode(OwnerTable),
    /// By BPF: by the address of `struct socket`.
    ByAddress(OwnerTable),
    /// Why nobody's sockets could be seen at all.
    Failed(String),
}

impl Finder<'_> {
    /// Begins to look for holders on another thread, where those of all sockets are wanted.
    pub(super) fn begin<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
    ) -> Searching {
        let (found, search) = channel();
        let look = || match (self.wanted, self.bpf()) {
            (Wanted::None, _) => Found::NotAsked,
            (_, Some(bpf)) => by_bpf(bpf).unwrap_or(Found::NotYet),
            (Wanted::All, None) => in_proc(None),
            (Wanted::Some, None) => Found::NotYet,
        };
        let search_on = move || {
            // Nobody waits for it where the look at the sockets fails.
            let _ = found.send(look());
        };
        // Where no thread may be started the search comes later.
        let _ = thread::Builder::new().spawn_scoped(scope, search_on);
        let (search, holders) = (Mutex::new(Search::GoesOn(search)), OnceLock::new());
        Searching { search, reads_options: self.reads_options, holders }
    }

    fn bpf(&self) -> Option<&Bpf> {
        match self.source {
            // Elsewhere the iterator sees no process, and would call those it saw by other numbers.
            Chosen::Bpf { bpf, .. } if is_initial_pid_namespace() => Some(bpf),
            _ => None,
        }
    }
}

fn is_initial_pid_namespace() -> bool {
    // PROC_PID_INIT_INO of include/linux/proc_ns.h.
    std::fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|link| link.as_os_str().as_encoded_bytes() == b"pid:[4026531836]")
}

fn by_bpf(bpf: &Bpf) -> Option<Found> {
    let held = bpf.descriptors().ok()?.into_iter();
    let held = held.map(|Descriptor { socket, pid, fd }| (pid, fd, socket)).collect();
    Some(Found::ByAddress(OwnerTable::from_held(held)))
}

fn in_proc(wanted: Option<&HashSet<u64>>) -> Found {
    match owners(wanted) {
        Ok(table) => Found::ByInode(table),
        Err(error) => Found::Failed(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn searching(wanted: Wanted) -> Searching {
        let source = Chosen::SockDiag { instead_of: None };
        let finder = Finder { source: &source, wanted, reads_options: false };
        thread::scope(|scope| finder.begin(scope))
    }

    #[test]
    fn the_holders_of_all_are_known_before_all_is_listed_and_stay_the_same() {
        for wanted in [Wanted::All, Wanted::None] {
            let searching = searching(wanted);
            let before: *const Holders = searching.before_all_is_listed().unwrap();
            let after: *const Holders =
                searching.after_all(true, || panic!("nothing is asked for"));
            assert_eq!(before, after);
            assert!(searching.into_holders().is_some());
        }
    }

    #[test]
    fn the_holders_of_some_are_looked_for_once_it_is_known_of_which() {
        let searching = searching(Wanted::Some);
        assert!((0..2).all(|_| searching.before_all_is_listed().is_none()));
        let mut asked = 0;
        searching.after_all(true, || {
            asked += 1;
            HashSet::new()
        });
        assert_eq!(asked, 1);
        assert!(searching.before_all_is_listed().is_some());
    }
}
