//! Owns the emulated machine: its parts, its clock, and for how long it may run.
//! Read: qemu-system-x86_64(1), the QEMU documentation's page on TCG instruction counting.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};

/// For the reader of the output.
pub(super) const DESCRIPTION: &str =
    "emulated; its clock leaps over idle time, so hours pass in minutes";

/// Boots `image` with `initrd`, waits until the machine switches itself off, and returns what came
/// over its second serial line. The first is kept in `console.log` below `place`.
pub(super) fn run(image: &Path, initrd: &Path, place: &Path) -> Result<String> {
    let [console, results] = ["console.log", "results.log"].map(|name| place.join(name));
    let mut machine = Command::new("timeout");
    machine.args(["--kill-after=10", WITHIN, "qemu-system-x86_64", "-M", "q35", "-cpu", "max"]);
    machine.args(["-m", "512", "-smp", "1", "-nodefaults", "-no-reboot", "-display", "none"]);
    // One instruction takes four nanoseconds of the machine's time, and idle time is leapt over.
    // So this machine's load does not reach the measurements.
    machine.args(["-accel", "tcg", "-icount", "shift=2,sleep=off,align=off"]);
    machine.args(["-rtc", "base=2026-01-01T00:00:00,clock=vm"]);
    for log in [&console, &results] {
        machine.arg("-serial").arg(format!("file:{}", log.display()));
    }
    machine.arg("-kernel").arg(image).arg("-initrd").arg(initrd);
    machine.args([
        "-append",
        "console=ttyS0 quiet panic=-1 nowatchdog clocksource=tsc tsc=reliable mitigations=off",
    ]);
    let output = machine.stdin(Stdio::null()).output().context("start qemu-system-x86_64")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.code() != Some(TIMED_OUT),
        "the machine did not end within {WITHIN} s; see {} and {}",
        console.display(),
        results.display()
    );
    ensure!(output.status.success(), "qemu-system-x86_64 failed: {}", said.trim());
    let bytes = fs::read(&results).with_context(|| format!("read {}", results.display()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Seconds: several times what the check takes on a busy machine.
const WITHIN: &str = "3600";

/// What timeout(1) exits with.
const TIMED_OUT: i32 = 124;
