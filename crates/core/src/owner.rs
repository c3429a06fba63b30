//! Owns the model of who holds a connection.
//! A host with 100,000 connections has few processes: what is said of one is shared, not repeated.

use std::sync::Arc;

/// A process that holds connections.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its number, as seen from our own pid namespace.
    pub pid: u32,
    /// `/proc/PID/comm`.
    pub command: String,
    /// Its effective user.
    pub uid: Option<u32>,
    /// Its cgroup path, as in `/proc/PID/cgroup`.
    pub cgroup: Option<String>,
    /// The container or systemd unit that the cgroup path names, e.g. `nginx.service`.
    pub unit: Option<String>,
}

/// One process that holds a descriptor of the socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The process.
    pub process: Arc<Process>,
    /// The descriptor number in that process.
    pub fd: u32,
}

/// What is known of the owners of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// These processes hold it. Never empty.
    Known(Vec<Owner>),
    /// The kernel says that no file refers to the socket.
    None,
    /// A file refers to it, but we could not see whose; the reason fits after "owner unknown: ".
    Unseen(Arc<str>),
}

impl Owners {
    /// The owners that could be seen.
    pub fn seen(&self) -> &[Owner] {
        match self {
            Self::Known(owners) => owners,
            Self::None | Self::Unseen(_) => &[],
        }
    }
}
