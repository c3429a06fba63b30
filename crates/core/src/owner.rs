//! Owns the model of who holds a connection.

/// One process that holds a descriptor of the socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// The process, as seen from our own pid namespace.
    pub pid: u32,
    /// `/proc/PID/comm`.
    pub command: String,
    /// The descriptor number in that process.
    pub fd: u32,
    /// The effective user of the process.
    pub uid: Option<u32>,
    /// The process's cgroup path, as in `/proc/PID/cgroup`.
    pub cgroup: Option<String>,
    /// The container or systemd unit that the cgroup path names, e.g. `nginx.service`.
    pub unit: Option<String>,
}

/// What is known of the owners of one socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Owners {
    /// These processes hold it. Never empty.
    Known(Vec<Owner>),
    /// The kernel says that no file refers to the socket.
    None,
    /// A file refers to it, but we could not see whose; the reason fits after "owner unknown: ".
    Unseen(String),
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
