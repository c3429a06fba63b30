//! Measures relays side by side: `cargo bench -p halfopen-e2e --bench relay`.
//! Owns the order of events; `arguments` has the command line, `relays` who takes part, `upstream` the
//! other end, `throughput`, `rate`, `latency` and `idle` a measurement each, `process` what a relay costs,
//! `report` the tables. Method: a network namespace of its own, rounds in which every relay has its turn,
//! the order rotated; ratios are of the same round, since a busy machine changes from one to the next.
//! Needs root. Read: docs/benchmarks.md.

mod arguments;
mod idle;
mod latency;
mod process;
mod rate;
mod relays;
mod report;
mod throughput;
mod upstream;

use std::{
    env, fs,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use clap::Parser as _;
use halfopen_e2e::machine;
use rustix::process::{Resource, Rlimit, Signal, set_parent_process_death_signal, setrlimit};

use crate::{
    arguments::{Arguments, Test},
    relays::{Kind, Relay, Running},
    report::Column,
};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = if arguments.is_inside() { run(&arguments) } else { move_to_own_namespace() };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this program again in a network namespace that ends with it.
fn move_to_own_namespace() -> anyhow::Result<()> {
    let own = env::current_exe().context("find the path of this program")?;
    let given = env::args_os().skip(1);
    // `exec` returns only if it has failed.
    let refusal = Command::new("unshare")
        .args(["--net", "--mount", "--propagation", "private", "--"])
        .arg(own)
        .args(given)
        .arg("inside")
        .exec();
    Err(refusal).context("run unshare (package util-linux)")
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("ask for a death signal")?;
    let relays = relays::found(&arguments.only)?;
    prepare_host()?;
    println!("{}\n", machine::line());
    for test in arguments.tests() {
        let columns = measure(test, &relays, arguments)?;
        println!("{}", report::table(test, &columns));
    }
    Ok(())
}

/// What this namespace needs: its loopback, ports for very many short connections, descriptors.
fn prepare_host() -> anyhow::Result<()> {
    let up = Command::new("ip").args(["link", "set", "lo", "up"]).status().context("run ip")?;
    anyhow::ensure!(up.success(), "the loopback does not come up: {up}");
    // The mount namespace is our own, and the new /sys and /proc show the new network.
    for (sysctl, value) in [("ip_local_port_range", "10000 65000"), ("tcp_tw_reuse", "1")] {
        fs::write(format!("/proc/sys/net/ipv4/{sysctl}"), value)
            .with_context(|| format!("set net.ipv4.{sysctl}"))?;
    }
    let limit = Rlimit { current: Some(DESCRIPTORS), maximum: Some(DESCRIPTORS) };
    setrlimit(Resource::Nofile, limit).context("limit descriptors to 20,000")
}

/// What the goals are stated for.
const DESCRIPTORS: u64 = 20_000;

/// All rounds of one test: for each relay, what each round gave.
fn measure(test: Test, relays: &[Relay], arguments: &Arguments) -> anyhow::Result<Vec<Column>> {
    let upstream = upstream::Upstream::start(test)?;
    let mut columns: Vec<Column> = relays.iter().map(Column::of).collect();
    // Memory is measured in fresh relays, one at a time, since all pairs of all would be too many.
    let rounds = if test == Test::Idle { 1 } else { arguments.rounds };
    for round in 0..rounds {
        for turn in 0..relays.len() {
            let number = (round + turn) % relays.len();
            let (Some(relay), Some(column)) = (relays.get(number), columns.get_mut(number)) else {
                continue;
            };
            if test == Test::Idle && relay.kind == Kind::Direct {
                continue;
            }
            // A relay that waits costs the others nothing, but one that was used differs from a new one.
            let running = Running::start(relay, upstream.address(), test == Test::Latency)?;
            let figures = match test {
                Test::OneStream => throughput::measure(&running, &upstream, 1, arguments.span())?,
                Test::EightStreams => {
                    throughput::measure(&running, &upstream, 8, arguments.span())?
                }
                Test::Rate => rate::measure(&running, arguments.span())?,
                Test::Latency => latency::measure(&running)?,
                Test::Idle => idle::measure(&running, &upstream, arguments.pairs)?,
            };
            eprintln!("{test:?} {round}: {}: {figures:?}", relay.name);
            column.rounds.push(figures);
        }
    }
    Ok(columns)
}
