//! Owns who holds each socket of a survey, what options they gave it, and the account of what
//! could not be read. Read: `owners` and `options`, which do the reading.

use std::{
    collections::{BTreeMap, HashSet},
    mem,
    ops::Range,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
        mpsc::{Receiver, channel},
    },
    thread,
};

use halfopen_core::{
    KernelTimer, OptionsSeen, Owner, OwnerList, Owners, Process, Sample, TcpState,
};

use super::Unseen;
use crate::{
    bpf::{Bpf, descriptor::Descriptor, record::Beyond},
    options::{OptionsError, OptionsReader},
    owners::{OwnerTable, owners},
    privilege::to_look_into_processes,
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
    /// Waits for the holders of every socket, by their addresses; `None` where it depends on which
    /// sockets there are how to look for them.
    pub(super) fn before_all_is_listed(&self) -> Option<&Holders> {
        let mut search = self.search.lock().unwrap_or_else(PoisonError::into_inner);
        match search.wait() {
            None => self.holders.get(),
            Some(found @ (Found::ByAddress(_) | Found::NotAsked)) => {
                Some(self.holders.get_or_init(|| Holders::new(found, self.reads_options)))
            }
            Some(found) => {
                *search = Search::Over(Some(found));
                None
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

/// The holders of sockets, looked for once for all of them.
pub(super) struct Holders {
    found: Found,
    reads_options: bool,
    doubtful_left: AtomicUsize,
    others_left: AtomicUsize,
    missed: Mutex<Missed>,
}

/// How many sockets each lack of sight concerns: what it hides, and why.
type Missed = BTreeMap<(&'static str, Arc<str>), usize>;

/// Options are read for at most this many sockets of one survey about which there is a doubt that
/// the options can lift. A read takes some 20 µs (measured on two busy cores), so these take half a
/// second. More would make a look at a host with hundreds of thousands of sockets a load of its own.
const DOUBTFUL_MAX: usize = 20_000;

/// And for this many of which nothing but an assumption or two depends on them.
const OTHERS_MAX: usize = 5_000;

impl Holders {
    /// From what was found. Options that no source tells are read only if `reads_options`.
    fn new(found: Found, reads_options: bool) -> Self {
        Self {
            found,
            reads_options,
            doubtful_left: AtomicUsize::new(DOUBTFUL_MAX),
            others_left: AtomicUsize::new(OTHERS_MAX),
            missed: Mutex::default(),
        }
    }

    /// Reads for one thread.
    pub(super) fn reader(&self) -> Reader<'_> {
        let why_unseen = self.why_unseen();
        Reader {
            holders: self,
            unread: format!("its owner was not seen: {why_unseen}").into(),
            why_unseen: why_unseen.into(),
            too_many: TOO_MANY.into(),
            nobody_to_ask: NOBODY_TO_ASK.into(),
            nobody: "no process holds it".into(),
            not_asked: "they were not asked for".into(),
            processes: Vec::new(),
            options: OptionsReader::default(),
            missed: Missed::new(),
        }
    }

    /// Where the table has the holders of each of these sockets. For many at a time, since the
    /// processor then waits for several places of a large table at once.
    pub(super) fn places<'s>(
        &self,
        sockets: impl Iterator<Item = (&'s Sample, &'s Beyond)>,
    ) -> Vec<Range<usize>> {
        let key = |(sample, beyond): (&Sample, &Beyond)| match self.found {
            Found::ByInode(_) => sample.inode,
            Found::ByAddress(_) => beyond.socket,
            Found::NotAsked | Found::NotYet | Found::Failed(_) => None,
        };
        let keys: Vec<_> = sockets.map(key).collect();
        self.table().map_or_else(|| vec![0..0; keys.len()], |table| table.places(&keys))
    }

    const fn table(&self) -> Option<&OwnerTable> {
        match &self.found {
            Found::ByInode(table) | Found::ByAddress(table) => Some(table),
            Found::NotAsked | Found::NotYet | Found::Failed(_) => None,
        }
    }

    fn why_unseen(&self) -> String {
        match &self.found {
            Found::Failed(failure) => failure.clone(),
            Found::NotAsked => "they were not asked for".to_owned(),
            Found::ByInode(OwnerTable { refused: refused @ 1.., .. }) => format!(
                "{refused} {}, as a rule of other users, may not be looked into: {}",
                if *refused == 1 { "process" } else { "processes" },
                to_look_into_processes(),
            ),
            Found::ByInode(OwnerTable { trouble: Some(_), .. }) => {
                "some processes could not be looked into; look again".to_owned()
            }
            Found::ByInode(_) | Found::ByAddress(_) | Found::NotYet => {
                "no process that we can see holds it; it may have been closed meanwhile, or \
                 belong to the kernel, io_uring or another pid namespace"
                    .to_owned()
            }
        }
    }

    /// Whether anything was missed.
    pub(super) fn missed_some(&self) -> bool {
        !self.missed.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    /// The account of what was missed.
    pub(super) fn unseen(self) -> impl Iterator<Item = Unseen> {
        let further = self.further_owners();
        let missed = self.missed.into_inner().unwrap_or_else(PoisonError::into_inner);
        let missed = missed.into_iter().map(|((what, why), count)| {
            let sockets = if count == 1 { "socket" } else { "sockets" };
            Unseen { what: format!("{what} of {count} {sockets}"), why: why.to_string() }
        });
        missed.chain(further)
    }

    /// Sockets may have more owners than were seen: of a socket with none, `missed` tells.
    fn further_owners(&self) -> Option<Unseen> {
        let Found::ByInode(table) = &self.found else { return None };
        let (processes, why) = match (&table.trouble, table.refused) {
            (Some(trouble), _) => {
                let why = format!("they could not be looked into: {}; look again", trouble.first);
                (trouble.processes, why)
            }
            (None, refused @ 1..) if !self.missed_some() => {
                (refused, format!("they may not be looked into: {}", to_look_into_processes()))
            }
            (None, _) => return None,
        };
        let noun = if processes == 1 { "process" } else { "processes" };
        Some(Unseen { what: format!("owners in {processes} {noun}"), why })
    }
}

/// The reading of one thread. What it missed is told to the others when it ends. Reasons are shared,
/// as they may hold for very many sockets.
pub(super) struct Reader<'a> {
    holders: &'a Holders,
    why_unseen: Arc<str>,
    unread: Arc<str>,
    too_many: Arc<str>,
    nobody_to_ask: Arc<str>,
    nobody: Arc<str>,
    not_asked: Arc<str>,
    /// Copies of its own, so that cores do not wait for each other to count references.
    processes: Vec<Option<Arc<Process>>>,
    options: OptionsReader,
    missed: Missed,
}

impl Reader<'_> {
    /// Who holds the socket, and its options: from its source, else through the first of them who
    /// lets us.
    pub(super) fn of(
        &mut self,
        sample: &Sample,
        beyond: Beyond,
        held: Range<usize>,
    ) -> (Owners, OptionsSeen) {
        let Beyond { options, .. } = beyond;
        let told = options.map(OptionsSeen::Read);
        if sample.inode.is_none() {
            // Mini sockets have no options; other sockets without a file do.
            if sample.info.is_some() && told.is_none() {
                self.miss("options", &Arc::clone(&self.nobody_to_ask));
            }
            let unread = || OptionsSeen::Unread(Arc::clone(&self.nobody));
            return (Owners::None, told.unwrap_or_else(unread));
        }
        let found = self.owners(held);
        if found.is_empty() {
            let what = if told.is_some() { "owners" } else { "owners and options" };
            self.miss(what, &Arc::clone(&self.why_unseen));
            let options = told.unwrap_or_else(|| OptionsSeen::Unread(Arc::clone(&self.unread)));
            return (Owners::Unseen(Arc::clone(&self.why_unseen)), options);
        }
        let options = told.unwrap_or_else(|| self.options(&found, sample));
        (Owners::Known(found), options)
    }

    fn owners(&mut self, held: Range<usize>) -> OwnerList {
        let table = self.holders.table();
        let held = table
            .into_iter()
            .flat_map(|table| table.held(held.clone()).map(move |(place, fd)| (table, place, fd)));
        let owner = |(table, place, fd)| {
            Some(Owner { process: own_copy(&mut self.processes, table, place)?, fd })
        };
        held.filter_map(owner).collect()
    }

    fn options(&mut self, owners: &[Owner], sample: &Sample) -> OptionsSeen {
        // There are few listeners, and what they do to many connections depends on theirs.
        if !self.holders.reads_options && sample.state != TcpState::Listen {
            return OptionsSeen::Unread(Arc::clone(&self.not_asked));
        }
        let left = if is_doubtful(sample) {
            &self.holders.doubtful_left
        } else {
            &self.holders.others_left
        };
        let take_one = |left: usize| left.checked_sub(1);
        if left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take_one).is_err() {
            self.miss("options", &Arc::clone(&self.too_many));
            return OptionsSeen::Unread(Arc::clone(&self.too_many));
        }
        match self.options.read(owners, sample.id.cookie) {
            Ok(options) => OptionsSeen::Read(options),
            Err(error) => {
                self.miss("options", &summary(&error).into());
                OptionsSeen::Unread(error.to_string().into())
            }
        }
    }

    fn miss(&mut self, what: &'static str, why: &Arc<str>) {
        *self.missed.entry((what, Arc::clone(why))).or_default() += 1;
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut all = self.holders.missed.lock().unwrap_or_else(PoisonError::into_inner);
        for (missed, count) in mem::take(&mut self.missed) {
            *all.entry(missed).or_default() += count;
        }
    }
}

/// The process at `place` in `table`, from the copies made before if it is among them.
fn own_copy(
    copies: &mut Vec<Option<Arc<Process>>>,
    table: &OwnerTable,
    place: usize,
) -> Option<Arc<Process>> {
    let process = table.processes().get(place)?;
    if copies.len() <= place {
        copies.resize(table.processes().len(), None);
    }
    let copy = copies.get_mut(place)?;
    Some(Arc::clone(copy.get_or_insert_with(|| Arc::new(Process::clone(process)))))
}

/// Whether the options can change more than an assumption: another timer hides whether keepalive is
/// on, or it is on and its times are the application's.
const fn is_doubtful(sample: &Sample) -> bool {
    !matches!(sample.timer, KernelTimer::Off)
}

/// The error without what differs from socket to socket, so that its cases can be counted.
fn summary(error: &OptionsError) -> String {
    match error {
        OptionsError::Refused { .. } => {
            format!("their processes may not be looked into: {}", to_look_into_processes())
        }
        OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. } => {
            "they were closed meanwhile; look again".to_owned()
        }
        OptionsError::Read { cause, .. } => format!("they could not be read: {cause}"),
        unsupported => unsupported.to_string(),
    }
}

const NOBODY_TO_ASK: &str = "no process holds them: not accepted yet, or closed and finishing; \
                             only BPF could read them (`--source bpf`)";

const TOO_MANY: &str = "there are too many sockets to read the options of all: select fewer \
                        connections, or use BPF (`--source bpf`)";
