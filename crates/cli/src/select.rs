//! Owns the choice of connections: selectors become a `Selection`, and a `Selection` matches or not.
//! Pure. Looks at diagnoses only, never at the host.

mod endpoint;

use std::{str::FromStr, time::Duration};

use halfopen_core::{
    ConnectionId, Diagnosis, Listener, NetnsId, NotAnId, Observation, Owners, TcpState, VerdictKind,
};
use halfopen_sys::Scope;

pub use self::endpoint::{EndpointPattern, NotAnEndpoint};
use crate::args::Selectors;

/// A choice of connections.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    peer: Vec<EndpointPattern>,
    local: Vec<EndpointPattern>,
    ports: Vec<u16>,
    processes: Vec<ProcessPattern>,
    states: Vec<TcpState>,
    verdicts: Vec<VerdictKind>,
    idle_over: Option<Duration>,
    cgroups: Vec<String>,
    ids: Vec<ConnectionId>,
    loopback: bool,
    scope: ScopeWanted,
}

#[derive(Debug, Clone, Default)]
enum ScopeWanted {
    #[default]
    Current,
    All,
    Named(String),
}

impl Selection {
    /// What the selectors mean.
    pub fn new(selectors: &Selectors) -> Self {
        let ids: Vec<_> = selectors.id.iter().map(|id| id.0).collect();
        Self {
            peer: selectors.peer.clone(),
            local: selectors.local.clone(),
            ports: selectors.port.iter().map(|port| port.0).collect(),
            processes: selectors.process.clone(),
            states: selectors.state.iter().map(|state| state.0).collect(),
            verdicts: selectors.verdict.iter().map(|verdict| verdict.0).collect(),
            idle_over: selectors.idle_over.map(|given| given.0),
            cgroups: selectors.cgroup.clone(),
            loopback: selectors.loopback,
            scope: match (&selectors.netns, selectors.all_namespaces) {
                (Some(name), _) => ScopeWanted::Named(name.clone()),
                (None, true) => ScopeWanted::All,
                (None, false) => ScopeWanted::from_ids(&ids),
            },
            ids,
        }
    }

    /// The same choice, narrowed down to one id; looks in that id's namespace.
    #[must_use]
    pub fn with_id(mut self, id: ConnectionId) -> Self {
        self.ids = vec![id];
        if matches!(self.scope, ScopeWanted::Current) {
            self.scope = ScopeWanted::from_ids(&self.ids);
        }
        self
    }

    /// The same choice, in the namespace with this inode number.
    #[must_use]
    pub fn in_namespace(mut self, netns: NetnsId) -> Self {
        self.scope = ScopeWanted::Named(netns.to_string());
        self
    }

    /// The same choice, with loopback shown.
    #[must_use]
    pub const fn with_loopback(mut self) -> Self {
        self.loopback = true;
        self
    }

    /// The namespaces to look at.
    pub fn scope(&self) -> Scope {
        match &self.scope {
            ScopeWanted::Current => Scope::Current,
            ScopeWanted::All => Scope::All,
            ScopeWanted::Named(name) => Scope::Named(name.clone()),
        }
    }

    /// Whether the connection is meant, loopback or not.
    pub fn matches(&self, diagnosis: &Diagnosis) -> bool {
        self.may_mean(&diagnosis.observation)
            && any_or_empty(&self.verdicts, |kind| *kind == diagnosis.verdict.kind())
    }

    /// Whether the connection is meant, as far as that can be told before it is judged.
    pub fn may_mean(&self, seen: &Observation) -> bool {
        let sample = &seen.sample;
        let ends = &sample.endpoints;
        any_or_empty(&self.ids, |id| *id == sample.id)
            && any_or_empty(&self.peer, |pattern| pattern.matches(ends.peer))
            && any_or_empty(&self.local, |pattern| pattern.matches(ends.local))
            && any_or_empty(&self.ports, |port| {
                *port == ends.local.port() || *port == ends.peer.port()
            })
            && any_or_empty(&self.states, |state| *state == sample.state)
            && self
                .idle_over
                .is_none_or(|least| sample.last_heard().is_some_and(|heard| heard > least))
            && any_or_empty(&self.processes, |process| process.holds(seen))
            && any_or_empty(&self.cgroups, |text| is_in_cgroup(seen, text))
    }

    /// Whether the listener belongs to what was asked: it does, unless the selectors can only be
    /// about connections.
    pub fn matches_listener(&self, listener: &Listener) -> bool {
        let about_connections = !self.peer.is_empty()
            || !self.processes.is_empty()
            || !self.states.is_empty()
            || !self.verdicts.is_empty()
            || !self.cgroups.is_empty()
            || !self.ids.is_empty()
            || self.idle_over.is_some();
        !about_connections
            && any_or_empty(&self.local, |pattern| {
                pattern.matches(listener.local)
                    || (listener.local.ip().to_canonical().is_unspecified()
                        && pattern.port_alone() == Some(listener.local.port()))
            })
            && any_or_empty(&self.ports, |port| *port == listener.local.port())
    }

    /// Whether the connection is hidden because both ends are on this host. Asking for a loopback
    /// address, or for an id, shows it.
    pub fn hides(&self, seen: &Observation) -> bool {
        let asked = self.loopback
            || !self.ids.is_empty()
            || self.peer.iter().chain(&self.local).any(EndpointPattern::names_loopback);
        !asked && seen.sample.endpoints.is_loopback()
    }

    /// Whether anything narrows the choice down, apart from the namespaces to look at.
    pub const fn narrows(&self) -> bool {
        !(self.ids.is_empty()
            && self.peer.is_empty()
            && self.local.is_empty()
            && self.ports.is_empty()
            && self.processes.is_empty()
            && self.states.is_empty()
            && self.verdicts.is_empty()
            && self.cgroups.is_empty()
            && self.idle_over.is_none())
    }

    /// Whether somebody has said which connections are meant: those of one namespace are, too.
    pub const fn chooses(&self) -> bool {
        self.narrows() || matches!(self.scope, ScopeWanted::Named(_))
    }

    /// Whether the answer depends on who owns each connection.
    pub const fn needs_owners(&self) -> bool {
        !self.processes.is_empty() || !self.cgroups.is_empty()
    }
}

impl ScopeWanted {
    /// Ids carry their namespace, so looking for one looks there.
    fn from_ids(ids: &[ConnectionId]) -> Self {
        match ids {
            [] => Self::Current,
            [first, rest @ ..] if rest.iter().all(|id| id.netns == first.netns) => {
                Self::Named(first.netns.to_string())
            }
            _ => Self::All,
        }
    }
}

fn any_or_empty<T>(wanted: &[T], matches: impl Fn(&T) -> bool) -> bool {
    wanted.is_empty() || wanted.iter().any(matches)
}

fn is_in_cgroup(seen: &Observation, text: &str) -> bool {
    seen.owners.seen().iter().any(|owner| {
        let process = &owner.process;
        [&process.cgroup, &process.unit].into_iter().flatten().any(|name| name.contains(text))
    })
}

/// A process, by name or number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProcessPattern {
    /// The number, as seen from our own pid namespace.
    Pid(u32),
    /// The command name, cut like the kernel cuts it.
    Command(String),
}

/// TASK_COMM_LEN - 1: the kernel keeps no more bytes of a command's name.
const COMMAND_MAX: usize = 15;

impl ProcessPattern {
    fn holds(&self, seen: &Observation) -> bool {
        let Owners::Known(owners) = &seen.owners else { return false };
        owners.iter().any(|owner| match self {
            Self::Pid(pid) => owner.process.pid == *pid,
            Self::Command(name) => owner.process.command == *name,
        })
    }
}

impl FromStr for ProcessPattern {
    type Err = NotAProcess;

    fn from_str(text: &str) -> Result<Self, NotAProcess> {
        if text.is_empty() {
            return Err(NotAProcess);
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return text.parse().map(Self::Pid).map_err(|_| NotAProcess);
        }
        let cut = (0..=COMMAND_MAX.min(text.len())).rev().find(|at| text.is_char_boundary(*at));
        Ok(Self::Command(text.get(..cut.unwrap_or(0)).unwrap_or(text).to_owned()))
    }
}

/// A text that names no process.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a process is a command name or a number, e.g. nginx or 1234")]
pub struct NotAProcess;

/// A port of either end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PortPattern(pub u16);

impl FromStr for PortPattern {
    type Err = NotAnEndpoint;

    fn from_str(text: &str) -> Result<Self, NotAnEndpoint> {
        endpoint::parse_port(text.trim_start_matches(':')).map(Self)
    }
}

/// A connection id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct IdPattern(pub ConnectionId);

impl FromStr for IdPattern {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        text.parse().map(Self)
    }
}

/// A verdict's word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VerdictPattern(pub VerdictKind);

/// A word that names no verdict.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a verdict; the verdicts are {}", all_verdicts())]
pub struct NotAVerdict {
    /// What was given.
    pub word: String,
}

fn all_verdicts() -> String {
    VerdictKind::ALL.map(VerdictKind::word).join(", ")
}

impl FromStr for VerdictPattern {
    type Err = NotAVerdict;

    fn from_str(word: &str) -> Result<Self, NotAVerdict> {
        let lower = word.to_ascii_lowercase();
        VerdictKind::from_word(&lower)
            .map(Self)
            .ok_or_else(|| NotAVerdict { word: word.to_owned() })
    }
}

/// A TCP state, by RFC 9293's name or the one that ss(8) uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatePattern(pub TcpState);

/// The states a connection can be in, with every name they go by.
const STATES: [(TcpState, &[&str]); 10] = [
    (TcpState::Established, &["established", "estab"]),
    (TcpState::SynSent, &["syn-sent"]),
    (TcpState::SynReceived, &["syn-received", "syn-recv"]),
    (TcpState::FinWait1, &["fin-wait-1"]),
    (TcpState::FinWait2, &["fin-wait-2"]),
    (TcpState::TimeWait, &["time-wait"]),
    (TcpState::Closed, &["closed", "unconn"]),
    (TcpState::CloseWait, &["close-wait"]),
    (TcpState::LastAck, &["last-ack"]),
    (TcpState::Closing, &["closing"]),
];

/// A word that names no state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{word}` is not a TCP state; the states are {}", all_states())]
pub struct NotAState {
    /// What was given.
    pub word: String,
}

fn all_states() -> String {
    let first = |(_, names): (TcpState, &[&'static str])| names.first().copied();
    STATES.into_iter().filter_map(first).collect::<Vec<_>>().join(", ")
}

impl FromStr for StatePattern {
    type Err = NotAState;

    fn from_str(word: &str) -> Result<Self, NotAState> {
        // FIN_WAIT2, fin-wait2 and FIN-WAIT-2 are one state to everybody but a string comparison.
        let squeeze = |name: &str| name.to_ascii_lowercase().replace(['-', '_'], "");
        let wanted = squeeze(word);
        STATES
            .into_iter()
            .find(|(_, names)| names.iter().any(|name| squeeze(name) == wanted))
            .map(|(state, _)| Self(state))
            .ok_or_else(|| NotAState { word: word.to_owned() })
    }
}

#[cfg(test)]
mod tests;
