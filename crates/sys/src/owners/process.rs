//! Owns what /proc says of one process: its sockets, its name, its user, its cgroup.
//! Read: proc_pid_fd(5), proc_pid_status(5), proc_pid_cgroup(5), cgroups(7).

use std::{collections::HashSet, ffi::CStr, fs, io, mem::MaybeUninit, os::fd::OwnedFd};

use halfopen_core::Process;
use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};

use super::{command_of, unit_of};

/// The processes of our pid namespace.
pub(crate) fn pids() -> io::Result<Vec<u32>> {
    let mut pids = Vec::new();
    // The standard library's iterator panics where the directory cannot be closed.
    for entry in Dir::read_from(directory("/proc")?)? {
        pids.extend(number(entry?.file_name()));
    }
    Ok(pids)
}

/// Adds to `held` the descriptors of process `pid` that are wanted sockets, each with its inode; all
/// sockets, where none are named.
///
/// # Errors
/// What kept it from seeing all of them, the first time; it goes on with those behind it.
pub(super) fn sockets(
    pid: u32,
    wanted: Option<&HashSet<u64>>,
    held: &mut Vec<(u32, u64)>,
) -> io::Result<()> {
    let directory = directory(&format!("/proc/{pid}/fd"))?;
    let mut outcome = Ok(());
    // Longer than any `socket:[INODE]`; longer links are cut and do not match.
    let mut buffer = [MaybeUninit::<u8>::uninit(); 64];
    for entry in Dir::read_from(&directory)? {
        let entry = match entry {
            Ok(entry) => entry,
            // The directory ends here, or before, when the process has ended.
            Err(errno) => return outcome.and(Err(errno.into())),
        };
        let Some(fd) = number(entry.file_name()) else { continue };
        let link = match readlinkat_raw(&directory, entry.file_name(), &mut buffer) {
            Ok((link, _)) => link,
            Err(errno) => {
                let cause = io::Error::from(errno);
                // A descriptor that was closed since is passed over.
                if outcome.is_ok() && !is_gone(&cause) {
                    outcome = Err(cause);
                }
                continue;
            }
        };
        let is_wanted = |inode: &u64| wanted.is_none_or(|wanted| wanted.contains(inode));
        if let Some(inode) = socket_inode(link).filter(is_wanted) {
            held.push((fd, inode));
        }
    }
    outcome
}

/// What was asked for is not there any more: /proc says ENOENT, and ESRCH to readers of files that
/// were opened before the process ended.
pub(super) fn is_gone(cause: &io::Error) -> bool {
    matches!(Errno::from_io_error(cause), Some(Errno::NOENT | Errno::SRCH))
}

fn directory(path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(openat(CWD, path, flags, Mode::empty())?)
}

fn number(name: &CStr) -> Option<u32> {
    name.to_str().ok()?.parse().ok()
}

/// The inode in `socket:[12345]`.
pub(crate) fn socket_inode(link: &[u8]) -> Option<u64> {
    let digits = link.strip_prefix(b"socket:[")?.strip_suffix(b"]")?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// What is said of process `pid`.
///
/// # Errors
/// What kept its name from being read; see [`is_gone`] for that of a process that has ended.
pub(super) fn describe(pid: u32) -> io::Result<Process> {
    let command = command_of(pid)?;
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).ok();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    let cgroup = read("cgroup").map(text).and_then(|text| cgroup_path(&text));
    Ok(Process {
        pid,
        command,
        uid: read("status").map(text).and_then(|text| effective_uid(&text)),
        unit: cgroup.as_deref().and_then(unit_of),
        cgroup,
    })
}

/// The second number of the line `Uid:`, which has real, effective, saved and file system user.
pub(crate) fn effective_uid(status: &str) -> Option<u32> {
    let numbers = status.lines().find_map(|line| line.strip_prefix("Uid:"))?;
    numbers.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// The path in the one hierarchy of cgroup v2 (`0::PATH`), or on hosts of cgroup v1, where that
/// is absent or unused, in systemd's, else in the first.
pub(crate) fn cgroup_path(text: &str) -> Option<String> {
    let mut lines: Vec<(&str, &str)> = text
        .lines()
        .filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        })
        .collect();
    lines.sort_by_key(|(controllers, path)| match *controllers {
        "" if *path != "/" => 0,
        "name=systemd" => 1,
        "" => 2,
        _ => 3,
    });
    lines.first().map(|(_, path)| (*path).to_owned())
}

/// Whether `pid` is a living process of user space: neither ended, nor a thread of the kernel
/// (PF_KTHREAD, include/linux/sched.h), which has no descriptors and stays in the first namespaces.
///
/// /proc answers EACCES also for a process that has just ended, so that alone says nothing.
pub(crate) fn is_user_process(pid: u32) -> bool {
    let stat = fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
    tells_of_user_process(&String::from_utf8_lossy(&stat))
}

/// Whether the text of a /proc/PID/stat is that of such a process.
pub(crate) fn tells_of_user_process(text: &str) -> bool {
    const PF_KTHREAD: u64 = 0x0020_0000;
    // The command may hold spaces and parentheses; after its last one come state, ppid, pgrp,
    // session, tty, tpgid and flags.
    let Some((_, rest)) = text.rsplit_once(')') else { return false };
    let mut fields = rest.split_ascii_whitespace();
    let has_ended = matches!(fields.next(), None | Some("Z" | "X"));
    let flags = fields.nth(5).and_then(|flags| flags.parse::<u64>().ok());
    !has_ended && flags.is_some_and(|flags| flags & PF_KTHREAD == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_links_to_sockets_have_an_inode() {
        assert_eq!(socket_inode(b"socket:[4711]"), Some(4711));
        for link in [&b"pipe:[4711]"[..], b"socket:[4711", b"socket:[]", b"/dev/null", b""] {
            assert_eq!(socket_inode(link), None);
        }
    }

    #[test]
    fn the_effective_user_is_the_second_number() {
        assert_eq!(effective_uid("Name:\tx\nUid:\t1000\t33\t1\t2\nGid:\t5\t6\t7\t8\n"), Some(33));
        assert_eq!(effective_uid("Name:\tx\n"), None);
    }

    #[test]
    fn the_unified_hierarchy_comes_before_that_of_systemd_and_the_others() {
        let path = |text| cgroup_path(text);
        assert_eq!(
            path("0::/system.slice/a.service\n").as_deref(),
            Some("/system.slice/a.service")
        );
        let hybrid = "12:cpu:/x\n1:name=systemd:/system.slice/a.service\n0::/\n";
        assert_eq!(path(hybrid).as_deref(), Some("/system.slice/a.service"));
        assert_eq!(path("4:memory:/docker/abc\n").as_deref(), Some("/docker/abc"));
        assert_eq!(path("0::/\n").as_deref(), Some("/"));
        assert_eq!(path("0::/a:b\n").as_deref(), Some("/a:b"));
        assert_eq!(path("nonsense"), None);
    }

    #[test]
    fn this_process_is_of_user_space_and_threads_of_the_kernel_are_not() {
        assert!(is_user_process(std::process::id()));
        assert!(!is_user_process(u32::MAX));
        if command_of(2).is_ok_and(|command| command == "kthreadd") {
            assert!(!is_user_process(2));
        }
    }

    #[test]
    fn a_process_that_waits_for_its_parent_has_ended() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
        while is_user_process(child.id()) {
            assert!(std::time::Instant::now() < deadline, "`true` does not end");
            std::thread::yield_now();
        }
        child.wait().unwrap();
    }

    #[test]
    fn a_process_that_ended_is_not_described() {
        assert!(is_gone(&describe(u32::MAX).unwrap_err()));
    }
}
