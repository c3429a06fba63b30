//! Owns the command line of the benchmark, also that of its own child processes.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// Compare a look at very many connections with `ss` and with the floor. Needs root.
#[derive(Debug, Parser)]
#[command(name = "scan")]
pub(crate) struct Arguments {
    /// How many sockets to hold; both ends of each connection are counted
    #[arg(long, default_value_t = 392_000)]
    pub(crate) sockets: usize,
    /// How often each thing is measured; the table has the median
    #[arg(long, default_value_t = 5)]
    pub(crate) runs: usize,
    /// Leave out `ss -tnp`, which takes about two minutes at full size
    #[arg(long)]
    pub(crate) skip_ss_p: bool,
    /// Measure only what contains this text
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// The program to measure [default: this project's, built for release first]
    #[arg(long, value_name = "PATH")]
    pub(crate) halfopen: Option<PathBuf>,
    /// Hold the connections until standard input ends, and measure nothing
    #[arg(long)]
    pub(crate) hold_only: bool,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// What this process is for.
    #[command(subcommand)]
    pub(crate) role: Option<Role>,
}

/// The roles in which the benchmark runs itself.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum Role {
    /// Runs the benchmark, in a namespace of its own.
    #[command(hide = true)]
    Inside,
    /// Holds both ends of some connections until its standard input ends.
    #[command(hide = true)]
    Hold {
        /// How many connections.
        connections: u16,
        /// Addresses are 127.1.THIS.1 and .2.
        third_octet: u8,
    },
    /// Looks at the host and judges every connection, without writing anything about them.
    #[command(hide = true)]
    Judge {
        /// Where to read connections from.
        source: SourceKey,
        /// Look for owners too.
        #[arg(long)]
        owners: bool,
    },
    /// Does no more than the kernel's part of a look.
    #[command(hide = true)]
    Floor {
        /// Which part.
        floor: Floor,
    },
}

/// Where connections are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum SourceKey {
    /// sock_diag and /proc.
    SockDiag,
    /// BPF iterators.
    Bpf,
}

/// The kernel's parts of a look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Floor {
    /// A dump of sock_diag with TCP_INFO, received and not read.
    SockDiag,
    /// What both BPF iterators write, read and not decoded.
    Bpf,
    /// The names in every /proc/PID/fd, listed and not followed.
    Descriptors,
}
