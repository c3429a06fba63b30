//! Owns what is compared with what: the lines that are run, and how often.

use std::{
    env,
    ffi::OsString,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, ensure};

use crate::{
    arguments::Arguments,
    load::Load,
    timing::{self, Timing, Until},
};

/// One line of the table.
pub(crate) struct Entry {
    /// What it is, as the table says it.
    pub(crate) name: String,
    line: Vec<String>,
    until: Until,
    /// It takes minutes, so once has to do.
    is_slow: bool,
}

/// An entry and what was measured of it.
pub(crate) struct Measured {
    /// The entry's name.
    pub(crate) name: String,
    /// The median.
    pub(crate) timing: Timing,
    /// The most memory that was resident, in bytes; not watched for what takes minutes.
    pub(crate) peak: Option<u64>,
}

/// The entries, ready to be run.
pub(crate) struct Contest {
    entries: Vec<Entry>,
}

impl Contest {
    /// Builds or finds the program to measure, and asks it which sources it has.
    pub(crate) fn prepare(arguments: &Arguments) -> anyhow::Result<Self> {
        let halfopen = match &arguments.halfopen {
            Some(path) => {
                path.canonicalize().with_context(|| format!("find {}", path.display()))?
            }
            None => build()?,
        };
        let own = env::current_exe().context("find the path of this program")?;
        let mut entries = Vec::new();
        let mut add = |name: &str, program: &Path, words: &str, is_slow: bool| {
            let until = if words.starts_with("judge") { Until::Said } else { Until::End };
            let program = program.display().to_string();
            let words = words.split_whitespace().map(str::to_owned);
            let line = std::iter::once(program).chain(words).collect();
            entries.push(Entry { name: name.to_owned(), line, until, is_slow });
        };
        add(FLOOR_SOCKETS, &own, "floor sock-diag", false);
        add(
            "floor: getdents of every /proc/PID/fd, names not followed",
            &own,
            "floor descriptors",
            false,
        );
        if cfg!(feature = "bpf") {
            add("floor: both BPF iterators, read and not decoded", &own, "floor bpf", false);
        }
        add("ss -tnH", Path::new("ss"), "-tnH", false);
        add(SS_INFO, Path::new("ss"), "-tnoi", false);
        let ls = "ls --json --loopback";
        for source in sources() {
            for (with, flag) in [("with owners", "--owners"), ("without owners", "")] {
                let name = format!("in memory, {source}: every verdict, {with}");
                add(&name, &own, &format!("judge {source} {flag}"), false);
            }
            for owners in ["", " --no-owners"] {
                let words = format!("{ls} --source {source}{owners}");
                add(&format!("halfopen {words}"), &halfopen, &words, false);
            }
        }
        add("halfopen ls --loopback", &halfopen, "ls --loopback", false);
        if !arguments.skip_ss_p {
            add(SS_OWNERS, Path::new("ss"), "-tnp", true);
        }
        entries.retain(|entry| entry.name.contains(&arguments.only));
        Ok(Self { entries })
    }

    /// Measures every entry, in turns, so that a slow minute of the machine hits all alike.
    pub(crate) fn run(&self, arguments: &Arguments, load: &Load) -> anyhow::Result<Vec<Measured>> {
        if arguments.hold_only {
            eprintln!("holding; this process is {}; end it with Ctrl-D", std::process::id());
            io::copy(&mut io::stdin(), &mut io::sink())?;
            return Ok(Vec::new());
        }
        ensure!(load.sockets > 0, "nothing to look at: --sockets is too small");
        let mut timings = vec![Vec::new(); self.entries.len()];
        for run in 0..arguments.runs {
            for (entry, timings) in self.entries.iter().zip(&mut timings) {
                if run > 0 && entry.is_slow {
                    continue;
                }
                timings.push(timing::measure(&entry.line, entry.until)?);
            }
        }
        let mut measured = Vec::new();
        for (entry, timings) in self.entries.iter().zip(timings) {
            let peak = if entry.is_slow { None } else { Some(timing::peak(&entry.line)?) };
            let timing = timing::median(timings).context("--runs is zero")?;
            measured.push(Measured { name: entry.name.clone(), timing, peak });
        }
        Ok(measured)
    }
}

/// This project's program, built as it is shipped.
fn build() -> anyhow::Result<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let status = Command::new(cargo)
        .current_dir(&root)
        .args(["build", "--quiet", "--release", "--package", "halfopen-cli"])
        .args(if cfg!(feature = "bpf") { &["--features", "bpf"][..] } else { &[] })
        .status()
        .context("run cargo")?;
    ensure!(status.success(), "the program does not build: {status}");
    // Benchmarks lie in `deps` beside what they measure.
    let own = env::current_exe()?;
    let release = own.parent().and_then(Path::parent).context("find the directory of programs")?;
    Ok(release.join("halfopen"))
}

/// The sources that this benchmark was built with.
const fn sources() -> &'static [&'static str] {
    if cfg!(feature = "bpf") { &["sock-diag", "bpf"] } else { &["sock-diag"] }
}

/// What ratios are counted against.
pub(crate) const SS_OWNERS: &str = "ss -tnp";
/// The other one.
pub(crate) const SS_INFO: &str = "ss -tnoi";
const FLOOR_SOCKETS: &str = "floor: sock_diag dump with TCP_INFO, not decoded";
