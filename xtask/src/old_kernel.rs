//! An older kernel, booted in an emulated machine, judges the program.
//! Owns the order of the check: what is fetched, built, booted, compared. Each step is a file below
//! `old_kernel/`.
//! Must not    install anything, or touch this machine's network.
//! Read        docs/kernels.md.

mod picture;
mod trials;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
    time::Duration,
};

use anyhow::{Context as _, Result, bail, ensure};
use halfopen_lab::warp::{Kernel, Limits, Machine, Record, Source, Step};

/// What runs inside the machine, in this order.
const STEPS: [(&str, &str); 7] = [
    ("kernel", "ls /proc/sys/net/ipv4"),
    ("ls", "staged_connections halfopen ls --loopback --json"),
    ("ls by BPF", "staged_connections halfopen ls --loopback --json --source bpf"),
    ("why", "staged_connections sh -c 'halfopen why \"$KEEPALIVE_ID\" --loopback --json'"),
    ("trials", "trials short"),
    ("random trials", "trials random"),
    ("trials of untouched timers", "trials default"),
];

/// Several times what the check takes on a busy machine.
const WITHIN: Duration = Duration::from_secs(3600);

/// Boots the kernel of a Debian package and compares what the program says there with what happens.
pub(crate) fn run(arguments: &[&str]) -> ExitCode {
    let source = match arguments {
        [] => Source::Suite("linux-image-cloud-amd64"),
        ["--package", name] => Source::Suite(name),
        ["--deb", path] => Source::File(path),
        _ => {
            eprintln!(
                "usage: cargo xtask old-kernel [--package linux-image-... | --deb linux-image-....deb]"
            );
            return ExitCode::from(2);
        }
    };
    match check(source) {
        Ok(0) => {
            println!("\nold-kernel: everything as predicted");
            ExitCode::SUCCESS
        }
        Ok(faults) => {
            println!("\nold-kernel: {faults} not as predicted");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("old-kernel: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The whole check; the number of faults found.
fn check(source: Source<'_>) -> Result<usize> {
    let mut machine = Machine::new()?;
    let root = root()?;
    let target = target(&root);
    let place = target.join("old-kernel");
    fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;

    let kernel = Kernel::fetch(source, &place, &mut |what| println!("old-kernel: {what}"))?;
    println!("old-kernel: Linux {} from the package {}", kernel.release, kernel.package);
    build(&root)?;
    for program in ["halfopen", "examples/staged_connections", "examples/trials"] {
        machine.add_program(&target.join("release").join(program), "/usr/bin")?;
    }
    println!(
        "old-kernel: boot; the machine's clock leaps over idle time, so hours pass in minutes"
    );
    let step = |(name, command): &(&str, &str)| Step {
        name: (*name).to_owned(),
        command: (*command).to_owned(),
    };
    let steps: Vec<Step> = STEPS.iter().map(step).collect();
    let limits = Limits { within: WITHIN, date: "2026-01-01T00:00:00", modules: &[] };
    judge(&machine.run(&kernel, &steps, &place, &limits)?)
}

/// The project's root.
fn root() -> Result<PathBuf> {
    // Cargo says at run time where this crate is; what it said at build time may be another clone.
    let here = env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&here).parent().context("find the project's root above xtask")?;
    Ok(root.to_owned())
}

fn target(root: &Path) -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from)
}

fn build(root: &Path) -> Result<()> {
    println!("old-kernel: build halfopen and the trials");
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let program: &[&str] = if can_link_bpf() {
        &["halfopen-cli", "--bins", "--features", "bpf"]
    } else {
        println!(
            "old-kernel: without BPF: no libelf or zlib to link (libelf-dev, zlib1g-dev, pkg-config)"
        );
        &["halfopen-cli", "--bins"]
    };
    for what in [program, &["halfopen-lab", "--examples"]] {
        let status = Command::new(&cargo)
            .current_dir(root)
            .args(["build", "--quiet", "--release", "--package"])
            .args(what)
            .status()
            .context("start cargo")?;
        ensure!(status.success(), "build {}: cargo says why above", what.join(" "));
    }
    Ok(())
}

fn can_link_bpf() -> bool {
    let asked = Command::new("pkg-config").args(["--exists", "libelf", "zlib"]).status();
    asked.is_ok_and(|status| status.success())
}

/// Compares every record with what is expected of it; the number of faults.
fn judge(records: &[Record]) -> Result<usize> {
    let mut faults = Vec::new();
    for (name, command) in STEPS {
        let Some(record) = records.iter().find(|record| record.name == name) else {
            bail!(
                "the machine ended before `{name}`: target/old-kernel/console.log has its last words"
            );
        };
        println!("\n== {name}: {command}");
        match name {
            "kernel" => println!("{}", picture::missing_sysctls(record)),
            "ls" => faults.extend(told(picture::faults_of_ls(record))),
            "ls by BPF" => match picture::refusal_of_bpf(record) {
                Some(refusal) => println!("{refusal}"),
                None => faults.extend(told(picture::faults_of_ls(record))),
            },
            "why" => faults.extend(told(picture::faults_of_why(record))),
            _ => {
                let held = trials::read(record);
                println!("{}", trials::table(&held));
                faults.extend(trials::faults(record, &held));
            }
        }
    }
    if !faults.is_empty() {
        println!();
    }
    for fault in &faults {
        println!("fault: {fault}");
    }
    Ok(faults.len())
}

/// The same faults, after a line for the reader.
fn told(faults: Vec<String>) -> Vec<String> {
    println!("{}", if faults.is_empty() { "as expected" } else { "NOT as expected" });
    faults
}
