//! Owns which programs of this machine the check uses, and which Debian packages bring them.
//! Installs none.

use std::{
    env,
    path::{Path, PathBuf},
};

use anyhow::{Result, bail, ensure};

/// What is copied into the machine.
pub(super) const INSIDE: [&str; 4] = ["busybox", "ip", "nsenter", "unshare"];

/// Every program, with its package. The C library's `ldd` is where a linker is.
const PROGRAMS: [(&str, &str); 9] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("xz", "xz-utils"),
    ("timeout", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
];

/// Fails with the command that installs what is missing.
pub(super) fn check() -> Result<()> {
    ensure!(
        env::consts::ARCH == "x86_64",
        "the kernels are those of x86-64, and so must the programs be; this machine is {}",
        env::consts::ARCH
    );
    let is_missing = |program: &str| find(program).is_err();
    let mut packages: Vec<&str> = PROGRAMS
        .iter()
        .filter(|(program, _)| is_missing(program))
        .map(|(_, package)| *package)
        .collect();
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    bail!(
        "programs are missing; install them and run this again:\n  \
         apt-get install --no-install-recommends {}",
        packages.join(" ")
    )
}

/// Where `program` is: on PATH, or where Debian keeps the programs of administrators.
pub(super) fn find(program: &str) -> Result<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let found = env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| Path::is_file(candidate));
    match found {
        Some(found) => Ok(found),
        None => bail!("the program {program} is not installed"),
    }
}
