//! Owns the flags of `relay-check`, with their help. Decides nothing.

use clap::Args;

use crate::span::Given;

/// The flags of `relay-check`.
#[derive(Debug, Clone, Args)]
pub struct RelayCheck {
    /// Where the relay is.
    #[command(flatten)]
    pub place: CheckPlace,
    /// Play only cases whose name contains this text
    #[arg(long, value_name = "CASE", value_delimiter = ',', help_heading = "Which cases")]
    pub only: Vec<String>,
    /// Say what the cases do, what they demand, and where that is written; play none
    #[arg(long, help_heading = "Which cases")]
    pub list: bool,
    /// How long nothing happens in the cases that need patience
    #[arg(long, value_name = "DUR", default_value = "70s", help_heading = "How long, how many")]
    pub slow: Given,
    /// How soon an end has to be told that the other one has vanished
    #[arg(long, value_name = "DUR", default_value = "60s", help_heading = "How long, how many")]
    pub notice_within: Given,
    /// How many connections are half-closed at once; this process holds two descriptors for each
    #[arg(long, value_name = "N", default_value_t = 1_000, help_heading = "How long, how many")]
    pub crowd: usize,
    /// Instead of the cases: mixed lives and faults for so long, and what is left of them at the end
    #[arg(long, value_name = "DUR", requires = "relay", conflicts_with_all = ["only", "list", "json"],
        help_heading = "Soak")]
    pub soak: Option<Given>,
    /// From which lives and faults of the soak are drawn
    #[arg(
        long,
        value_name = "SEED",
        default_value_t = 1,
        requires = "soak",
        help_heading = "Soak"
    )]
    pub seed: u64,
    /// How many connections the soak has at a time
    #[arg(long, value_name = "N", default_value_t = 16, requires = "soak", help_heading = "Soak")]
    pub workers: usize,
    /// Print JSON, as docs/json.md describes it
    #[arg(long, help_heading = "Output")]
    pub json: bool,
}

/// Where the relay is.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which relay")]
pub struct CheckPlace {
    /// A relay that runs, and forwards what comes here to --upstream-port of this host; no health checks
    #[arg(long, value_name = "HOST:PORT", conflicts_with_all = ["lab", "direct"])]
    pub through: Option<String>,
    /// The port that the cases listen on, which the relay connects to
    #[arg(long, value_name = "PORT", default_value_t = 7000)]
    pub upstream_port: u16,
    /// The relay's process, to see whether it leaks descriptors
    #[arg(long, value_name = "PID", requires = "through")]
    pub pid: Option<u32>,
    /// Between hosts of a lab, whose cables can be cut: what vanishes without a word is only seen there
    #[arg(long)]
    pub lab: bool,
    /// How to start the relay in the lab, with `{listen}` and `{to}` for ADDR:PORT (always
    /// 10.0.1.254:4000 and 10.0.2.7:7000)
    #[arg(long, value_name = "CMD", requires = "lab", conflicts_with = "direct")]
    pub relay: Option<String>,
    /// No relay: what plain TCP does, to see that a failure is the relay's doing
    #[arg(long)]
    pub direct: bool,
}
