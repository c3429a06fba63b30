//! Owns the command line of the benchmark.

use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Compare relays: throughput, connections, latency, memory. Needs root.
#[derive(Debug, Parser)]
#[command(name = "relay")]
pub(crate) struct Arguments {
    /// How often each relay has its turn in each test
    #[arg(long, default_value_t = 5)]
    pub(crate) rounds: usize,
    /// How many seconds a turn takes
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// How many idle pairs to hold
    #[arg(long, default_value_t = 9_000)]
    pub(crate) pairs: usize,
    /// Only these tests
    #[arg(long, value_enum, value_delimiter = ',')]
    tests: Vec<Test>,
    /// Only relays whose name contains this text, beside no relay at all and HAProxy with forced splice
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub(crate) only: String,
    /// Cargo says this to every benchmark.
    #[arg(long, hide = true)]
    bench: bool,
    /// What this process is for.
    #[command(subcommand)]
    role: Option<Role>,
}

/// The roles in which the benchmark runs itself.
#[derive(Debug, Clone, Copy, Subcommand)]
enum Role {
    /// Runs the benchmark, in a namespace of its own.
    #[command(hide = true)]
    Inside,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Test {
    /// Bytes per second through one connection, and what the relay's processors do for them.
    OneStream,
    /// The same through eight at a time.
    EightStreams,
    /// Connections per second: 32 clients connect, get 64 bytes back, close.
    Rate,
    /// The time of a round trip of 64 bytes, everything on one processor.
    Latency,
    /// Memory and descriptors of pairs that do nothing.
    Idle,
}

impl Arguments {
    pub(crate) const fn is_inside(&self) -> bool {
        self.role.is_some()
    }

    pub(crate) const fn span(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }

    pub(crate) fn tests(&self) -> Vec<Test> {
        if self.tests.is_empty() { Test::value_variants().to_vec() } else { self.tests.clone() }
    }
}
