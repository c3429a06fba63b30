//! Owns the survey: one look at the host's connections, from every source that this process may use.
//! Changes nothing. What could not be seen is said, not guessed.

mod holders;

use std::thread;

use halfopen_core::{
    ConnectionId, Listener, Moment, NetnsId, Observation, Sample, Sysctls, Tracking, siblings,
};
use holders::Holders;

use crate::{
    boottime,
    bpf::{BpfError, descriptor::Descriptor, record::Beyond},
    conntrack::{TrackingSeen, tracking},
    listeners::Listeners,
    netns::{Census, Netns, NetnsError, census},
    samples::{self, NoSamples, Sockets},
    socket_diag::SocketDiagError,
    sources::{Chosen, Sources},
    sysctls, tick,
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

/// One look at the host.
#[derive(Debug, Clone)]
pub struct Survey {
    /// The host's name.
    pub host: String,
    /// When the look began.
    pub taken_at: Moment,
    /// The namespaces that were looked at.
    pub namespaces: Vec<NamespaceSeen>,
    /// Every connection seen; listeners are not connections.
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
    survey_of(scope, sources, |_| true)
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
    let survey = survey_of(&scope, Sources::Auto, |sample| sample.id == id)?;
    Ok(survey.observations.into_iter().next())
}

fn survey_of(
    scope: &Scope,
    sources: Sources,
    keep: impl Fn(&Sample) -> bool,
) -> Result<Survey, SurveyError> {
    let taken_at = boottime::now();
    let source = sources.choose()?;
    let mut unseen = Vec::new();
    let (descriptors, looks) = beside_descriptors(&source, || looks(scope, &source, &mut unseen));
    let looks = looks?;
    let wanted = looks.iter().flat_map(|look| {
        let connections = look.sockets.connections().filter(|(sample, _)| keep(sample));
        look.sockets.listening.iter().map(|(sample, beyond)| (sample, beyond)).chain(connections)
    });
    let mut holders = Holders::find(wanted, descriptors);

    let mut survey = Survey {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        taken_at,
        namespaces: Vec::new(),
        observations: Vec::new(),
        listeners: Vec::new(),
        unseen,
    };
    for look in looks {
        let Look { namespace, sysctls, sockets, tracking } = look;
        let Sockets { listening, connections, beyond, .. } = sockets;
        survey.namespaces.push(namespace);
        let listeners = listeners(&listening, &connections, &sysctls, &mut holders);
        survey.listeners.extend(listeners.all());
        let siblings = siblings(&connections);
        let surroundings = beyond.into_iter().zip(siblings).zip(tracking);
        for (sample, ((beyond, siblings), tracking)) in connections.into_iter().zip(surroundings) {
            if !keep(&sample) {
                continue;
            }
            let (owners, options) = holders.of(&sample, beyond.options);
            survey.observations.push(Observation {
                listener: listeners.covering(&sample).cloned(),
                sample,
                options,
                sysctls: sysctls.clone(),
                tick: tick(),
                owners,
                siblings,
                tracking,
                proof: None,
            });
        }
    }
    if let (Chosen::SockDiag { instead_of: Some(error) }, true) = (&source, holders.missed_some()) {
        survey.unseen.push(Unseen {
            what: "what only the kernel itself tells of sockets".to_owned(),
            why: error.to_string(),
        });
    }
    survey.unseen.extend(holders.unseen());
    Ok(survey)
}

/// Runs `look` while, where the source is BPF, another thread lists the descriptors of the host.
fn beside_descriptors<T>(
    source: &Chosen,
    look: impl FnOnce() -> T,
) -> (Option<Vec<Descriptor>>, T) {
    // Elsewhere the iterator sees no process, and would call those it saw by other numbers.
    let bpf = match source {
        Chosen::Bpf { bpf, .. } if is_initial_pid_namespace() => bpf,
        _ => return (None, look()),
    };
    thread::scope(|scope| {
        let listing = thread::Builder::new().spawn_scoped(scope, || bpf.descriptors().ok());
        let looked = look();
        // Where no thread may be started /proc does the work.
        let descriptors = listing.ok().and_then(|thread| thread.join().ok()).flatten();
        (descriptors, looked)
    })
}

fn is_initial_pid_namespace() -> bool {
    // PROC_PID_INIT_INO of include/linux/proc_ns.h.
    std::fs::read_link("/proc/self/ns/pid")
        .is_ok_and(|link| link.as_os_str().as_encoded_bytes() == b"pid:[4026531836]")
}

fn listeners(
    listening: &[(Sample, Beyond)],
    connections: &[Sample],
    sysctls: &Sysctls,
    holders: &mut Holders,
) -> Listeners {
    let mut listeners = Listeners::default();
    for (sample, beyond) in listening {
        let (_, options) = holders.of(sample, beyond.options.clone());
        listeners.add(sample, options.read(), sysctls);
    }
    for sample in connections {
        listeners.count(sample);
    }
    listeners
}

/// What was seen inside one namespace.
struct Look {
    namespace: NamespaceSeen,
    sysctls: Sysctls,
    sockets: Sockets,
    /// One for each connection, in their order.
    tracking: Vec<Tracking>,
}

/// Looks into every namespace of the scope. What hides of [`Scope::All`] goes to `unseen`; the one
/// namespace of another scope has to be seen.
fn looks(
    scope: &Scope,
    source: &Chosen,
    unseen: &mut Vec<Unseen>,
) -> Result<Vec<Look>, SurveyError> {
    let own = Netns::current()?;
    let others = match scope {
        Scope::Current => return Ok(vec![look(&own, own.id(), source, unseen)?]),
        Scope::Named(name) => {
            return Ok(vec![look(&Netns::named(name)?, own.id(), source, unseen)?]);
        }
        Scope::All => census(),
    };
    let Census { mut namespaces, hidden } = others?;
    if hidden.processes > 0 {
        let count = hidden.processes;
        unseen.push(Unseen {
            what: format!("network namespaces of {count} hidden processes, where not listed"),
            why: "processes, as a rule of other users, may not be looked at: needs CAP_SYS_PTRACE \
                  (run as root)"
                .to_owned(),
        });
    }
    for (id, why) in hidden.unopened {
        unseen.push(Unseen { what: format!("connections of network namespace {id}"), why });
    }
    if !namespaces.iter().any(|netns| netns.id() == own.id()) {
        namespaces.push(Netns::current()?);
    }
    let mut looks = Vec::with_capacity(namespaces.len());
    for netns in namespaces {
        match look(&netns, own.id(), source, unseen) {
            Ok(look) => looks.push(look),
            Err(error) if netns.id() == own.id() => return Err(error),
            Err(error) => {
                let name = netns.name().map(|name| format!(" ({name})")).unwrap_or_default();
                unseen.push(Unseen {
                    what: format!("connections of network namespace {}{name}", netns.id()),
                    why: error.to_string(),
                });
            }
        }
    }
    Ok(looks)
}

fn look(
    netns: &Netns,
    own: NetnsId,
    source: &Chosen,
    unseen: &mut Vec<Unseen>,
) -> Result<Look, SurveyError> {
    let (looked, sysctls) = netns.enter(|| {
        let sysctls = sysctls();
        let sockets = samples::of_this_namespace(source, &sysctls);
        let tracked = |sockets: Sockets| (tracking(&sockets.connections), sockets);
        (sockets.map(tracked), sysctls)
    })?;
    let (tracking, mut sockets) = looked?;
    let missed = std::mem::take(&mut sockets.missed);
    unseen.extend(missed.into_iter().map(|(what, why)| Unseen { what, why }));
    if sysctls == Sysctls::default() {
        unseen.push(Unseen {
            what: format!("sysctls of network namespace {}", netns.id()),
            why: "/proc/sys/net/ipv4 could not be read; is it mounted here?".to_owned(),
        });
    }
    let TrackingSeen { each: tracking, missed } = tracking;
    unseen.extend(missed.map(|why| Unseen {
        what: format!("connection tracking of network namespace {}", netns.id()),
        why,
    }));
    let namespace = NamespaceSeen {
        id: netns.id(),
        name: netns.name().map(str::to_owned),
        is_own: netns.id() == own,
    };
    Ok(Look { namespace, sysctls, sockets, tracking })
}
