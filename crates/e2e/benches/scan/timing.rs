//! Owns one measurement: how long a program runs, or how much memory it takes at its peak. Not both at
//! once: who watches the memory takes some of the processors' time.

use std::{
    fs,
    io::{self, Read as _},
    process::{Child, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};

/// What was measured of one program.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// From its start to where it was measured.
    pub(crate) took: Duration,
    /// How long processors worked for it, which other programs disturb less.
    pub(crate) cpu: Duration,
}

/// How far a program is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Until {
    /// To its end, with its output thrown away by the kernel.
    End,
    /// Until it says something: that it is done. Its end, in which the kernel takes its memory back, is
    /// in the processors' time.
    Said,
}

/// Runs `line` to its end.
pub(crate) fn measure(line: &[String], until: Until) -> anyhow::Result<Timing> {
    let (begun, cpu_before) = (Instant::now(), cpu_of_children());
    let (status, took) = match until {
        Until::End => (start(line, Stdio::null())?.wait()?, begun.elapsed()),
        Until::Said => {
            let mut child = start(line, Stdio::piped())?;
            let mut said = [0];
            let output = child.stdout.as_mut().context("its output is a pipe")?;
            let heard = output.read_exact(&mut said);
            let took = begun.elapsed();
            io::copy(output, &mut io::sink())?;
            let status = child.wait()?;
            ensure!(heard.is_ok(), "{} said nothing: {status}", line.join(" "));
            (status, took)
        }
    };
    ensure!(status.success(), "{} failed: {status}", line.join(" "));
    Ok(Timing { took, cpu: cpu_of_children().saturating_sub(cpu_before) })
}

/// The most memory that is resident (VmHWM) while `line` runs, in bytes.
pub(crate) fn peak(line: &[String]) -> anyhow::Result<u64> {
    let mut child = start(line, Stdio::null())?;
    let (pid, (ended, end)) = (child.id(), channel());
    let (status, peak) = thread::scope(|scope| {
        let watcher = scope.spawn(move || watch_peak(pid, &end));
        let status = child.wait();
        drop(ended);
        (status, watcher.join().unwrap_or_default())
    });
    let status = status?;
    ensure!(status.success(), "{} failed: {status}", line.join(" "));
    Ok(peak)
}

fn start(line: &[String], output: Stdio) -> anyhow::Result<Child> {
    // setpriv becomes the program; the program then dies with this process.
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--"])
        .args(line)
        .stdin(Stdio::null())
        .stdout(output)
        .stderr(Stdio::null())
        .spawn()
        .context("run setpriv (package util-linux)")
}

/// What the processors have worked for children that have ended (cutime and cstime of
/// proc_pid_stat(5)).
fn cpu_of_children() -> Duration {
    /// USER_HZ, which is the same on every architecture that Rust knows of.
    const TICKS_PER_SECOND: u64 = 100;
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The fields from the state on, which is the third.
    let fields = stat.rsplit_once(") ").map_or("", |(_, fields)| fields).split(' ');
    let ticks: u64 = fields.skip(13).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

/// The highest VmHWM of process `pid` until it has ended. It never falls, so all that is missed is
/// the growth in the last moments.
fn watch_peak(pid: u32, end: &Receiver<()>) -> u64 {
    /// Short beside the shortest look that is worth measuring, and no load to speak of.
    const PAUSE: Duration = Duration::from_millis(5);
    let mut peak = 0;
    while end.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or_default() * 1024);
    }
    peak
}

/// The timing in the middle, by time taken.
pub(crate) fn median(mut timings: Vec<Timing>) -> Option<Timing> {
    timings.sort_by_key(|timing| timing.took);
    timings.get(timings.len() / 2).copied()
}
