//! An older kernel, booted in an emulated machine, judges the program.
//! Owns the order of the check: what is fetched, built, booted, compared. Each step is a file below
//! `old_kernel/`.
//! Must not    install anything, or touch this machine's network.
//! Read        docs/kernels.md.

mod closure;
mod initramfs;
mod kernel;
mod machine;
mod modules;
mod needs;
mod picture;
mod record;
mod script;
mod trials;

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context as _, Result, bail, ensure};

use self::{
    initramfs::Archive,
    kernel::{Kernel, Source},
    record::Record,
    script::Step,
};

/// What runs inside the machine, in this order.
const STEPS: [Step; 7] = [
    Step { name: "kernel", command: "ls /proc/sys/net/ipv4" },
    Step { name: "ls", command: "staged_connections halfopen ls --loopback --json" },
    Step {
        name: "ls by BPF",
        command: "staged_connections halfopen ls --loopback --json --source bpf",
    },
    Step {
        name: "why",
        command: "staged_connections sh -c 'halfopen why \"$KEEPALIVE_ID\" --loopback --json'",
    },
    Step { name: "trials", command: "trials short" },
    Step { name: "random trials", command: "trials random" },
    Step { name: "trials of untouched timers", command: "trials default" },
];

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
    needs::check()?;
    let root = root()?;
    let target = target(&root);
    let place = target.join("old-kernel");
    fs::create_dir_all(&place).with_context(|| format!("make {}", place.display()))?;

    let kernel = Kernel::fetch(source, &place)?;
    println!("old-kernel: Linux {} from the package {}", kernel.release, kernel.package);
    build(&root)?;
    let archive = archive(&kernel, &target)?;
    let initrd = place.join("initramfs");
    fs::write(&initrd, archive.to_bytes())
        .with_context(|| format!("write {}", initrd.display()))?;
    println!("old-kernel: boot, {}", machine::DESCRIPTION);
    let records = record::parse(&machine::run(&kernel.image, &initrd, &place)?);
    judge(&records)
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

/// Everything that the machine has in the way of files.
fn archive(kernel: &Kernel, target: &Path) -> Result<Archive> {
    let mut archive = Archive::default();
    let built = target.join("release");
    for program in ["halfopen", "examples/staged_connections", "examples/trials"] {
        add_program(&mut archive, &built.join(program), "/usr/bin")?;
    }
    for program in needs::INSIDE {
        add_program(&mut archive, &needs::find(program)?, "/usr/bin")?;
    }
    for applet in script::APPLETS {
        archive.link(&format!("/bin/{applet}"), "/usr/bin/busybox");
    }
    let mut inserted = Vec::new();
    for module in modules::in_order(&kernel.modules, script::MODULES)? {
        let path = format!("/modules/{}.ko", module.name);
        archive.file(&path, 0o644, module.bytes);
        inserted.push(path);
    }
    archive.directories(["/proc", "/sys", "/dev", "/run", "/tmp"]);
    archive.console();
    archive.file("/init", 0o755, script::text(&inserted, &STEPS).into_bytes());
    Ok(archive)
}

/// A program of this machine and the libraries that it is linked with, at their own places.
fn add_program(archive: &mut Archive, program: &Path, directory: &str) -> Result<()> {
    let read = |path: &Path| fs::read(path).with_context(|| format!("read {}", path.display()));
    let Some(name) = program.file_name().and_then(|name| name.to_str()) else {
        bail!("{} has no file name", program.display());
    };
    archive.file(&format!("{directory}/{name}"), 0o755, read(program)?);
    for library in closure::libraries(program)? {
        archive.file(&library, 0o755, read(Path::new(&library))?);
    }
    Ok(())
}

/// Compares every record with what is expected of it; the number of faults.
fn judge(records: &[Record]) -> Result<usize> {
    let mut faults = Vec::new();
    for step in &STEPS {
        let Some(record) = records.iter().find(|record| record.name == step.name) else {
            bail!(
                "the machine ended before `{}`: target/old-kernel/console.log has its last words",
                step.name
            );
        };
        println!("\n== {}: {}", step.name, step.command);
        match step.name {
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
