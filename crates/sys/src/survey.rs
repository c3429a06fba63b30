//! Owns the survey: one look at the host's connections, from every source that this process may use.
//! Changes nothing. What could not be seen is said, not guessed.

use halfopen_core::{Listener, Moment, NetnsId, Observation};

/// Which network namespaces to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scope {
    /// The namespace of the calling process.
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
    /// It is the namespace of the calling process.
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
