//! Owns what a relay is told to do: which addresses it listens on, and where to. Opens nothing.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use crate::liveness::Liveness;

/// One listener and what stands behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Service {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Where clients connect to.
    pub listen: SocketAddr,
    /// To whom they are relayed.
    pub upstreams: Vec<SocketAddr>,
    /// How a vanished client is found.
    pub client: Liveness,
    /// How a vanished upstream is found.
    pub upstream: Liveness,
    /// For how long an upstream may take to accept a connection.
    pub connect_timeout: Duration,
    /// End with RST what is half-closed and idle for this long. `None`: never, since a half-closed
    /// connection whose peer lives is a healthy one.
    pub half_closed_idle: Option<Duration>,
}

/// All that a relay is told to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// What to listen on.
    pub services: Vec<Service>,
    /// How many threads relay.
    pub workers: usize,
    /// The most connections at a time; beyond them clients get RST. `None`: as many as descriptors
    /// allow.
    pub max_connections: Option<usize>,
}
