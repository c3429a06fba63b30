//! Owns the emulated machine: its parts, its clock, and for how long it may run.
//! Read: qemu-system-x86_64(1), the QEMU documentation's page on TCG instruction counting.

use std::{
    path::Path,
    process::{Command, ExitStatus, Stdio},
};

use super::{Limits, WarpError, scratch::Scratch};

/// What a machine reads and writes on this host.
#[derive(Debug)]
pub(super) struct Files {
    /// Its first file system.
    pub(super) initrd: Scratch,
    /// What its first serial line says.
    pub(super) console: Scratch,
    /// What its second one says.
    pub(super) results: Scratch,
    /// What is written to /dev/vport0p1 and so on.
    pub(super) ports: Vec<Scratch>,
}

/// Boots `image` and waits until the machine switches itself off; what it said is in `files` then.
/// `place` is only named, where it did not end in time.
///
/// # Errors
/// [`WarpError::Overdue`] after the limit of real time, else why the machine did not run.
pub(super) fn run(
    image: &Path,
    files: &Files,
    place: &Path,
    limits: &Limits<'_>,
) -> Result<(), WarpError> {
    let Files { initrd, console, results, ports } = files;
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
    for log in [console, results] {
        machine.arg("-serial").arg(format!("file:{}", log.path().display()));
    }
    if !ports.is_empty() {
        machine.args(["-device", "virtio-serial-pci"]);
    }
    for (number, port) in (1..).zip(ports) {
        machine.arg("-chardev").arg(format!("file,id=port{number},path={}", port.path().display()));
        machine
            .arg("-device")
            .arg(format!("virtserialport,chardev=port{number},nr={number},name=port{number}"));
    }
    machine.arg("-kernel").arg(image).arg("-initrd").arg(initrd.path());
    machine.args(["-append", PARAMETERS]);
    let failed = |cause: &dyn std::fmt::Display| WarpError::program("qemu-system-x86_64", cause);
    let output = machine.stdin(Stdio::null()).output().map_err(|cause| failed(&cause))?;
    if is_overdue(output.status) {
        return Err(WarpError::Overdue { within: limits.within, console: place.join(CONSOLE) });
    }
    if !output.status.success() {
        return Err(failed(&String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(())
}

/// Below the machine's place, what its console showed last.
pub(super) const CONSOLE: &str = "console.log";

/// For the kernel. Whoever lists sockets walks through the whole table, so it is as short as the
/// machine's few connections allow.
const PARAMETERS: &str = "console=ttyS0 quiet panic=-1 nowatchdog clocksource=tsc tsc=reliable \
                          mitigations=off thash_entries=512";

/// Megabytes: the archive is unpacked into it, beside the programs that run.
const MEMORY: &str = "1024";

/// What timeout(1) exits with, also where the machine had to be killed.
fn is_overdue(status: ExitStatus) -> bool {
    [Some(124), Some(137)].contains(&status.code())
}
