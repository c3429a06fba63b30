//! Owns the flags of `relay`, with their help. Decides nothing.

use clap::Args;

use super::Face;
use crate::span::Given;

/// The flags of `relay`.
#[derive(Debug, Clone, Default, Args)]
pub struct Relay {
    /// Where clients connect to: 127.0.0.1:5432, `[::1]:5432`, or :5432 for every address of the host
    #[arg(long, value_name = "ADDR:PORT", required = true)]
    pub listen: Vec<String>,
    /// To whom they are relayed; further ones take over in this order where the first cannot be
    /// reached. A name is looked up once, when the relay starts
    #[arg(long, value_name = "HOST:PORT", required = true)]
    pub to: Vec<String>,
    /// How clients and upstreams that vanish are found.
    #[command(flatten)]
    pub finding: Finding,
    /// What bounds the relay.
    #[command(flatten)]
    pub bounds: Bounds,
    /// How the log looks.
    #[command(flatten)]
    pub face: Face,
}

/// How clients and upstreams that vanish are found.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Detection")]
pub struct Finding {
    /// A client or upstream that vanished is found within this time, idle, busy or half-closed, and
    /// the other is told by RST [default: 30s]
    #[arg(long, value_name = "DUR")]
    pub detect_within: Option<Given>,
    /// A box on the path forgets what is idle for this long: do not let it
    #[arg(long, value_name = "DUR")]
    pub survive_idle: Option<Given>,
    /// End with RST what is half-closed and idle for this long [default: never, as long as the peer
    /// lives]
    #[arg(long, value_name = "DUR")]
    pub half_closed_idle: Option<Given>,
    /// How long an upstream may take to accept a connection [default: 5s]
    #[arg(long, value_name = "DUR")]
    pub connect_timeout: Option<Given>,
}

/// What bounds the relay.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// Connections at a time; beyond them clients get RST [default: as many as descriptors allow]
    #[arg(long, value_name = "N")]
    pub max_connections: Option<usize>,
    /// Threads that relay [default: one for each processor]
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// After SIGTERM, how long connections may take to end by themselves [default: 30s]
    #[arg(long, value_name = "DUR")]
    pub drain_within: Option<Given>,
}
