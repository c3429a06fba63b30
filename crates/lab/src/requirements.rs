//! Owns what the lab needs of this machine, and how to say that something is missing.
//! Installs nothing. Read: capabilities(7).

use std::{env, fs, path::PathBuf};

/// What the lab needs and this machine does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Missing {
    /// A program, with the Debian package that has it.
    #[error(
        "find the program {program}: it is not installed; `apt-get install {package}` brings it"
    )]
    Program {
        /// The program.
        program: &'static str,
        /// The Debian package.
        package: &'static str,
    },
    /// Privilege.
    #[error("make namespaces and cables: needs {capabilities}; run as root")]
    Privilege {
        /// The capabilities that are missing, separated by commas.
        capabilities: String,
    },
    /// A user namespace, by which an ordinary user could do without privilege.
    #[error("make namespaces without root: {why}; allow user namespaces, or run as root")]
    UserNamespaces {
        /// What forbids them.
        why: String,
    },
    /// More users than one in the namespace of an ordinary user.
    #[error(
        "run {program} without root: it changes to a user of its own; give yourself subordinate \
         numbers (`apt-get install uidmap` and a line in /etc/subuid and /etc/subgid), or run as root"
    )]
    SubordinateNumbers {
        /// Who needs them.
        program: &'static str,
    },
}

/// Ends a test early, and says so, where the machine lacks what a lab needs; under CI that is a
/// failure. Programs that the test needs besides are named with the Debian packages that have them:
/// `requires_lab!("telnet" from "inetutils-telnet")`.
#[macro_export]
macro_rules! requires_lab {
    ($($program:literal from $package:literal),*) => {
        let lacks = [
            $crate::requirements::check().err(),
            $($crate::requirements::find($program, $package).err(),)*
        ];
        if let Some(missing) = lacks.into_iter().flatten().next() {
            assert!(std::env::var_os("CI").is_none(), "failed to {missing}");
            eprintln!("skipped: needs to {missing}");
            return;
        }
    };
}

/// Checks that this process may build a lab: capabilities and the programs of util-linux and iproute2.
///
/// # Errors
/// The first thing that is [`Missing`].
pub fn check() -> Result<(), Missing> {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let missing = missing_capabilities(&status);
    if !missing.is_empty() {
        return Err(Missing::Privilege { capabilities: missing.join(", ") });
    }
    for (program, package) in
        [("unshare", "util-linux"), ("nsenter", "util-linux"), ("ip", "iproute2")]
    {
        find(program, package)?;
    }
    Ok(())
}

/// Where `program` is, on PATH or in the places where daemons live.
///
/// # Errors
/// [`Missing::Program`], naming the Debian `package` that has it.
pub fn find(program: &'static str, package: &'static str) -> Result<PathBuf, Missing> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        // An ordinary user's PATH lacks the directories of daemons, which are readable all the same.
        .chain(["/usr/sbin", "/sbin"].map(PathBuf::from))
        .chain(of_postgresql())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
        .ok_or(Missing::Program { program, package })
}

/// Where Debian keeps the programs of PostgreSQL's server: on nobody's PATH, one directory a version.
fn of_postgresql() -> impl Iterator<Item = PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin"))
}

/// The capabilities that the lab uses, with their bits (uapi/linux/capability.h): namespaces,
/// links, packet sockets, and the descriptors of victims.
const NEEDED: [(&str, u32); 4] =
    [("CAP_SYS_ADMIN", 21), ("CAP_NET_ADMIN", 12), ("CAP_NET_RAW", 13), ("CAP_SYS_PTRACE", 19)];

/// Those of [`NEEDED`] that the text of /proc/PID/status does not show as effective.
fn missing_capabilities(status: &str) -> Vec<&'static str> {
    let effective = status
        .lines()
        .find_map(|line| line.strip_prefix("CapEff:"))
        .and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok())
        .unwrap_or(0);
    NEEDED.iter().filter(|(_, bit)| effective >> bit & 1 == 0).map(|(name, _)| *name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_read_by_bit() {
        assert_eq!(missing_capabilities("CapEff:\t000001ffffffffff\n"), Vec::<&str>::new());
        assert_eq!(missing_capabilities("CapEff:\t0000000000000000\n").len(), NEEDED.len());
        let without_net_raw = format!("CapEff:\t{:016x}\n", !(1u64 << 13));
        assert_eq!(missing_capabilities(&without_net_raw), ["CAP_NET_RAW"]);
    }

    #[test]
    fn an_unreadable_status_is_no_privilege() {
        assert_eq!(missing_capabilities("").len(), NEEDED.len());
    }

    #[test]
    fn a_program_that_is_missing_is_named_with_its_package() {
        let said = find("no-such-program", "some-package").unwrap_err().to_string();
        assert!(said.contains("no-such-program") && said.contains("apt-get install some-package"));
    }
}
