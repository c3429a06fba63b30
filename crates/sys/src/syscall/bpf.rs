//! Owns the commands of bpf(2) that libbpf's safe wrapper lacks, or asks a link of its own for.
//! Read: bpf(2), linux kernel/bpf/cgroup.c `cgroup_bpf_prog_attach`.

use std::{
    ffi::c_int,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;

/// Starts the iterator of a link: BPF_ITER_CREATE of bpf(2). It lists what the calling thread's
/// namespaces hold, wherever it is read.
pub(crate) fn iter_create(link: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    /// `iter_create` of `union bpf_attr`.
    #[repr(C)]
    struct IterCreate {
        link_fd: u32,
        flags: u32,
    }
    const BPF_ITER_CREATE: c_int = 33;
    let link_fd = u32::try_from(link.as_raw_fd()).map_err(|_| Errno::BADF)?;
    let mut attributes = IterCreate { link_fd, flags: 0 };
    // SAFETY: the attributes hold no pointer; the descriptor is open as long as `link` is borrowed.
    let fd = unsafe { bpf(BPF_ITER_CREATE, &mut attributes) }?;
    // SAFETY: the kernel has made this descriptor just now, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Attaches a program to a cgroup beside those that are there: BPF_PROG_ATTACH of bpf(2). It stays
/// for as long as the cgroup does.
#[cfg(feature = "bpf")]
pub(crate) fn attach_sock_ops(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    const BPF_PROG_ATTACH: c_int = 8;
    const BPF_F_ALLOW_MULTI: u32 = 2;
    let mut attributes = Attachment::of(cgroup, program, BPF_F_ALLOW_MULTI)?;
    // SAFETY: the attributes hold no pointer, and both descriptors are borrowed until the call returns.
    unsafe { bpf(BPF_PROG_ATTACH, &mut attributes) }.map(drop)
}

/// Takes a program from a cgroup: BPF_PROG_DETACH of bpf(2).
#[cfg(feature = "bpf")]
pub(crate) fn detach_sock_ops(
    cgroup: BorrowedFd<'_>,
    program: BorrowedFd<'_>,
) -> Result<(), Errno> {
    const BPF_PROG_DETACH: c_int = 9;
    let mut attributes = Attachment::of(cgroup, program, 0)?;
    // SAFETY: as in `attach_sock_ops`.
    unsafe { bpf(BPF_PROG_DETACH, &mut attributes) }.map(drop)
}

/// The numbers of the programs that are attached to this very cgroup: BPF_PROG_QUERY of bpf(2).
#[cfg(feature = "bpf")]
pub(crate) fn attached_sock_ops(cgroup: BorrowedFd<'_>) -> Result<Vec<u32>, Errno> {
    /// `query` of `union bpf_attr`, as far as all kernels have it.
    #[repr(C)]
    struct Query {
        target_fd: u32,
        attach_type: u32,
        query_flags: u32,
        attach_flags: u32,
        prog_ids: u64,
        prog_cnt: u32,
        spare: u32,
    }
    const BPF_PROG_QUERY: c_int = 16;
    let mut ids = [0u32; PROGRAMS_MAX];
    let mut attributes = Query {
        target_fd: raw(cgroup)?,
        attach_type: BPF_CGROUP_SOCK_OPS,
        query_flags: 0,
        attach_flags: 0,
        prog_ids: ids.as_mut_ptr().expose_provenance() as u64,
        prog_cnt: PROGRAMS_MAX as u32,
        spare: 0,
    };
    // SAFETY: the one pointer is to `ids`, which lives until the call returns; the kernel writes as
    // many numbers as `prog_cnt` says there is room for.
    unsafe { bpf(BPF_PROG_QUERY, &mut attributes) }?;
    let count = usize::try_from(attributes.prog_cnt).unwrap_or(PROGRAMS_MAX);
    Ok(ids.into_iter().take(count).collect())
}

/// `attach` of `union bpf_attr`, as far as all kernels have it.
#[cfg(feature = "bpf")]
#[repr(C)]
struct Attachment {
    target_fd: u32,
    attach_bpf_fd: u32,
    attach_type: u32,
    attach_flags: u32,
}

#[cfg(feature = "bpf")]
impl Attachment {
    fn of(cgroup: BorrowedFd<'_>, program: BorrowedFd<'_>, flags: u32) -> Result<Self, Errno> {
        Ok(Self {
            target_fd: raw(cgroup)?,
            attach_bpf_fd: raw(program)?,
            attach_type: BPF_CGROUP_SOCK_OPS,
            attach_flags: flags,
        })
    }
}

#[cfg(feature = "bpf")]
fn raw(fd: BorrowedFd<'_>) -> Result<u32, Errno> {
    u32::try_from(fd.as_raw_fd()).map_err(|_| Errno::BADF)
}

/// # Safety
/// `Attributes` must be what the command takes, and its pointers good until the call returns.
unsafe fn bpf<Attributes>(command: c_int, attributes: &mut Attributes) -> Result<c_int, Errno> {
    // SAFETY: the kernel reads and writes as many bytes as it is told the attributes have, and keeps
    // no pointer; the rest is promised by the caller.
    let outcome = unsafe {
        libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<Attributes>())
    };
    match c_int::try_from(outcome) {
        Ok(outcome @ 0..) => Ok(outcome),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}

/// `enum bpf_attach_type` of uapi/linux/bpf.h.
#[cfg(feature = "bpf")]
const BPF_CGROUP_SOCK_OPS: u32 = 3;
/// BPF_CGROUP_MAX_PROGS of linux kernel/bpf/cgroup.c.
#[cfg(feature = "bpf")]
const PROGRAMS_MAX: usize = 64;
