//! Owns the lab without root: the program starts itself again inside a user namespace of its own,
//! in which it may do to networks what root may, and only to those that it makes itself.
//! Read: user_namespaces(7), unshare(1), newuidmap(1), lsm: apparmor_restrict_unprivileged_userns.

use std::{
    convert::Infallible,
    env, fs, io,
    os::unix::process::CommandExt as _,
    path::PathBuf,
    process::{Command, Stdio},
};

use crate::requirements::{self, Missing};

/// The user who started the lab, if that user is not root: programs under test run as this user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user's number outside.
    pub uid: u32,
    /// The number of the user's group outside.
    pub gid: u32,
}

impl Owner {
    /// Whoever started this program as an ordinary user and is now root in a namespace of its own.
    /// `None` for a lab that runs with real privilege.
    pub fn of_this_lab() -> Option<Self> {
        Self::read(&env::var(OWNER).ok()?)
    }

    fn read(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':')?;
        Some(Self { uid: uid.parse().ok()?, gid: gid.parse().ok()? })
    }

    /// The words to put before a command that is to run as this user, inside the lab's namespace:
    /// files in the user's home then belong to the user, and programs that refuse root start.
    pub(crate) fn words(self) -> [String; 5] {
        let (user, group) =
            (format!("--map-user={}", self.uid), format!("--map-group={}", self.gid));
        ["unshare".to_owned(), "--user".to_owned(), user, group, "--".to_owned()]
    }
}

/// Starts this program again with the same arguments inside a user namespace. With subordinate
/// numbers (`/etc/subuid`, newuidmap) daemons that change to a user of their own can run too.
/// Returns only where that is not possible.
///
/// # Errors
/// [`Missing::UserNamespaces`] with what forbids them, or [`Missing::Program`].
pub fn enter() -> Result<Infallible, Missing> {
    requirements::find("unshare", "util-linux")?;
    requirements::find("ip", "iproute2")?;
    let said = match MAPPINGS.iter().find(|mapping| try_out(mapping).is_ok()) {
        Some(mapping) => {
            let owner = (rustix::process::getuid(), rustix::process::getgid());
            let program = env::current_exe().unwrap_or_else(|_| PathBuf::from("/proc/self/exe"));
            let cause = Command::new("unshare")
                .args(*mapping)
                .arg("--")
                .arg(program)
                .args(env::args_os().skip(1))
                .env(OWNER, format!("{}:{}", owner.0.as_raw(), owner.1.as_raw()))
                .exec();
            cause.to_string()
        }
        None => try_out(MAPPINGS.last().copied().unwrap_or_default())
            .map_or_else(|cause| cause.to_string(), |()| "it was refused just now".to_owned()),
    };
    Err(Missing::UserNamespaces { why: Forbidding::of_this_host().reason(&said) })
}

/// Whether an ordinary user could run the lab here.
///
/// # Errors
/// As [`enter`].
pub fn check() -> Result<(), Missing> {
    requirements::find("unshare", "util-linux")?;
    requirements::find("ip", "iproute2")?;
    MAPPINGS.last().copied().map_or(Ok(()), try_out).map_err(|cause| Missing::UserNamespaces {
        why: Forbidding::of_this_host().reason(&cause.to_string()),
    })
}

/// Whether `program`, which changes to a user of its own, can do so in this lab: without root that
/// takes more numbers than the user's own one.
///
/// # Errors
/// [`Missing::SubordinateNumbers`].
pub fn check_subordinates(program: &'static str) -> Result<(), Missing> {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if Owner::of_this_lab().is_some() && mapped(&map) < 2 {
        return Err(Missing::SubordinateNumbers { program });
    }
    Ok(())
}

/// How many users the text of /proc/PID/uid_map maps.
fn mapped(map: &str) -> u64 {
    let counts = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok());
    counts.fold(0, u64::saturating_add)
}

/// Set in the environment of the program that runs inside: `uid:gid` of who started it.
const OWNER: &str = "HALFOPEN_LAB_OWNER";

/// How the user's numbers are mapped, best first.
const MAPPINGS: [&[&str]; 2] =
    [&["--user", "--map-root-user", "--map-auto"], &["--user", "--map-root-user"]];

/// Makes a namespace and does in it what the lab needs: some systems allow the namespace and then
/// refuse everything in it.
fn try_out(mapping: &[&str]) -> io::Result<()> {
    let tried = Command::new("unshare")
        .args(mapping)
        .args(["--net", "--mount", "--", "sh", "-c"])
        .arg("ip link set lo up && mount -t tmpfs tmpfs /tmp")
        .stdin(Stdio::null())
        .output()?;
    if tried.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&tried.stderr);
    Err(io::Error::other(said.trim().replace('\n', "; ")))
}

/// The settings by which systems forbid user namespaces; `None` where the kernel has no such setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Forbidding {
    /// user.max_user_namespaces.
    max: Option<u64>,
    /// kernel.unprivileged_userns_clone (Debian).
    clone: Option<u64>,
    /// kernel.apparmor_restrict_unprivileged_userns (Ubuntu).
    apparmor: Option<u64>,
}

impl Forbidding {
    fn of_this_host() -> Self {
        let read =
            |name: &str| fs::read_to_string(format!("/proc/sys/{name}")).ok()?.trim().parse().ok();
        Self {
            max: read("user/max_user_namespaces"),
            clone: read("kernel/unprivileged_userns_clone"),
            apparmor: read("kernel/apparmor_restrict_unprivileged_userns"),
        }
    }

    /// Why the namespace was refused, as far as a setting explains it, else what was `said`.
    fn reason(self, said: &str) -> String {
        let setting = if self.max == Some(0) {
            "user.max_user_namespaces is 0"
        } else if self.clone == Some(0) {
            "kernel.unprivileged_userns_clone is 0"
        } else if self.apparmor == Some(1) {
            "kernel.apparmor_restrict_unprivileged_userns is 1"
        } else {
            return said.to_owned();
        };
        format!("{setting} ({said})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_owner_is_read_and_anything_else_is_nobody() {
        assert_eq!(Owner::read("1000:100"), Some(Owner { uid: 1000, gid: 100 }));
        for text in ["", "1000", "1000:", ":1", "a:b", "-1:1", "1:2:3"] {
            assert_eq!(Owner::read(text), None, "{text:?}");
        }
    }

    #[test]
    fn subordinate_numbers_are_counted() {
        assert_eq!(mapped("         0      12345          1\n"), 1);
        assert_eq!(mapped("0 1000 1\n1 100000 65536\n"), 65_537);
        assert_eq!(mapped(""), 0);
    }

    #[test]
    fn a_setting_that_forbids_is_named_before_what_was_said() {
        let reason = |max, clone, apparmor| Forbidding { max, clone, apparmor }.reason("EPERM");
        assert_eq!(reason(Some(0), Some(1), None), "user.max_user_namespaces is 0 (EPERM)");
        assert_eq!(reason(Some(9), Some(0), None), "kernel.unprivileged_userns_clone is 0 (EPERM)");
        assert_eq!(
            reason(Some(9), None, Some(1)),
            "kernel.apparmor_restrict_unprivileged_userns is 1 (EPERM)"
        );
        assert_eq!(reason(Some(9), Some(1), Some(0)), "EPERM");
        assert_eq!(reason(None, None, None), "EPERM");
    }
}
