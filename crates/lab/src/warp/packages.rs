//! Owns which programs of this machine an emulated one takes, and which Debian packages bring them.
//! Installs none.

use std::{
    env,
    path::{Path, PathBuf},
};

use super::WarpError;

/// What is copied into the machine.
pub(super) const INSIDE: [&str; 4] = ["busybox", "ip", "nsenter", "unshare"];

/// Every program, with its package. The C library's `ldd` is where a linker is.
const PROGRAMS: [(&str, &str); 10] = [
    ("qemu-system-x86_64", "qemu-system-x86"),
    ("busybox", "busybox-static"),
    ("ip", "iproute2"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setpriv", "util-linux"),
    ("xz", "xz-utils"),
    ("timeout", "coreutils"),
    ("dpkg-deb", "dpkg"),
    ("apt-get", "apt"),
];

/// Whether everything is here.
///
/// # Errors
/// [`WarpError::Architecture`], or [`WarpError::Packages`] with the packages that are missing.
pub(super) fn check() -> Result<(), WarpError> {
    if env::consts::ARCH != "x86_64" {
        return Err(WarpError::Architecture { here: env::consts::ARCH });
    }
    let missing = PROGRAMS.iter().filter(|(program, _)| find(program).is_none());
    let mut packages: Vec<&str> = missing.map(|(_, package)| *package).collect();
    packages.dedup();
    if packages.is_empty() {
        Ok(())
    } else {
        Err(WarpError::Packages { packages: packages.join(" ") })
    }
}

/// Where `program` is: on PATH, or where Debian keeps the programs of administrators.
pub(super) fn find(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(program))
        .find(|candidate| Path::is_file(candidate))
}
