//! Owns the survey: one look at the host's connections, from every source that this process may use.
//! Changes nothing. What could not be seen is said, not guessed.

mod early;
mod holders;
mod looks;
mod searching;
mod unjudged;

use std::{collections::HashSet, sync::Arc, thread};

use early::Early;
use halfopen_core::{
    ConnectionId, Contact, Listener, Moment, NetnsId, Observation, PeerTallies, Sample, Siblings,
    Sysctls, detection::Tick,
};
use holders::{Holders, Reader};
use looks::{Look, looks};
use searching::{Finder, Wanted};
use unjudged::{Columns, Unjudged};

use crate::{
    boottime,
    bpf::{BpfError, record::Beyond},
    listeners::Listeners,
    netns::{Netns, NetnsError},
    options::SharedOptions,
    pieces::on_all_cores,
    samples::{NoSamples, Sockets},
    socket_diag::SocketDiagError,
    sources::{Chosen, Sources},
    tick,
};

/// Which network namespaces to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The namespace of the calling thread.
    Current,
    /// Every namespace of the host that can be found.
    All,
    /// One namespace: a name below /run/netns, a path, a pid, or an inode number.
    Named(String),
}

/// What to look at, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Which network namespaces.
    pub scope: Scope,
    /// Where samples may come from.
    pub sources: Sources,
    /// Look for the processes that hold each connection. Without BPF that is most of the work.
    pub owners: bool,
    /// Read the options of many connections through their owners, where the source does not tell
    /// them. Who needs those of some connections only reads them by itself
    /// ([`crate::options::OptionsReader`]).
    pub options: bool,
    /// Compare every connection with the others to the same peer, as who is going to test it needs
    /// it. Else only those are compared to which it matters as they are.
    pub siblings: bool,
}

impl Ask {
    /// All there is to see in `scope`, from the best source.
    pub const fn all(scope: Scope) -> Self {
        Self { scope, sources: Sources::Auto, owners: true, options: true, siblings: true }
    }
}

/// One look at the host.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The host's name.
    pub host: String,
    /// When the look began.
    pub taken_at: Moment,
    /// The namespaces that were looked at.
    pub namespaces: Vec<NamespaceSeen>,
    /// Every connection seen, in no order; listeners are not connections. Empty from
    /// [`survey_each`], which hands them over.
    pub observations: Vec<Observation>,
    /// The listeners, for their queues.
    pub listeners: Vec<Listener>,
    /// What could not be seen, and why.
    pub unseen: Vec<Unseen>,
}

/// A namespace that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceSeen {
    /// Its inode number.
    pub id: NetnsId,
    /// A name for people: its name below /run/netns, or the command of a process in it.
    pub name: Option<String>,
    /// It is the namespace of the calling thread.
    pub is_own: bool,
}

/// Something that could not be seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unseen {
    /// What, e.g. `owners of 12 connections`.
    pub what: String,
    /// Why and what would help, e.g. `processes of other users: needs CAP_SYS_PTRACE (run as root)`.
    pub why: String,
    /// What it was to tell.
    pub about: About,
}

/// What was to be learnt from that which could not be seen. The first three concern a reader only if
/// a connection that is shown lacks just this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum About {
    /// Who holds sockets. `Owners::Unseen` marks each socket of which no owner was seen; a process that
    /// could not be looked into may besides be a further owner of any other.
    Owners,
    /// The options of sockets; `OptionsSeen::Unread` marks each.
    Options,
    /// Why a source was not asked that might have told owners and options.
    Source,
    /// Anything else: whole connections, sysctls, connection tracking.
    Host,
}

/// Why there is no survey at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SurveyError {
    /// The namespace that was asked for does not exist, or may not be entered.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
    /// The kernel did not list its sockets.
    #[error(transparent)]
    Samples(#[from] SocketDiagError),
    /// BPF was asked for and cannot be had.
    #[error(transparent)]
    Bpf(#[from] BpfError),
}

impl From<NoSamples> for SurveyError {
    fn from(error: NoSamples) -> Self {
        match error {
            NoSamples::SockDiag(error) => Self::Samples(error),
            NoSamples::Bpf(error) => Self::Bpf(error),
        }
    }
}

/// Looks at every connection of the scope, with its owners, options and surroundings.
///
/// Takes what it can get: without privilege the owners and options of other users' sockets and
/// other namespaces are missing, which [`Survey::unseen`] says, with what would help.
///
/// # Errors
/// [`SurveyError`] where the namespace that was asked for cannot be looked at at all.
pub fn survey(scope: &Scope) -> Result<Survey, SurveyError> {
    survey_from(scope, Sources::Auto)
}

/// As [`survey`], with a say in where samples come from.
///
/// # Errors
/// As [`survey`], and [`SurveyError::Bpf`] where [`Sources::Bpf`] cannot be had.
pub fn survey_from(scope: &Scope, sources: Sources) -> Result<Survey, SurveyError> {
    survey_whole(&Ask { sources, ..Ask::all(scope.clone()) }, None)
}

/// As [`survey`], for very many connections: hands them over piece by piece, on all cores, so that
/// they never need to be in memory all at once in this form. Each thread takes them up by `each` into
/// something of its own, from `start`; there are one or a few of these for each namespace.
///
/// # Errors
/// As [`survey_from`].
pub fn survey_each<T: Send>(
    ask: &Ask,
    start: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, Vec<Observation>) + Sync,
) -> Result<(Survey, Vec<T>), SurveyError> {
    survey_of(ask, None, start, each)
}

/// Looks at one connection and its surroundings; `None` if it is no more. Owners and options of
/// others are not looked for.
///
/// # Errors
/// As [`survey`]. A namespace that has gone is [`NetnsError::NoSuchName`].
pub fn look_up(id: ConnectionId) -> Result<Option<Observation>, SurveyError> {
    let scope = if Netns::current()?.id() == id.netns {
        Scope::Current
    } else {
        Scope::Named(id.netns.to_string())
    };
    Ok(survey_whole(&Ask::all(scope), Some(id))?.observations.into_iter().next())
}

fn survey_whole(ask: &Ask, only: Option<ConnectionId>) -> Result<Survey, SurveyError> {
    let add = |all: &mut Vec<_>, mut piece| all.append(&mut piece);
    let (mut survey, observations) = survey_of(ask, only, Vec::new, add)?;
    survey.observations = observations.into_iter().flatten().collect();
    Ok(survey)
}

fn survey_of<T: Send>(
    ask: &Ask,
    only: Option<ConnectionId>,
    start: impl Fn() -> T + Sync,
    each: impl Fn(&mut T, Vec<Observation>) + Sync,
) -> Result<(Survey, Vec<T>), SurveyError> {
    let taken_at = boottime::now();
    let source = ask.sources.choose()?;
    let wanted = match (ask.owners, only) {
        (false, _) => Wanted::None,
        (true, None) => Wanted::All,
        (true, Some(_)) => Wanted::Some,
    };
    let finder = Finder { source: &source, wanted, reads_options: ask.options };
    let keep = |sample: &Sample| only.is_none_or(|id| sample.id == id);
    let mut survey = Survey {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        taken_at,
        namespaces: Vec::new(),
        observations: Vec::new(),
        listeners: Vec::new(),
        unseen: Vec::new(),
    };
    let taken = thread::scope(|scope| {
        let searching = finder.begin(scope);
        let early = Early::new(&searching, ask.siblings || only.is_some(), &start, &each);
        let looks = looks(&ask.scope, &source, &mut survey.unseen, &early)?;
        let has_addresses = looks.iter().any(|look| look.sockets.noted.addresses);
        let holders = searching.after_all(has_addresses, || inodes_wanted(&looks, keep));
        let mut taken = Vec::new();
        for Look { namespace, sysctls, sockets, tracking, place } in looks {
            survey.namespaces.push(namespace);
            let mut place =
                place.unwrap_or_else(|| Place::new(holders, &sockets.listening, sysctls));
            place.compare(&sockets, ask.siblings);
            survey.listeners.extend(place.listeners.all());
            let unjudged = Unjudged::new(sockets.connections, tracking);
            let hire = || (place.worker(), start());
            let workers = on_all_cores(unjudged, hire, |(worker, taken), piece| {
                let piece = piece.columns(&mut worker.shared);
                each(taken, worker.observations(piece, keep));
            });
            taken.extend(workers.into_iter().map(|(_, taken)| taken));
        }
        taken.extend(early.into_taken());
        let holders = searching.into_holders();
        if let (Chosen::SockDiag { instead_of: Some(error) }, Some(true)) =
            (&source, holders.as_ref().map(Holders::missed_some))
        {
            survey.unseen.push(Unseen {
                what: "what only the kernel itself tells of sockets".to_owned(),
                why: error.to_string(),
                about: About::Source,
            });
        }
        survey.unseen.extend(holders.into_iter().flat_map(Holders::unseen));
        Ok::<_, SurveyError>(taken)
    })?;
    Ok((survey, taken))
}

/// The inodes of those sockets that `keep` keeps, and of the listeners.
fn inodes_wanted(looks: &[Look<'_>], keep: impl Fn(&Sample) -> bool) -> HashSet<u64> {
    let mut wanted = HashSet::new();
    for Look { sockets, .. } in looks {
        wanted.extend(sockets.listening.iter().filter_map(|(sample, _)| sample.inode));
        sockets.connections.for_each(|sample| {
            wanted.extend(sample.inode.filter(|_| keep(sample)));
        });
    }
    wanted
}

/// What the connections of one namespace have around them.
struct Place<'a> {
    holders: &'a Holders,
    listeners: Listeners,
    tallies: PeerTallies,
    compares_all: bool,
    sysctls: Sysctls,
    tick: Tick,
}

impl<'a> Place<'a> {
    /// Before anything is known of other connections.
    fn new(holders: &'a Holders, listening: &[(Sample, Beyond)], sysctls: Sysctls) -> Self {
        let mut reader = holders.reader();
        let mut listeners = Listeners::default();
        let held = holders.places(listening.iter().map(|(sample, beyond)| (sample, beyond)));
        for ((sample, beyond), held) in listening.iter().zip(held) {
            let (_, options) = reader.of(sample, beyond.clone(), held);
            listeners.add(sample, options.read(), &sysctls);
        }
        let tallies = PeerTallies::default();
        Self { holders, listeners, tallies, compares_all: false, sysctls, tick: tick() }
    }

    /// Counts what has to be known of all connections.
    fn compare(&mut self, sockets: &Sockets, compares_all: bool) {
        let Sockets { connections, taken, noted, .. } = sockets;
        if noted.embryonic {
            connections.for_each(|sample| self.listeners.count(sample));
        }
        if compares_all || noted.unanswered {
            let mut contacts = taken.clone();
            connections.for_each(|sample| contacts.push(Contact::from(sample)));
            self.tallies = contacts.into_iter().collect();
        }
        self.compares_all = compares_all;
    }

    fn worker(&self) -> Worker<'_> {
        Worker {
            place: self,
            reader: self.holders.reader(),
            sysctls: Arc::new(self.sysctls.clone()),
            shared: SharedOptions::default(),
        }
    }

    fn siblings(&self, sample: &Sample) -> Siblings {
        if self.compares_all || PeerTallies::may_matter_to(sample) {
            self.tallies.siblings_of(sample)
        } else {
            Siblings::default()
        }
    }
}

/// One thread's part in putting observations together. What is shared by many of them it has for
/// itself, so that cores do not wait for each other to count references.
struct Worker<'a> {
    place: &'a Place<'a>,
    reader: Reader<'a>,
    sysctls: Arc<Sysctls>,
    shared: SharedOptions,
}

impl Worker<'_> {
    fn observations(&mut self, piece: Columns, keep: impl Fn(&Sample) -> bool) -> Vec<Observation> {
        let Columns { connections, beyond, tracking } = piece;
        let held = self.place.holders.places(connections.iter().zip(&beyond));
        connections
            .into_iter()
            .zip(beyond)
            .zip(tracking)
            .zip(held)
            .filter(|(((sample, _), _), _)| keep(sample))
            .map(|(((sample, beyond), tracking), held)| {
                let (owners, options) = self.reader.of(&sample, beyond, held);
                Observation {
                    options,
                    sysctls: Arc::clone(&self.sysctls),
                    tick: self.place.tick,
                    owners,
                    listener: self.place.listeners.covering(&sample),
                    siblings: self.place.siblings(&sample),
                    tracking,
                    proof: None,
                    sample,
                }
            })
            .collect()
    }
}
