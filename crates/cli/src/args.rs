//! Owns every flag of the command line, with its help. Decides nothing.
//! Values are parsed here and judged in `select.rs`; the verbs act on them.

mod rehearse;
mod relay;
mod relay_check;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use rehearse::AFTER_REHEARSE;
pub use rehearse::{ClockKey, Rehearse};
pub use relay::{BalanceKey, Bounds, Finding, HeaderKey, Relay, ServeOn};
pub use relay_check::{CheckPlace, RelayCheck};

use crate::{
    select::{
        EndpointPattern, IdPattern, PortPattern, ProcessPattern, StatePattern, VerdictPattern,
    },
    span::Given,
};

const AFTER: &str = "\
A duration is a whole number with a unit: 500ms, 90s, 15m, 2h, 1m30s.
Exit codes: 0 fine, 1 something is wrong (ls --check; prove: a peer is gone;
relay-check: a case failed),
2 usage, 3 not enough privilege for what was asked, 4 no such connection, 70 a
bug, 71 the system refused.";

/// Is the peer of each TCP connection still there, and when would its owner learn that it is gone?
///
/// Without a verb, lists every connection: `halfopen` is `halfopen ls`. Looking changes nothing.
#[derive(Debug, Parser)]
#[command(name = "halfopen", version, args_conflicts_with_subcommands = true)]
#[command(after_help = AFTER)]
pub struct Arguments {
    /// What to do; `ls` if nothing is said.
    #[command(subcommand)]
    pub verb: Option<Verb>,
    /// The flags of `ls`, for use without a verb.
    #[command(flatten)]
    pub ls: Ls,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// List the host's connections, worst first, with verdict, owner and detection time
    #[command(after_help = AFTER)]
    Ls(Ls),
    /// Tell the whole story of one connection, or what a verdict means
    #[command(after_help = AFTER)]
    Why(Why),
    /// Test now whether the peers of connections are still there, without a byte to the application
    #[command(after_help = AFTER)]
    Prove(Prove),
    /// Set when owners learn that their peer is gone, on connections of running programs
    #[command(after_help = AFTER)]
    Keep(Box<Keep>),
    /// End connections that are proved dead, and only those
    #[command(after_help = AFTER)]
    Reap(Reap),
    /// Relay TCP connections true to half-close and reset, and find dead peers on both sides
    #[command(after_help = AFTER)]
    Relay(Relay),
    /// Break connections with real kernels, in network namespaces of their own, and measure who notices
    #[command(after_help = AFTER_REHEARSE)]
    Rehearse(Box<Rehearse>),
    /// One of the built-in pair of `rehearse`
    #[command(hide = true)]
    RehearsePair {
        /// As the lab writes them.
        words: Vec<String>,
    },
    /// Check any TCP relay: half-close, resets, vanished peers, byte for byte, case by case
    #[command(after_help = AFTER)]
    RelayCheck(RelayCheck),
    /// Show what a reconnect policy does to a fleet of clients, and to the server that comes back
    SimulatePolicy(SimulatePolicy),
}

/// Which connections are meant. Flags of different names narrow each other down; a flag given more
/// than once, or with a list, means any of its values.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Which connections")]
pub struct Selectors {
    /// The peer's end: 10.0.0.7, 10.0.0.0/8, :443, 10.0.0.7:443 or `[2001:db8::1]:443`
    #[arg(long, value_name = "ADDR[/LEN][:PORT]")]
    pub peer: Vec<EndpointPattern>,
    /// Our end, written like --peer
    #[arg(long, value_name = "ADDR[/LEN][:PORT]")]
    pub local: Vec<EndpointPattern>,
    /// The port of either end
    #[arg(long, value_name = "PORT", value_delimiter = ',')]
    pub port: Vec<PortPattern>,
    /// Held by this process: its command name (as ps -o comm shows it) or its number
    #[arg(long, value_name = "NAME|PID", value_delimiter = ',')]
    pub process: Vec<ProcessPattern>,
    /// In this TCP state: established, syn-sent, close-wait, fin-wait-2, ...
    #[arg(long, value_name = "STATE", value_delimiter = ',')]
    pub state: Vec<StatePattern>,
    /// With this verdict: half-open, silent, straining, blocked, half-closed, quiet, alive, ...
    #[arg(long, value_name = "VERDICT", value_delimiter = ',')]
    pub verdict: Vec<VerdictPattern>,
    /// Whose peer has not been heard for longer than this
    #[arg(long, value_name = "DUR")]
    pub idle_over: Option<Given>,
    /// In this network namespace: its name below /run/netns, a path, a pid or an inode number
    #[arg(long, value_name = "NETNS", conflicts_with = "all_namespaces")]
    pub netns: Option<String>,
    /// In every network namespace of the host (needs root to see all)
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,
    /// Whose owner's cgroup path, or unit or container name, contains this text
    #[arg(long, value_name = "TEXT")]
    pub cgroup: Vec<String>,
    /// With this id, as `ls --ids` shows it: COOKIE@NETNS
    #[arg(long, value_name = "ID", value_delimiter = ',')]
    pub id: Vec<IdPattern>,
    /// Show connections of this host to itself too
    #[arg(long)]
    pub loopback: bool,
}

/// How the host is looked at.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Looking")]
pub struct Looking {
    /// Where to read connections from; `auto` is BPF on hosts with thousands of them
    #[arg(long, value_name = "SOURCE", value_enum, default_value_t)]
    pub source: SourceKey,
    /// Do not look for the processes that hold connections, which takes most of the time on large
    /// hosts without BPF; options are then not read either. Selectors of processes look anyway
    #[arg(long)]
    pub no_owners: bool,
}

/// Where connections are read from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SourceKey {
    /// BPF where it can be had and is faster, else sock_diag.
    #[default]
    Auto,
    /// sock_diag, with owners and options through /proc.
    SockDiag,
    /// BPF (needs CAP_BPF and CAP_PERFMON), or an error that says why not.
    Bpf,
}

/// What counts as what.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Judging")]
pub struct Judging {
    /// A peer heard within this time is `alive`; later it is `quiet` [default: 60s]
    #[arg(long, value_name = "DUR")]
    pub alive_within: Option<Given>,
}

/// How the answer looks.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Output")]
pub struct Face {
    /// Print JSON, as docs/json.md describes it
    #[arg(long)]
    pub json: bool,
    /// Colour the text; `auto` means on a terminal and if NO_COLOR is not set
    #[arg(long, value_name = "WHEN", value_enum, default_value_t)]
    pub color: Color,
}

/// When to colour the text. Colour never carries meaning alone.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Color {
    /// On a terminal, if NO_COLOR is not set.
    #[default]
    Auto,
    /// Also in a pipe.
    Always,
    /// Not at all.
    Never,
}

/// Whether to act, and where that is recorded.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Acting")]
pub struct Acting {
    /// Do it. Without this flag, only show what would be done
    #[arg(long)]
    pub apply: bool,
    /// Record every act in this file, a line of JSON each [default: /var/log/halfopen/audit.jsonl
    /// for root, else $XDG_STATE_HOME/halfopen/audit.jsonl]
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
}

/// The flags of `ls`.
#[derive(Debug, Clone, Default, Args)]
pub struct Ls {
    /// Which connections.
    #[command(flatten)]
    pub selectors: Selectors,
    /// How the host is looked at.
    #[command(flatten)]
    pub looking: Looking,
    /// What counts as what.
    #[command(flatten)]
    pub judging: Judging,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
    /// In which order
    #[arg(long, value_name = "KEY", value_enum, default_value_t, help_heading = "Output")]
    pub sort: SortKey,
    /// Show a column with each connection's id, for --id and `why`
    #[arg(long, help_heading = "Output")]
    pub ids: bool,
    /// Look again every DUR until interrupted
    #[arg(long, value_name = "DUR", num_args = 0..=1, default_missing_value = "2s",
        help_heading = "Output")]
    pub watch: Option<Given>,
    /// Stop --watch after this many looks
    #[arg(long, value_name = "N", requires = "watch", help_heading = "Output")]
    pub count: Option<u64>,
    /// Exit 1 if something shown is wrong (marked `!`), for monitoring systems
    #[arg(long, help_heading = "Output", conflicts_with = "watch")]
    pub check: bool,
}

/// The order of the list.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SortKey {
    /// By verdict, worst first; then problems first; then whose owner learns soonest.
    #[default]
    Worst,
    /// Longest unheard first; those not known last.
    Heard,
    /// Those whose owner would never learn first, then the longest detection time.
    Learns,
    /// By the peer's address and port.
    Peer,
    /// By our address and port.
    Local,
    /// By the owner's command name and number.
    Owner,
}

/// The flags of `why`.
#[derive(Debug, Clone, Default, Args)]
pub struct Why {
    /// A connection: its id, LOCAL->PEER, PEER, :PORT; or a verdict: quiet, half-closed, ...
    #[arg(value_name = "CONNECTION|VERDICT")]
    pub subject: Option<String>,
    /// Which connections.
    #[command(flatten)]
    pub selectors: Selectors,
    /// How the host is looked at.
    #[command(flatten)]
    pub looking: Looking,
    /// What counts as what.
    #[command(flatten)]
    pub judging: Judging,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

/// The flags of `prove`.
#[derive(Debug, Clone, Default, Args)]
pub struct Prove {
    /// Which connections.
    #[command(flatten)]
    pub selectors: Selectors,
    /// Test every connection of the host, where no other flag says which
    #[arg(long, help_heading = "Which connections")]
    pub all: bool,
    /// How the host is looked at.
    #[command(flatten)]
    pub looking: Looking,
    /// What counts as what.
    #[command(flatten)]
    pub judging: Judging,
    /// How connections are tested.
    #[command(flatten)]
    pub probing: Probing,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

/// How connections are tested.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
#[command(next_help_heading = "Probing")]
pub struct Probing {
    /// A peer is silent after this many unanswered probes [default: 15]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    pub probes: Option<u32>,
    /// From one probe of a connection to the next, 1s at least [default: 1s]
    #[arg(long, value_name = "DUR")]
    pub interval: Option<Given>,
    /// Test by this method and no other; by default the one that costs a connection least
    #[arg(long, value_name = "METHOD", value_enum)]
    pub method: Option<MethodKey>,
}

/// The methods of `prove`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum MethodKey {
    /// The kernel's window probe: ESTABLISHED only, as root; SO_REUSEADDR is put back at once.
    WindowProbe,
    /// One keepalive probe, with the options put back: also half-closed, also without root.
    Keepalive,
    /// A segment made here: needs no descriptor, but root and the sequence numbers that BPF tells.
    CraftedAck,
}

/// The flags of `keep`.
#[derive(Debug, Clone, Default, Args)]
pub struct Keep {
    /// The owner is to learn within this time that an idle peer is gone
    #[arg(long, value_name = "DUR", required_unless_present_any = ["undo", "list"],
        help_heading = "Objective")]
    pub detect_within: Option<Given>,
    /// A box on the path forgets what is idle for this long: do not let it
    #[arg(long, value_name = "DUR", help_heading = "Objective")]
    pub survive_idle: Option<Given>,
    /// Also bound the time with data unacknowledged, by TCP_USER_TIMEOUT, which ends connections to
    /// peers that live and do not read
    #[arg(long, help_heading = "Objective")]
    pub user_timeout: bool,
    /// Also connections that are opened or accepted later, by the programs in the cgroups of those
    /// that are chosen (needs cgroup v2, root and BPF). Stays until --undo, or as long as the cgroup
    #[arg(long, help_heading = "Objective")]
    pub future: bool,
    /// Which connections.
    #[command(flatten)]
    pub selectors: Selectors,
    /// All connections, where no other flag chooses
    #[arg(long, help_heading = "Which connections")]
    pub all: bool,
    /// How to look.
    #[command(flatten)]
    pub looking: Looking,
    /// Whether to act.
    #[command(flatten)]
    pub acting: Acting,
    /// Put the options back that earlier runs have changed, where nobody has changed them since
    #[arg(long, help_heading = "Acting",
        conflicts_with_all = ["detect_within", "survive_idle", "user_timeout", "future", "apply"])]
    pub undo: bool,
    /// List what is kept: of connections that are opened later, and how many the record knows of
    #[arg(long, help_heading = "Acting", conflicts_with_all =
        ["detect_within", "survive_idle", "user_timeout", "future", "apply", "undo"])]
    pub list: bool,
    /// After --apply, watch the kernel's counters for this long, and put everything back if they
    /// rise [default: until the first probes, 60s at most; 0s for 1,000 connections or fewer]
    #[arg(long, value_name = "DUR", help_heading = "Acting")]
    pub watch_for: Option<Given>,
    /// Remember in this file what was there before [default: /var/lib/halfopen/kept.jsonl for root,
    /// else $XDG_STATE_HOME/halfopen/kept.jsonl]
    #[arg(long, value_name = "FILE", help_heading = "Acting")]
    pub record: Option<PathBuf>,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

/// The flags of `reap`.
#[derive(Debug, Clone, Default, Args)]
pub struct Reap {
    /// Which connections.
    #[command(flatten)]
    pub selectors: Selectors,
    /// Every connection; without it at least one selector is needed
    #[arg(long, help_heading = "Which connections")]
    pub all: bool,
    /// What may be ended.
    #[command(flatten)]
    pub licence: ReapLicence,
    /// How connections are tested, with --prove.
    #[command(flatten)]
    pub probing: Probing,
    /// Where connections are read from.
    #[command(flatten)]
    pub looking: Looking,
    /// What counts as what.
    #[command(flatten)]
    pub judging: Judging,
    /// Whether to act.
    #[command(flatten)]
    pub acting: Acting,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

/// What `reap` may end, and how.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "What may be ended, and how")]
pub struct ReapLicence {
    /// Also half-closed connections (CLOSE-WAIT, FIN-WAIT-2) on which nothing was heard for longer
    /// than this
    #[arg(long, value_name = "DUR")]
    pub half_closed_over: Option<Given>,
    /// Test what is not proved yet, as `prove` does, and end what comes out dead. Without --apply
    /// no probe is sent
    #[arg(long, conflicts_with = "unproved")]
    pub prove: bool,
    /// Also what is not proved dead, as long as it is selected: living connections too
    #[arg(long)]
    pub unproved: bool,
    /// Shut down instead of destroy: both sides see the end of the stream, not an error. Needs no
    /// more than the right to look into the owner's process
    #[arg(long)]
    pub gentle: bool,
}

/// The flags of `simulate-policy`.
#[derive(Debug, Clone, Args)]
pub struct SimulatePolicy {
    /// The fleet, its outage and its policy, in TOML (docs/examples/fleet.toml is one)
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Draw chance from this seed; the same seed gives the same course
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How the answer looks.
    #[command(flatten)]
    pub face: Face,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = std::iter::once("halfopen").chain(line.split_whitespace());
        Arguments::try_parse_from(words).map_err(|error| error.to_string())
    }

    fn refusal(line: &str) -> String {
        parse(line).unwrap_err().lines().next().unwrap().to_owned()
    }

    #[test]
    fn the_definition_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn no_verb_takes_the_flags_of_ls() {
        let arguments = parse("--peer 10.0.0.7:111 -A --json").unwrap();
        assert!(arguments.verb.is_none());
        assert_eq!(arguments.ls.selectors.peer.len(), 1);
        assert!(arguments.ls.selectors.all_namespaces && arguments.ls.face.json);
    }

    #[test]
    fn watch_looks_every_two_seconds_unless_told_otherwise() {
        let every = |line| parse(line).unwrap().ls.watch.map(|given| given.0.as_millis());
        assert_eq!(every(""), None);
        assert_eq!(every("--watch"), Some(2000));
        assert_eq!(every("--watch 500ms"), Some(500));
        assert_eq!(every("--watch=1m30s"), Some(90_000));
    }

    #[test]
    fn the_source_is_chosen_by_the_program_unless_told_otherwise() {
        let source = |line| parse(line).unwrap().ls.looking.source;
        assert_eq!(source(""), SourceKey::Auto);
        assert_eq!(source("--source sock-diag"), SourceKey::SockDiag);
        assert_eq!(source("--source bpf"), SourceKey::Bpf);
    }

    #[test]
    fn why_takes_a_connection_a_verdict_or_selectors() {
        for line in ["why quiet", "why 10.0.0.1:4->10.0.0.7:111", "why --port 111 --json"] {
            assert!(matches!(parse(line).unwrap().verb, Some(Verb::Why(_))), "{line}");
        }
    }

    #[test]
    fn slips_name_the_valid_words() {
        insta::assert_snapshot!(
            [
                "--verdict dead",
                "--state open",
                "--peer db1",
                "--port http",
                "--idle-over 15",
                "--sort size",
                "--id 12",
                "--watch=soon",
                "-A --netns blue",
                "--count 3",
                "rehearse",
            ]
            .map(|line| format!("{line}\n  {}", parse(line).unwrap_err().trim_end()))
            .join("\n\n")
        );
        assert!(refusal("frobnicate").contains("unrecognized subcommand"));
    }

    /// docs/cli.md is the help of every verb. Run with HALFOPEN_WRITE_EXAMPLES=1 to write it anew.
    #[test]
    fn the_page_of_the_command_line_is_what_help_prints() {
        let mut command = Arguments::command().term_width(100);
        command.build();
        let mut page = "# The command line\n\nWhat `halfopen VERB --help` prints.\n".to_owned();
        let verbs = command.get_subcommands_mut().filter(|verb| verb.get_name() != "help");
        for verb in verbs {
            let help = verb.render_long_help().to_string();
            let lines: Vec<_> = help.trim_end().lines().map(str::trim_end).collect();
            page += &format!("\n## {}\n\n```text\n{}\n```\n", verb.get_name(), lines.join("\n"));
        }
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/cli.md");
        if std::env::var_os("HALFOPEN_WRITE_EXAMPLES").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        assert_eq!(std::fs::read_to_string(path).unwrap(), page);
    }
}
