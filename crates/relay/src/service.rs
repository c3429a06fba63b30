//! Owns what a relay is told to do: which addresses it listens on, and where to. Opens nothing.

use std::{fmt, net::SocketAddr, sync::Arc, time::Duration};

use crate::{health::Balance, liveness::Liveness, proxy_header::Version, tls::Termination};

/// One listener and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where clients connect to.
    pub listen: Listen,
    /// To whom they are relayed; at most [`UPSTREAMS_MAX`](crate::UPSTREAMS_MAX) of them are used.
    pub upstreams: Vec<SocketAddr>,
    /// In which order.
    pub balance: Balance,
    /// How a vanished client is found.
    pub client: Liveness,
    /// How a vanished upstream is found.
    pub upstream: Liveness,
    /// For how long an upstream may take to accept a connection, and a client to send its header and to
    /// get through its TLS handshake.
    pub connect_timeout: Duration,
    /// How long an upstream that is up may let nobody in before it is connected to, to see whether it still
    /// is. `None`: clients are check enough.
    pub check_every: Option<Duration>,
    /// End with RST what is half-closed and idle for this long. `None`: never, since a half-closed
    /// connection whose peer lives is a healthy one.
    pub half_closed_idle: Option<Duration>,
    /// Clients begin with a PROXY protocol header that says who they are.
    pub header_in: bool,
    /// Upstreams are told who the client is, by a PROXY protocol header of this version.
    pub header_out: Option<Version>,
    /// Clients speak TLS, which ends here; `None`: their bytes go to the upstream untouched.
    pub tls: Option<Termination>,
}

/// Where clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Listen {
    /// An address of this host.
    On(SocketAddr),
    /// A listening socket that the process was started with, by its name (`LISTEN_FDNAMES`).
    Inherited(String),
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::On(address) => address.fmt(f),
            Self::Inherited(name) => write!(f, "systemd:{name}"),
        }
    }
}

/// All that a relay is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to listen on.
    pub services: Vec<Service>,
    /// How many threads relay. A reload does not change it.
    pub workers: usize,
    /// The most connections at a time; beyond them clients get RST. `None`: as many as descriptors
    /// allow.
    pub max_connections: Option<usize>,
    /// The most buffers of 64 KiB for bytes whose reader is slower than their writer. When there are so many,
    /// new clients get RST, and those who are there go on with 4 KiB at a time.
    pub max_buffers: usize,
}
