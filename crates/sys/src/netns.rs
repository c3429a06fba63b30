//! Owns network namespaces: finding one, naming it, and doing work inside it.
//! Makes and removes none. Read: namespaces(7), network_namespaces(7), setns(2), ip-netns(8).

pub(crate) mod census;

use std::{
    fs, io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
    thread,
};

use halfopen_core::NetnsId;
use rustix::{
    fs::{FsWord, Mode, OFlags, fstat, fstatfs},
    thread::{LinkNameSpaceType, move_into_link_name_space},
};

use crate::owners::command_of;

pub use census::{Census, HiddenNamespaces, census};

/// A network namespace of this host. It lives at least as long as this value.
#[derive(Debug)]
pub struct Netns {
    file: OwnedFd,
    id: NetnsId,
    name: Option<String>,
}

impl Netns {
    /// The namespace of the calling thread (`/proc/thread-self/ns/net`). It has no name.
    ///
    /// # Errors
    /// [`NetnsError::Open`] where /proc is not mounted.
    pub fn current() -> Result<Self, NetnsError> {
        Self::open(Path::new("/proc/thread-self/ns/net"), None)
    }

    /// The namespace of the process `pid` (`/proc/PID/ns/net`), named after the process's command.
    ///
    /// # Errors
    /// [`NetnsError::Open`] where the process does not exist or may not be traced by us
    /// (PTRACE_MODE_READ_FSCREDS, ptrace(2)).
    pub fn of_process(pid: u32) -> Result<Self, NetnsError> {
        let path = PathBuf::from(format!("/proc/{pid}/ns/net"));
        Self::open(&path, command_of(pid).ok())
    }

    /// The namespace whose nsfs file is mounted at `path`, as `ip netns add` and container
    /// runtimes do; it is named after the last part of the path.
    ///
    /// # Errors
    /// [`NetnsError::Open`] where the path cannot be opened, [`NetnsError::NotANetns`] where it
    /// is another kind of file.
    pub fn at_path(path: &Path) -> Result<Self, NetnsError> {
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
        Self::open(path, name)
    }

    /// The namespace that `text` means: a name below /run/netns, a path, a pid, an inode number,
    /// or the name of a bind mount anywhere (as `docker` makes them), tried in this order.
    ///
    /// # Errors
    /// [`NetnsError::NoSuchName`] where nothing fits, else as [`Netns::at_path`].
    pub fn named(text: &str) -> Result<Self, NetnsError> {
        if text.contains('/') {
            return Self::at_path(Path::new(text));
        }
        let registered = Path::new(REGISTRY).join(text);
        if !text.is_empty() && text != "." && text != ".." && registered.exists() {
            return Self::at_path(&registered);
        }
        match text.parse::<u64>() {
            Ok(number) if number <= PID_MAX => {
                Self::of_process(u32::try_from(number).unwrap_or(u32::MAX))
            }
            Ok(number) => Self::in_census(text, |netns| netns.id == NetnsId(number)),
            Err(_) => Self::in_census(text, |netns| netns.name.as_deref() == Some(text)),
        }
    }

    fn in_census(text: &str, fits: impl Fn(&Self) -> bool) -> Result<Self, NetnsError> {
        let Census { namespaces, hidden } = census()?;
        let known = namespaces.iter().filter_map(|netns| netns.name.clone()).collect::<Vec<_>>();
        namespaces.into_iter().find(fits).ok_or_else(|| NetnsError::NoSuchName {
            name: text.to_owned(),
            known: known.join(", "),
            some_hidden: !hidden.is_empty(),
        })
    }

    /// The inode number of the nsfs file, which identifies the namespace while it lives.
    pub const fn id(&self) -> NetnsId {
        self.id
    }

    /// A name for people, if it has one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Runs `work` in this namespace and returns what it returned.
    ///
    /// The work runs on a thread of its own that has joined the namespace (setns(2)), so that no
    /// other thread is ever moved; on the calling thread where that is in the namespace already.
    /// A panic of the work goes on in the caller.
    ///
    /// # Errors
    /// [`NetnsError::Enter`] where joining is refused, [`NetnsError::Thread`] where no thread
    /// could be started. The work has not run then.
    pub fn enter<R: Send>(&self, work: impl FnOnce() -> R + Send) -> Result<R, NetnsError> {
        if Self::current()?.id == self.id {
            return Ok(work());
        }
        thread::scope(|scope| {
            let inside = thread::Builder::new()
                .name(format!("netns {}", self.id))
                .spawn_scoped(scope, || {
                    move_into_link_name_space(self.as_fd(), Some(LinkNameSpaceType::Network))
                        .map_err(|errno| NetnsError::Enter { id: self.id, cause: errno.into() })?;
                    Ok(work())
                })
                .map_err(|cause| NetnsError::Thread { cause })?;
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    fn open(path: &Path, name: Option<String>) -> Result<Self, NetnsError> {
        let failed = |cause| NetnsError::Open { path: path.to_owned(), cause };
        // Without O_NONBLOCK a path that leads to a fifo would hang here.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let file = rustix::fs::open(path, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        // The link of an open nsfs file reads `net:[INODE]`, which tells kind and identity at once;
        // of one that is mounted somewhere it reads like the place, and only the inode tells.
        let link = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(failed)?;
        let id = match netns_id(&link.to_string_lossy()) {
            Some(id) => Some(id),
            None if link.is_absolute() => mounted_id(&file).map_err(failed)?,
            None => None,
        };
        let id = id.ok_or_else(|| NetnsError::NotANetns { path: path.to_owned() })?;
        Ok(Self { file, id, name })
    }
}

impl AsFd for Netns {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Why a network namespace could not be found or entered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetnsError {
    /// The nsfs file could not be opened.
    #[error(
        "open the network namespace at {path}: {cause}{help}",
        path = path.display(),
        help = needs(cause, "CAP_SYS_PTRACE")
    )]
    Open {
        /// Where it was expected.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The path leads to something else.
    #[error(
        "use {} as a network namespace: it is not one; `ip netns list` and `lsns -t net` show those that exist",
        path.display()
    )]
    NotANetns {
        /// The path.
        path: PathBuf,
    },
    /// No namespace has this name.
    #[error(
        "find a network namespace called {name}: none has this name, pid or inode number; known are: {known}{}",
        if *some_hidden { " (and some that only root can see)" } else { "" }
    )]
    NoSuchName {
        /// What was asked for.
        name: String,
        /// The names that exist.
        known: String,
        /// There are processes whose namespaces may not be looked at.
        some_hidden: bool,
    },
    /// setns(2) was refused.
    #[error("enter the network namespace {id}: {cause}{help}", help = needs(cause, "CAP_SYS_ADMIN"))]
    Enter {
        /// The namespace.
        id: NetnsId,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// No thread could be started to enter the namespace on.
    #[error("start a thread for a network namespace: {cause}; the limit of threads may be reached")]
    Thread {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// The list of processes or mounts could not be read.
    #[error("read {path} to find network namespaces: {cause}; is /proc mounted?", path = path.display())]
    Proc {
        /// The file or directory.
        path: PathBuf,
        /// What the kernel answered.
        cause: io::Error,
    },
}

fn needs(cause: &io::Error, capability: &str) -> String {
    if cause.kind() == io::ErrorKind::PermissionDenied {
        format!("; needs {capability} (run as root)")
    } else {
        String::new()
    }
}

/// Where `ip netns` keeps its names (ip-netns(8)).
const REGISTRY: &str = "/run/netns";

/// PID_MAX_LIMIT of include/linux/threads.h. Inode numbers of namespaces start far above it
/// (PROC_DYNAMIC_FIRST, 0xF0000000), so a number is never both.
const PID_MAX: u64 = 4 * 1024 * 1024;

/// The inode of a file of nsfs, which is the namespace's identity; `None` for other files. Whether
/// the namespace is one of the network, setns(2) checks when it is entered.
fn mounted_id(file: &OwnedFd) -> io::Result<Option<NetnsId>> {
    let is_nsfs = fstatfs(file)?.f_type == NSFS_MAGIC;
    Ok(if is_nsfs { Some(NetnsId(fstat(file)?.st_ino)) } else { None })
}

/// NSFS_MAGIC of uapi/linux/magic.h.
const NSFS_MAGIC: FsWord = 0x6e73_6673;

/// The inode in `net:[4026531840]`, the text of a namespace link; `None` for other kinds.
pub(crate) fn netns_id(link: &str) -> Option<NetnsId> {
    link.strip_prefix("net:[")?.strip_suffix(']')?.parse().ok().map(NetnsId)
}
