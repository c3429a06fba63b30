//! Owns the flags of `rehearse`. Decides nothing.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::Face;
use crate::span::Given;

/// What stands below the flags of `rehearse`.
pub(super) const AFTER_REHEARSE: &str = "\
WHAT is a scenario that is built in (`list` names them), the file of another one, or
  list       what is built in, and every fault that a scenario can use
  explain    what a scenario or a fault does, and what is known of it
  doctor     what this machine allows, and what to install
  all        every fault, while idle, waiting for an answer and writing
  book       TCP/IP Illustrated vol. 1, 13.6.3: a server reboots while the cable is out
  detection  detection time, predicted and measured side by side

Both programs see each other as the hosts `server` and `client`, and as $SERVER and $CLIENT.
Exit codes: 0 fine, 1 an expectation was not met (or, in `all`, a prediction), 2 usage,
3 not enough privilege, 70 a bug, 71 the system refused, 75 the lab itself came too late to
judge something that nothing else speaks against: run it again where less else runs.";

/// The flags of `rehearse`.
#[derive(Debug, Clone, Default, Args)]
pub struct Rehearse {
    /// A scenario, or what else to do
    #[arg(value_name = "WHAT")]
    pub what: String,
    /// What `explain` is to explain
    #[arg(value_name = "SUBJECT")]
    pub subject: Option<String>,
    /// What runs on the server's host, for sh -c; without it the built-in server
    #[arg(long, value_name = "CMD", help_heading = "Programs")]
    pub server: Option<String>,
    /// What runs on the client's host, for sh -c; without it the built-in client
    #[arg(long, value_name = "CMD", help_heading = "Programs")]
    pub client: Option<String>,
    /// How to tell that the server is ready: tcp:PORT or line:TEXT [default: it listens]
    #[arg(long, value_name = "READY", help_heading = "Programs")]
    pub server_ready: Option<String>,
    /// Set a value of the scenario: a dotted path, or a parameter of its first fault
    #[arg(long, value_name = "KEY=VALUE", help_heading = "Scenario")]
    pub set: Vec<String>,
    /// The hosts speak IPv6 and nothing else, as with --set family=ipv6
    #[arg(long, help_heading = "Scenario")]
    pub ipv6: bool,
    /// What chance decides follows from this number
    #[arg(long, value_name = "N", help_heading = "Scenario")]
    pub seed: Option<u64>,
    /// Print what would be done, and do nothing
    #[arg(long, help_heading = "Scenario")]
    pub dry_run: bool,
    /// How time passes: by which clock
    #[arg(long, value_enum, default_value_t, help_heading = "Clock")]
    pub clock: ClockKey,
    /// With --clock warp, what the clock says at first: YYYY-MM-DDTHH:MM:SS [default: a Friday evening]
    #[arg(long, value_name = "DATE", help_heading = "Clock")]
    pub date: Option<String>,
    /// With --clock warp, a file or directory that the programs need in the machine beside
    /// themselves and their libraries
    #[arg(long, value_name = "PATH", help_heading = "Clock")]
    pub include: Vec<PathBuf>,
    /// With --clock warp, for how long of real time the machine may run [default: 1h]
    #[arg(long, value_name = "DUR", help_heading = "Clock")]
    pub real_limit: Option<Given>,
    /// Of the machine of --clock warp: that this is it, and why
    #[arg(long, value_name = "WHY", hide = true)]
    pub in_machine: Option<String>,
    /// Exit 1 if a side that is left notices later than this
    #[arg(long, value_name = "DUR", help_heading = "Expectations")]
    pub expect_detect_within: Option<Given>,
    /// Exit 1 if a message of the built-in pair is lost or doubled
    #[arg(long, help_heading = "Expectations")]
    pub expect_no_loss: bool,
    /// Write the report card as one HTML file
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub html: Option<PathBuf>,
    /// Write the sequence diagram of the client's cable (SVG)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub svg: Option<PathBuf>,
    /// Write every frame of the client's cable to this file (pcapng)
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub capture: Option<PathBuf>,
    /// Of `book`, the experiment alone, without the table of predicted and measured times
    #[arg(long, help_heading = "Output")]
    pub only_story: bool,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

impl Rehearse {
    /// All that is set, in the words of `--set`.
    pub fn settings(&self) -> Vec<String> {
        let family = self.ipv6.then(|| "family=ipv6".to_owned());
        self.set.iter().cloned().chain(family).collect()
    }
}

/// How time passes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum ClockKey {
    /// The real one where what is foreseen takes two minutes at the most; else warp, or rescale where
    /// there is no emulated machine. The card says which it was, and why.
    #[default]
    Auto,
    /// As it does.
    Real,
    /// Shorter pauses between the same number of probes and retries, set on the programs' own sockets
    /// from outside; the card says what was changed, and when the untouched sockets would have learnt.
    Rescale,
    /// Inside an emulated machine with a kernel of Debian's, whose clock leaps over idle time.
    Warp,
}
