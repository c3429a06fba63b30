//! Owns the emulated machine: its parts, its clock, and for how long it may run.
//! Read: qemu-system-x86_64(1), the QEMU documentation's page on TCG instruction counting.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use super::{Limits, WarpError};

/// Boots `image` with `initrd`, waits until the machine switches itself off, and returns what came
/// over its second serial line. The first is kept in `console.log` below `place`.
///
/// # Errors
/// [`WarpError::Overdue`] after the limit of real time, else why the machine did not run.
pub(super) fn run(
    image: &Path,
    initrd: &Path,
    place: &Path,
    limits: &Limits<'_>,
) -> Result<String, WarpError> {
    let [console, results] = ["console.log", "results.log"].map(|name| place.join(name));
    // Ends with this process, in whatever way that ends: the machine, and who minds its time.
    let mut machine = Command::new("setpriv");
    machine.args(["--pdeathsig", "TERM", "timeout", "--foreground", "--kill-after=10"]);
    machine.arg(limits.within.as_secs().max(1).to_string());
    machine.args(["setpriv", "--pdeathsig", "KILL"]);
    machine.args(["qemu-system-x86_64", "-M", "q35", "-cpu", "max"]);
    machine.args(["-m", MEMORY, "-smp", "1", "-nodefaults", "-no-reboot", "-display", "none"]);
    // One instruction takes four nanoseconds of the machine's time, and idle time is leapt over.
    // So this machine's load does not reach the measurements.
    machine.args(["-accel", "tcg", "-icount", "shift=2,sleep=off,align=off"]);
    machine.arg("-rtc").arg(format!("base={},clock=vm", limits.date));
    for log in [&console, &results] {
        machine.arg("-serial").arg(format!("file:{}", log.display()));
    }
    machine.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
    machine.args([
        "-append",
        "console=ttyS0 quiet panic=-1 nowatchdog clocksource=tsc tsc=reliable mitigations=off",
    ]);
    let failed = |cause: &dyn std::fmt::Display| WarpError::program("qemu-system-x86_64", cause);
    let output = machine.stdin(Stdio::null()).output().map_err(|cause| failed(&cause))?;
    if output.status.code() == Some(TIMED_OUT) {
        return Err(WarpError::Overdue { within: limits.within, console });
    }
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    let bytes = fs::read(&results).map_err(|cause| WarpError::file(&results, cause))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Megabytes: the archive is unpacked into it, beside the programs that run.
const MEMORY: &str = "1024";

/// What timeout(1) exits with.
const TIMED_OUT: i32 = 124;
