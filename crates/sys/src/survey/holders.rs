//! Owns who holds each socket of a survey, what options they gave it, and the account of what
//! could not be read. Read: `owners` and `options`, which do the reading.

use std::{
    collections::BTreeMap,
    mem,
    ops::Range,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use halfopen_core::{
    KernelTimer, OptionsSeen, Owner, OwnerList, Owners, Process, Sample, TcpState,
};

use super::{About, Unseen, searching::Found};
use crate::{
    bpf::record::Beyond,
    options::{OptionsError, OptionsReader},
    owners::OwnerTable,
    privilege::to_look_into_processes,
};

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

/// Hidden of a socket whose owner was seen.
const OPTIONS: &str = "options";

/// Options are read for at most this many sockets of one survey about which there is a doubt that
/// the options can lift. A read takes some 20 µs (measured on two busy cores), so these take half a
/// second. More would make a look at a host with hundreds of thousands of sockets a load of its own.
const DOUBTFUL_MAX: usize = 20_000;

/// And for this many of which nothing but an assumption or two depends on them.
const OTHERS_MAX: usize = 5_000;

impl Holders {
    /// From what was found. Options that no source tells are read only if `reads_options`.
    pub(super) fn new(found: Found, reads_options: bool) -> Self {
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
                "{refused} {} may not be looked into, usually of other users: {}",
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
            let about = if what == OPTIONS { About::Options } else { About::Owners };
            Unseen { what: format!("{what} of {count} {sockets}"), why: why.to_string(), about }
        });
        missed.chain(further)
    }

    /// Sockets may have more owners than were seen: of a socket with none, `missed` tells.
    fn further_owners(&self) -> Option<Unseen> {
        let Found::ByInode(table) = &self.found else { return None };
        let missed = self.missed.lock().unwrap_or_else(PoisonError::into_inner);
        let lacks_owners = missed.keys().any(|(what, _)| *what != OPTIONS);
        let (processes, why) = match (&table.trouble, table.refused) {
            (Some(trouble), _) => {
                let why = format!("they could not be looked into: {}; look again", trouble.first);
                (trouble.processes, why)
            }
            (None, refused @ 1..) if !lacks_owners => {
                (refused, format!("they may not be looked into: {}", to_look_into_processes()))
            }
            (None, _) => return None,
        };
        let noun = if processes == 1 { "process" } else { "processes" };
        let owners = if lacks_owners { "owners" } else { "further owners" };
        let what = format!("{owners} in {processes} {noun}");
        Some(Unseen { what, why, about: About::Owners })
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
                self.miss(OPTIONS, &Arc::clone(&self.nobody_to_ask));
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
            self.miss(OPTIONS, &Arc::clone(&self.too_many));
            return OptionsSeen::Unread(Arc::clone(&self.too_many));
        }
        match self.options.read(owners, sample.id.cookie) {
            Ok(options) => OptionsSeen::Read(options),
            Err(error) => {
                self.miss(OPTIONS, &summary(&error).into());
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
