//! Owns the program that gives the connections of a cgroup which are yet to come the options that keep
//! them: how it is attached, found again, and taken away with all that it has set. Decides nothing
//! (see `halfopen_core::keeping::Future`).
//!
//! The program stays attached when this process ends, and goes with its cgroup or with
//! [`Attached::end`]; nothing in a file system has to hold it. What each connection had before is
//! remembered by the kernel on the socket itself, so that the way back is exact, and is gone when
//! the connection is. Read: bpf/future.bpf.c, whose layouts are repeated here.

mod layout;
mod object;

use std::{
    fs,
    os::fd::{AsFd as _, AsRawFd as _},
};

use halfopen_core::keeping::{Future, KeepOptions};
use rustix::io::Errno;

pub use self::layout::Counts;
use self::{
    layout::{Remembered, Wanted},
    object::Loaded,
};
use super::BpfError;
use crate::{
    cgroup::{Cgroup, CgroupError},
    holder::Holders,
    set_options::{self, NotSet},
};

/// Says whether the program can be had here at all, without attaching it.
///
/// # Errors
/// As [`super::Bpf::open`], with CAP_NET_ADMIN needed too.
pub fn check() -> Result<(), BpfError> {
    object::load(&Wanted::NOTHING.encode()).map(drop)
}

/// From now on every connection that is established in `cgroup` or below it is given what `future`
/// says; those of the host to itself too, if `loopback`. Where the program is attached already, what
/// it gives is replaced.
///
/// # Errors
/// [`FutureError`]; nothing has changed then.
pub fn attach(cgroup: &Cgroup, future: &Future, loopback: bool) -> Result<(), FutureError> {
    let wanted = Wanted { future: *future, loopback, is_off: false }.encode();
    match object::attached_to(cgroup)? {
        Some(there) => Ok(there.set_wanted(&wanted)?),
        None => object::load(&wanted)?.attach(cgroup),
    }
}

/// The program in one cgroup.
#[derive(Debug)]
pub struct Attached {
    cgroup: Cgroup,
    loaded: Loaded,
}

/// Every cgroup that the program is attached to.
///
/// # Errors
/// [`FutureError`] where cgroups or programs cannot be listed.
pub fn attached() -> Result<Vec<Attached>, FutureError> {
    let programs = object::programs()?;
    // As a rule there is none, and then no cgroup need be asked.
    if programs.is_empty() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for cgroup in Cgroup::all()? {
        if let Some(loaded) = object::among(&programs, &cgroup)? {
            all.push(Attached { cgroup, loaded });
        }
    }
    Ok(all)
}

/// What taking the program away has come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ended {
    /// Connections whose old options are back.
    pub restored: usize,
    /// Connections that somebody else has given other options since, which are left alone.
    pub changed_since: usize,
    /// Why others could not be put back, a clause each. The program stays then, and gives nothing.
    pub failed: Vec<String>,
}

impl Attached {
    /// Where it is attached.
    pub const fn cgroup(&self) -> &Cgroup {
        &self.cgroup
    }

    /// What it gives to connections.
    ///
    /// # Errors
    /// [`FutureError::Bpf`] where that cannot be read.
    pub fn options(&self) -> Result<KeepOptions, FutureError> {
        let bytes = self.loaded.wanted()?;
        let wanted = Wanted::decode(&bytes).ok_or(FutureError::OtherVersion)?;
        Ok(wanted.future.options)
    }

    /// What it has done so far.
    ///
    /// # Errors
    /// [`FutureError::Bpf`] where that cannot be read.
    pub fn counts(&self) -> Result<Counts, FutureError> {
        Counts::decode(&self.loaded.counts()?).ok_or(FutureError::OtherVersion)
    }

    /// Puts back what it has set, on every connection that a process of the cgroup holds and that
    /// still is as it was set, then takes it away. A process that is killed in the middle leaves a
    /// program that gives nothing more and remembers what is left to put back.
    ///
    /// # Errors
    /// [`FutureError`] where it cannot be taken away.
    pub fn end(&self) -> Result<Ended, FutureError> {
        let bytes = self.loaded.wanted()?;
        let wanted = Wanted::decode(&bytes).ok_or(FutureError::OtherVersion)?;
        self.loaded.set_wanted(&Wanted { is_off: true, ..wanted }.encode())?;
        let mut ended = Ended::default();
        let mut holders = Holders::default();
        for pid in self.cgroup.processes() {
            // A process that ends meanwhile takes its connections along.
            let Ok(numbers) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
            let number = |entry: fs::DirEntry| entry.file_name().to_str()?.parse::<u32>().ok();
            for fd in numbers.flatten().filter_map(number) {
                self.put_back(&mut holders, pid, fd, &mut ended);
            }
        }
        if ended.failed.is_empty() {
            self.loaded.detach(&self.cgroup)?;
        }
        Ok(ended)
    }

    fn put_back(&self, holders: &mut Holders, pid: u32, fd: u32, ended: &mut Ended) {
        // No socket, or gone by now.
        let Ok(socket) = holders.duplicate_of_any(pid, fd) else { return };
        let Ok(Some(bytes)) = self.loaded.remembered(socket.as_raw_fd()) else { return };
        let Some(Remembered { before, given }) = Remembered::decode(&bytes) else { return };
        match set_options::set(socket.as_fd(), given, before) {
            Ok(()) => ended.restored += 1,
            Err(NotSet::Changed) => ended.changed_since += 1,
            Err(NotSet::NotOpen | NotSet::Gone) => {}
            Err(error) => {
                ended.failed.push(format!("descriptor {fd} of process {pid}: {error}"));
                return;
            }
        }
        // Met again through another process, it is not to be counted again.
        self.loaded.forget(socket.as_raw_fd());
    }
}

/// Why connections that are yet to come cannot be covered, or are not any more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FutureError {
    /// The program or its maps cannot be had.
    #[error(transparent)]
    Bpf(#[from] BpfError),
    /// There is no such cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The kernel did not let us attach, detach or look.
    #[error("{what} the cgroup {cgroup}: {cause}; needs CAP_NET_ADMIN and CAP_BPF (run as root)")]
    Refused {
        /// What was tried: `attach the program to`, for example.
        what: &'static str,
        /// Its path.
        cgroup: String,
        /// What the kernel answered.
        cause: Errno,
    },
    /// What is attached has another layout.
    #[error(
        "the program that is attached is of another version of halfopen; undo with that version, or \
         remove it with `bpftool cgroup detach`"
    )]
    OtherVersion,
}
