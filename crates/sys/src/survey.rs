//! Owns the survey: one look at the host's connections, from every source that this process may use.
//! Changes nothing. What could not be seen is said, not guessed.

mod holders;

use std::collections::HashSet;

use halfopen_core::{
    ConnectionId, Listener, Moment, NetnsId, Observation, Sample, Sysctls, TcpState, siblings,
};
use holders::Holders;

use crate::{
    boottime,
    listeners::Listeners,
    netns::{Census, Netns, NetnsError, census},
    samples,
    socket_diag::SocketDiagError,
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
}

/// Looks at every connection of the scope, with its owners, options and surroundings.
///
/// Takes what it can get: without privilege the owners and options of other users' sockets and
/// other namespaces are missing, which [`Survey::unseen`] says, with what would help.
///
/// # Errors
/// [`SurveyError`] where the namespace that was asked for cannot be looked at at all.
pub fn survey(scope: &Scope) -> Result<Survey, SurveyError> {
    survey_of(scope, |_| true)
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
    let survey = survey_of(&scope, |sample| sample.id == id)?;
    Ok(survey.observations.into_iter().next())
}

fn survey_of(scope: &Scope, keep: impl Fn(&Sample) -> bool) -> Result<Survey, SurveyError> {
    let taken_at = boottime::now();
    let mut unseen = Vec::new();
    let looks = looks(scope, &mut unseen)?;
    let is_wanted = |sample: &Sample| sample.state == TcpState::Listen || keep(sample);
    let inodes: HashSet<u64> = looks
        .iter()
        .flat_map(|look| &look.samples)
        .filter_map(|sample| sample.inode.filter(|_| is_wanted(sample)))
        .collect();
    let mut holders = Holders::find(&inodes);

    let mut survey = Survey {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        taken_at,
        namespaces: Vec::new(),
        observations: Vec::new(),
        listeners: Vec::new(),
        unseen,
    };
    for look in looks {
        let Look { namespace, sysctls, samples } = look;
        survey.namespaces.push(namespace);
        let (listening, connections): (Vec<_>, Vec<_>) =
            samples.into_iter().partition(|sample| sample.state == TcpState::Listen);
        let listeners = listeners(&listening, &connections, &sysctls, &mut holders);
        survey.listeners.extend(listeners.all());
        let siblings = siblings(&connections);
        for (sample, siblings) in connections.into_iter().zip(siblings) {
            if !keep(&sample) {
                continue;
            }
            let (owners, options) = holders.of(&sample);
            survey.observations.push(Observation {
                listener: listeners.covering(&sample).cloned(),
                sample,
                options,
                sysctls: sysctls.clone(),
                tick: tick(),
                owners,
                siblings,
                proof: None,
            });
        }
    }
    survey.unseen.extend(holders.unseen());
    Ok(survey)
}

fn listeners(
    listening: &[Sample],
    connections: &[Sample],
    sysctls: &Sysctls,
    holders: &mut Holders,
) -> Listeners {
    let mut listeners = Listeners::default();
    for sample in listening {
        let (_, options) = holders.of(sample);
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
    samples: Vec<Sample>,
}

/// Looks into every namespace of the scope. What hides of [`Scope::All`] goes to `unseen`; the one
/// namespace of another scope has to be seen.
fn looks(scope: &Scope, unseen: &mut Vec<Unseen>) -> Result<Vec<Look>, SurveyError> {
    let own = Netns::current()?;
    let others = match scope {
        Scope::Current => return Ok(vec![look(&own, own.id(), unseen)?]),
        Scope::Named(name) => return Ok(vec![look(&Netns::named(name)?, own.id(), unseen)?]),
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
        match look(&netns, own.id(), unseen) {
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

fn look(netns: &Netns, own: NetnsId, unseen: &mut Vec<Unseen>) -> Result<Look, SurveyError> {
    let (taken, sysctls) = netns.enter(|| (samples::of_this_namespace(), sysctls()))?;
    let taken = taken?;
    unseen.extend(taken.missed.into_iter().map(|(what, why)| Unseen { what, why }));
    if sysctls == Sysctls::default() {
        unseen.push(Unseen {
            what: format!("sysctls of network namespace {}", netns.id()),
            why: "/proc/sys/net/ipv4 could not be read; is it mounted here?".to_owned(),
        });
    }
    let namespace = NamespaceSeen {
        id: netns.id(),
        name: netns.name().map(str::to_owned),
        is_own: netns.id() == own,
    };
    Ok(Look { namespace, sysctls, samples: taken.samples })
}
