//! Owns cgroups of version 2 as far as programs can be attached to them: where they are mounted, which
//! one a process is in, and who else is there. Moves no process and makes none.
//! Read: cgroups(7), proc_pid_cgroup(5), linux Documentation/admin-guide/cgroup-v2.rst.

use std::{
    fs, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{CWD, Mode, OFlags, openat};

/// One cgroup, held open: its name cannot come to mean another meanwhile.
#[derive(Debug)]
pub struct Cgroup {
    directory: OwnedFd,
    name: String,
    place: PathBuf,
}

impl Cgroup {
    /// The cgroup that process `pid` is in.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`] where cgroup v2 is mounted nowhere, [`CgroupError::NoneOf`] if the
    /// process is gone, in another cgroup namespace or in none, else [`CgroupError::Open`].
    pub fn of_process(pid: u32) -> Result<Self, CgroupError> {
        let mount = mount()?;
        let none = || CgroupError::NoneOf { pid };
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).map_err(|_| none())?;
        let name = text.lines().find_map(|line| line.strip_prefix("0::")).ok_or_else(none)?;
        // Processes outside of our own cgroup namespace have a path that leads out of it.
        if !name.starts_with('/') || name.split('/').any(|part| part == "..") {
            return Err(none());
        }
        Self::open(&mount, name)
    }

    /// Every cgroup of the host that can be opened.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`].
    pub fn all() -> Result<Vec<Self>, CgroupError> {
        let mount = mount()?;
        let names = below(&mount).into_iter().filter_map(|place| {
            let name = place.strip_prefix(&mount).ok()?.to_str()?;
            Some(format!("/{name}"))
        });
        Ok(names.filter_map(|name| Self::open(&mount, &name).ok()).collect())
    }

    fn open(mount: &Path, name: &str) -> Result<Self, CgroupError> {
        let place = mount.join(name.trim_start_matches('/'));
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = openat(CWD, &place, flags, Mode::empty())
            .map_err(|errno| CgroupError::Open { place: place.clone(), cause: errno.into() })?;
        Ok(Self { directory, name: name.to_owned(), place })
    }

    /// Its path in the hierarchy, as `/proc/PID/cgroup` has it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// It is the one that every process of the host is in or below.
    pub fn is_root(&self) -> bool {
        self.name == "/"
    }

    /// The processes that are in it or below it, by number. What cannot be read is left out.
    pub fn processes(&self) -> Vec<u32> {
        let procs = |place: PathBuf| fs::read_to_string(place.join("cgroup.procs")).ok();
        let mut all: Vec<u32> = below(&self.place)
            .into_iter()
            .filter_map(procs)
            .flat_map(|text| text.lines().filter_map(|line| line.parse().ok()).collect::<Vec<_>>())
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
}

impl AsFd for Cgroup {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.directory.as_fd()
    }
}

/// The directory and all directories below it. What goes meanwhile is left out.
fn below(top: &Path) -> Vec<PathBuf> {
    let mut found = vec![top.to_owned()];
    let mut next = 0;
    while let Some(place) = found.get(next).cloned() {
        next += 1;
        let Ok(entries) = fs::read_dir(&place) else { continue };
        let is_directory = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|it| it.is_dir());
        found.extend(entries.flatten().filter(is_directory).map(|entry| entry.path()));
        if found.len() > CGROUPS_MAX {
            break;
        }
    }
    found
}

/// The kernel allows 65,535 cgroups; no host that is well has a tenth of that.
const CGROUPS_MAX: usize = 65_536;

fn mount() -> Result<PathBuf, CgroupError> {
    let text = fs::read_to_string("/proc/self/mountinfo")
        .map_err(|cause| CgroupError::Open { place: "/proc/self/mountinfo".into(), cause })?;
    mounted(&text).ok_or(CgroupError::NotMounted)
}

/// Where the whole hierarchy is mounted, by the text of mountinfo.
fn mounted(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (mount, kind) = line.split_once(" - ")?;
        let mut fields = mount.split(' ').skip(3);
        let (root, place) = (fields.next()?, fields.next()?);
        (kind.starts_with("cgroup2 ") && root == "/").then(|| place.into())
    })
}

/// Why there is no such cgroup to be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CgroupError {
    /// There is no hierarchy of version 2.
    #[error(
        "find cgroups: cgroup v2 is not mounted here; mount it with `mount -t cgroup2 none \
         /sys/fs/cgroup/unified`, or boot with systemd.unified_cgroup_hierarchy=1"
    )]
    NotMounted,
    /// A process is in no cgroup that we can see.
    #[error(
        "find the cgroup of process {pid}: it has ended, or is in a cgroup namespace outside of \
         ours; run this on the host"
    )]
    NoneOf {
        /// The process.
        pid: u32,
    },
    /// The directory cannot be opened.
    #[error("open the cgroup {place}: {cause}; run as root", place = place.display())]
    Open {
        /// Which.
        place: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_hierarchy_of_version_2_is_found_and_a_part_of_it_is_not_taken_for_it() {
        let part = "30 25 0:26 /docker/1 /sys/fs/cgroup ro shared:9 - cgroup2 cgroup2 rw\n";
        let old = "31 25 0:27 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n";
        let whole = "32 25 0:28 / /sys/fs/cgroup/unified rw shared:3 - cgroup2 none rw\n";
        assert_eq!(mounted(&[part, old].concat()), None);
        let found = mounted(&[part, old, whole].concat());
        assert_eq!(found, Some("/sys/fs/cgroup/unified".into()));
        assert_eq!(mounted("nonsense\n"), None);
    }

    #[test]
    fn this_process_is_in_its_cgroup() {
        match Cgroup::of_process(std::process::id()) {
            Ok(own) => assert!(own.processes().contains(&std::process::id()), "{own:?}"),
            Err(CgroupError::NotMounted) => {}
            Err(error) => panic!("{error}"),
        }
        let nobody = Cgroup::of_process(u32::MAX);
        assert!(!matches!(nobody, Ok(_) | Err(CgroupError::Open { .. })), "{nobody:?}");
    }
}
