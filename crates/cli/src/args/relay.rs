//! Owns the flags of `relay`, with their help. Decides nothing.

use std::{net::SocketAddr, path::PathBuf, str::FromStr};

use clap::{Args, ValueEnum};

use super::Face;
use crate::span::Given;

/// The flags of `relay`.
#[derive(Debug, Clone, Default, Args)]
pub struct Relay {
    /// Where clients connect to: 127.0.0.1:5432, `[::1]:5432`, :5432 for every address of the host, or
    /// systemd:NAME for a socket that systemd has opened
    #[arg(long, value_name = "ADDR:PORT", required_unless_present = "config")]
    pub listen: Vec<String>,
    /// To whom they are relayed. A name is looked up when the relay starts and at SIGHUP
    #[arg(long, value_name = "HOST:PORT", required_unless_present = "config")]
    pub to: Vec<String>,
    /// Everything from this file instead; SIGHUP reads it again (docs/relay/config.md)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["listen", "to", "balance",
        "proxy_header_in", "proxy_header_out", "tls_certificate", "tls_key", "detect_within", "survive_idle",
        "half_closed_idle", "connect_timeout", "check_every", "max_connections", "max_buffers", "workers", "drain_within", "metrics"])]
    pub config: Option<PathBuf>,
    /// Only say whether the file or the flags can be used, and exit
    #[arg(long)]
    pub check: bool,
    /// Which upstream a client is relayed to, where there are several
    #[arg(long, value_name = "ORDER", value_enum, default_value_t)]
    pub balance: BalanceKey,
    /// Clients begin with a PROXY protocol header (version 1 or 2) that says who they are
    #[arg(long)]
    pub proxy_header_in: bool,
    /// Tell upstreams who the client is, by a PROXY protocol header
    #[arg(long, value_name = "VERSION", value_enum)]
    pub proxy_header_out: Option<HeaderKey>,
    /// Clients speak TLS, which ends here: this PEM file has the certificates, the server's own first.
    /// SIGHUP reads it again
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_certificate: Option<PathBuf>,
    /// The private key of the first certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_certificate")]
    pub tls_key: Option<PathBuf>,
    /// How clients and upstreams that vanish are found.
    #[command(flatten)]
    pub finding: Finding,
    /// What bounds the relay.
    #[command(flatten)]
    pub bounds: Bounds,
    /// Serve Prometheus metrics on this address, at /metrics
    #[arg(long, value_name = "ADDR:PORT", help_heading = "Output")]
    pub metrics: Option<ServeOn>,
    /// How the log looks.
    #[command(flatten)]
    pub face: Face,
}

/// Where a page is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServeOn(pub SocketAddr);

impl FromStr for ServeOn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse().map(Self).map_err(|_| {
            format!("`{text}` is no address to serve on; write 127.0.0.1:9090 or [::1]:9090")
        })
    }
}

/// Which upstream is next.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum BalanceKey {
    /// The first that is up; the others take over where it is not.
    #[default]
    InOrder,
    /// Each in its turn.
    RoundRobin,
}

/// Versions of the PROXY protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum HeaderKey {
    /// A line of text.
    V1,
    /// Binary.
    V2,
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
    /// How long an upstream may take to accept a connection, and a client to send its header and to get
    /// through its TLS handshake [default: 5s]
    #[arg(long, value_name = "DUR")]
    pub connect_timeout: Option<Given>,
    /// How long an upstream may let nobody in before it is connected to, to see whether it still does
    /// [default: a third of --detect-within where there are several, never where there is one]
    #[arg(long, value_name = "DUR")]
    pub check_every: Option<Given>,
}

/// What bounds the relay.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Limits")]
pub struct Bounds {
    /// Connections at a time; beyond them clients get RST [default: as many as descriptors allow]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_connections: Option<u32>,
    /// Buffers of 64 KiB for bytes whose reader is slower than their writer; when all are in use, new clients
    /// get RST [default: 4096]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub max_buffers: Option<u32>,
    /// Threads that relay [default: one for each processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    pub workers: Option<u32>,
    /// After SIGTERM, how long connections may take to end by themselves [default: 30s]
    #[arg(long, value_name = "DUR")]
    pub drain_within: Option<Given>,
}
