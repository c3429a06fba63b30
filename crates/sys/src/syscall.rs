//! Owns the system calls that no safe library wraps, each with the reason why it is sound.
//! Decides nothing. Read: getsockopt(2), bpf(2).
#![expect(unsafe_code, reason = "the one place for it: foreign function calls")]

use std::{
    ffi::c_int,
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use rustix::io::Errno;

/// A socket option that is one C `int`.
pub(crate) fn socket_option(fd: BorrowedFd<'_>, level: c_int, name: c_int) -> io::Result<c_int> {
    let mut value: c_int = 0;
    let mut length = const { size_of::<c_int>() as libc::socklen_t };
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` and `length` live until
    // the call returns, and the kernel writes at most `length` bytes, the size of `value`.
    let outcome = unsafe {
        libc::getsockopt(fd.as_raw_fd(), level, name, (&raw mut value).cast(), &raw mut length)
    };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Starts the iterator of a link: BPF_ITER_CREATE of bpf(2). It lists what the calling thread's
/// namespaces hold, wherever it is read.
pub(crate) fn bpf_iter_create(link: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
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
