//! Owns the one command of bpf(2) that libbpf's safe wrapper asks a link of its own for. Read: bpf(2).

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
    let attributes = IterCreate { link_fd, flags: 0 };
    // SAFETY: the descriptor is open as long as `link` is borrowed; the kernel reads as many bytes
    // as it is told the attributes have, keeps no pointer, and returns a new descriptor that
    // nobody else owns.
    unsafe {
        let outcome = libc::syscall(
            libc::SYS_bpf,
            BPF_ITER_CREATE,
            &raw const attributes,
            size_of::<IterCreate>(),
        );
        match c_int::try_from(outcome) {
            Ok(fd @ 0..) => Ok(OwnedFd::from_raw_fd(fd)),
            _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)),
        }
    }
}
