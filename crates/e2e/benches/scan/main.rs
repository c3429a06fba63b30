//! Measures a look at a host with very many connections, side by side with `ss` and with the floor.
//! Owns the order of events; `arguments` has the command line, `load` the connections, `contest`
//! what is compared, `timing` one measurement, `floor` what cannot be undercut, `report` the table.
//! Needs root. Read: docs/benchmarks.md.

mod arguments;
mod contest;
mod floor;
mod hold;
mod judge;
mod load;
mod report;
mod timing;

use std::{
    env,
    os::unix::process::CommandExt as _,
    process::{Command, ExitCode},
};

use anyhow::Context as _;
use clap::Parser as _;
use halfopen_e2e::machine;
use rustix::process::{Signal, set_parent_process_death_signal};

use crate::arguments::{Arguments, Role};

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let done = match arguments.role {
        None => move_to_own_namespace(),
        Some(Role::Inside) => run(&arguments),
        Some(Role::Hold { connections, third_octet }) => hold::run(connections, third_octet),
        Some(Role::Judge { source, owners }) => judge::run(source, owners),
        Some(Role::Floor { floor }) => floor::run(floor),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("scan: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs this program again in a network namespace that ends with it, and with it all connections.
fn move_to_own_namespace() -> anyhow::Result<()> {
    let own = env::current_exe().context("find the path of this program")?;
    let given = env::args_os().skip(1);
    // `exec` returns only if it has failed.
    let refusal =
        Command::new("unshare").args(["--net", "--"]).arg(own).args(given).arg("inside").exec();
    Err(refusal).context("run unshare (package util-linux)")
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    die_with_parent()?;
    let contest = contest::Contest::prepare(arguments)?;
    println!("{}", machine::line());
    let load = load::Load::make(arguments.sockets)?;
    println!("load: {load}\n");
    let results = contest.run(arguments, &load)?;
    println!("{}", report::table(&results, load.sockets));
    load.end();
    Ok(())
}

/// What this run starts dies with it, however it ends.
fn die_with_parent() -> anyhow::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("ask for a death signal")
}
