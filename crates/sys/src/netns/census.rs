//! Owns the search for every network namespace of the host. Enters none.
//! Read: proc_pid_mountinfo(5), proc_pid_ns(5), linux fs/nsfs.c.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fs, io,
    os::unix::ffi::OsStringExt,
    path::{Path, PathBuf},
};

use halfopen_core::NetnsId;

use super::{Netns, NetnsError, netns_id};
use crate::owners::{is_user_process, pids};

/// The network namespaces of the host that could be found, and what hides others.
#[derive(Debug)]
pub struct Census {
    /// In the order of their inode numbers, which is roughly that of their age.
    pub namespaces: Vec<Netns>,
    /// What could not be looked at.
    pub hidden: HiddenNamespaces,
}

/// Where further namespaces may hide.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HiddenNamespaces {
    /// How many processes may not be looked at (they may be traced only with CAP_SYS_PTRACE).
    pub processes: usize,
    /// Namespaces that are known to exist but could not be opened, each with the reason.
    pub unopened: Vec<(NetnsId, String)>,
}

impl HiddenNamespaces {
    /// Nothing was hidden.
    pub const fn is_empty(&self) -> bool {
        self.processes == 0 && self.unopened.is_empty()
    }
}

/// Every network namespace of the host: those of its processes and those that a bind mount keeps
/// (`ip netns`, docker). A namespace that only a thread, a socket or an open file keeps alive is
/// not found, nor are mounts of other mount namespaces.
///
/// # Errors
/// [`NetnsError::Proc`] where /proc cannot be read at all. Everything less is in
/// [`Census::hidden`].
pub fn census() -> Result<Census, NetnsError> {
    let mut found: BTreeMap<NetnsId, Whereabouts> = BTreeMap::new();
    for mount in mounts()? {
        found.entry(mount.id).or_default().mounts.push(mount.path);
    }
    let mut hidden = HiddenNamespaces::default();
    for pid in processes()? {
        match fs::read_link(format!("/proc/{pid}/ns/net")) {
            Ok(link) => {
                let Some(id) = netns_id(&link.to_string_lossy()) else { continue };
                let whereabouts = found.entry(id).or_default();
                // Every thread of the kernel is in the first namespace and says nothing of it.
                if whereabouts.lowest_pid.is_none() && is_user_process(pid) {
                    whereabouts.lowest_pid = Some(pid);
                }
            }
            Err(cause) if cause.kind() == io::ErrorKind::PermissionDenied => {
                hidden.processes += usize::from(is_user_process(pid));
            }
            // It has ended since.
            Err(_) => {}
        }
    }
    let mut namespaces = Vec::new();
    for (id, whereabouts) in found {
        match whereabouts.open(id) {
            Ok(netns) => namespaces.push(netns),
            Err(Some(error)) => hidden.unopened.push((id, error.to_string())),
            Err(None) => {}
        }
    }
    Ok(Census { namespaces, hidden })
}

/// The ways to one namespace. Its mounts come first, for their name says more than a command.
#[derive(Default)]
struct Whereabouts {
    mounts: Vec<PathBuf>,
    /// As a rule the process that it was made for.
    lowest_pid: Option<u32>,
}

impl Whereabouts {
    /// The namespace by the first way that still leads to it; `Err(None)` if it went away.
    fn open(&self, id: NetnsId) -> Result<Netns, Option<NetnsError>> {
        let by_mount = self.mounts.iter().map(|path| Netns::at_path(path));
        let by_process = self.lowest_pid.iter().map(|pid| Netns::of_process(*pid));
        let mut last_error = None;
        for attempt in by_mount.chain(by_process) {
            match attempt {
                // A mount may lie under a newer one, and a pid may be another process by now.
                Ok(netns) if netns.id() == id => return Ok(netns),
                Err(NetnsError::Open { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {}
                Err(error) => last_error = Some(error),
                Ok(_) => {}
            }
        }
        Err(last_error)
    }
}

/// The pids of /proc in ascending order.
fn processes() -> Result<Vec<u32>, NetnsError> {
    let path = Path::new("/proc");
    let mut pids = pids().map_err(|cause| NetnsError::Proc { path: path.to_owned(), cause })?;
    pids.sort_unstable();
    Ok(pids)
}

fn mounts() -> Result<Vec<NsfsMount>, NetnsError> {
    let path = Path::new("/proc/self/mountinfo");
    let text = fs::read(path).map_err(|cause| NetnsError::Proc { path: path.to_owned(), cause })?;
    Ok(text.split(|byte| *byte == b'\n').filter_map(nsfs_mount).collect())
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NsfsMount {
    id: NetnsId,
    path: PathBuf,
}

/// One line of mountinfo, if it is the mount of a network namespace:
/// `532 26 0:4 net:[4026532300] /run/netns/blue rw shared:5 - nsfs nsfs rw`.
pub(crate) fn nsfs_mount(line: &[u8]) -> Option<NsfsMount> {
    let mut fields = line.split(|byte| *byte == b' ');
    let root = fields.by_ref().nth(3)?;
    let path = fields.next()?;
    // The optional fields before the lone hyphen vary in number.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    if kind != b"nsfs" {
        return None;
    }
    let id = netns_id(std::str::from_utf8(root).ok()?)?;
    Some(NsfsMount { id, path: PathBuf::from(OsString::from_vec(unescape(path))) })
}

/// Undoes mangle_path of linux fs/seq_file.c: space, tab, newline and backslash are `\ooo`.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut plain = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let octal =
            after.split_at_checked(3).filter(|_| *byte == b'\\').and_then(|(digits, tail)| {
                let digits = std::str::from_utf8(digits).ok()?;
                Some((u8::from_str_radix(digits, 8).ok()?, tail))
            });
        let (value, tail) = octal.unwrap_or((*byte, after));
        plain.push(value);
        rest = tail;
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mounted_network_namespace_is_found_in_mountinfo() {
        let line = b"532 26 0:4 net:[4026532300] /run/netns/blue rw shared:5 - nsfs nsfs rw";
        let expected =
            NsfsMount { id: NetnsId(4_026_532_300), path: PathBuf::from("/run/netns/blue") };
        assert_eq!(nsfs_mount(line), Some(expected));
    }

    #[test]
    fn optional_fields_may_be_many_or_none() {
        for optional in ["", "shared:5 ", "master:1 propagate_from:2 "] {
            let line = format!("1 2 0:4 net:[7] /x rw {optional}- nsfs nsfs rw");
            assert!(nsfs_mount(line.as_bytes()).is_some(), "{line}");
        }
    }

    #[test]
    fn other_mounts_and_other_namespaces_are_passed_over() {
        for line in [
            "",
            "1 2",
            "28 1 254:0 / / rw - ext4 /dev/root rw",
            "9 2 0:4 mnt:[4026532300] /run/ns/mnt rw - nsfs nsfs rw",
            "9 2 0:4 net:[4026532300] /run/netns/blue rw shared:5",
        ] {
            assert_eq!(nsfs_mount(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn a_path_with_a_space_and_a_backslash_is_unescaped() {
        assert_eq!(unescape(br"/run/netns/a\040b\134c"), br"/run/netns/a b\c");
        assert_eq!(unescape(br"ends in \04"), br"ends in \04");
        assert_eq!(unescape(br"\999"), br"\999");
    }
}
